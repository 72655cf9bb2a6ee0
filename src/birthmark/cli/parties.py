"""From what is typed for source, twins and references to oracles: through the one door that suspects come through."""

import glob
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from birthmark.answered import Answered, answered, distinct
from birthmark.artifact import digest_of
from birthmark.claim import Task
from birthmark.data import Data
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.transcript import Recorded, Transcript
from birthmark.types import Array, Floats

if TYPE_CHECKING:
    from birthmark.cli.enroll import ModelsChoice

GUESSED = 2  # classes, until the source was asked


class Visited(Oracle):
    """A model of the owner's own on this machine, opened whenever it is asked: dozens need not fit into memory."""

    def __init__(self, name: str, opening: Callable[[], Oracle]) -> None:
        self.opening = opening
        first = opening()
        self.name, self.access, self.answers, self.batch = name, first.access, first.answers, first.batch
        self.identity = first.identify()

    def __call__(self, inputs: Array) -> Floats:
        return self.opening()(inputs)


def opened(models: "ModelsChoice", parts: Data, cache: Path, stack: ExitStack) -> tuple[Answered, list[str]]:
    """The owner's models, opened, and what must be known of the pool.

    Args:
        cache: where answers of models behind an address are kept, so that a rerun asks nothing twice.

    Raises:
        SettingError: no pool, a pattern that nothing fits, or something must be declared.
        ArtifactError: a file that is missing or not what it says.
        OracleError: a server that does not answer.
    """
    pool, notes = distinct(parts["queries"])
    several = [_matching(some) for some in (models.twins, models.references, models.treated)]
    targets = [models.source, *(target for some in several for target in some)]
    outputs = models.classes or (pool.outputs if pool.classes >= 0 else 0)
    names = pool.names if len(pool.names) == outputs else ()
    task = Task(pool.shape, outputs or GUESSED, not pool.classes, pool.form, names)
    if not outputs:
        first = _opened(models, models.source, task, cache, stack)
        task = replace(task, outputs=int(first(pool.inputs[:1]).shape[1]))
    oracles = [_opened(models, target, task, cache, stack) for target in targets]
    return answered(oracles, len(several[0]), len(several[1]), pool), notes


def _matching(targets: Sequence[str]) -> list[str]:
    """The targets, patterns replaced by the files they fit, in order."""
    found = list[str]()
    for target in targets:
        pattern = "://" not in target and glob.has_magic(target) and not Path(target).exists()
        fitting = sorted(glob.glob(target)) if pattern else [target]
        if not fitting:
            raise SettingError(f"{target}: no file fits this pattern")
        found += fitting
    return found


def _opened(models: "ModelsChoice", target: str, task: Task, cache: Path, stack: ExitStack) -> Oracle:
    choice = models.choice(target)
    if Path(target).exists() and Path(target).suffix.lower() != ".toml":
        path = Path(target).absolute()
        return Visited(f"{path.parent.name}/{path.name}", lambda: choice.open(task, weights=True))
    oracle = choice.open(task, weights=True)
    if oracle.sent is None:
        return oracle
    told = {"shape": list(task.shape), "outputs": task.outputs, "values": task.values}
    place = cache / "answers" / f"{digest_of([dict(oracle.identify()), told])[:16]}.jsonl"
    log = Transcript(place, oracle, told)
    stack.callback(log.close)
    return Recorded(oracle, log)
