"""What is remembered of the source.

A `Claim` is data only: it can be written, hashed, committed before a dispute and read again without torch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from birthmark.artifact import load_folder, save_folder, whole
from birthmark.errors import ArtifactError
from birthmark.inputs import are_strings, packed, unpacked
from birthmark.types import Array, Floats, Form, Plain

FORMAT, PLAIN = "birthmark/claim/2", "birthmark/claim/1"  # the latter where queries are float32
TWINS = ("", "same-start", "other-start")


@dataclass(frozen=True)
class Task:
    """What source and suspect must have in common.

    Attributes:
        shape: one input's own shape.
        outputs: number of classes, or of output values.
        values: true for regressors and generators, false for classifiers.
        form: numbers, text or records; strings have no shape.
        names: of the classes, where they are known.
    """

    shape: tuple[int, ...]
    outputs: int
    values: bool = False
    form: Form = field(default=Form.NUMBERS, repr=False)
    names: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, said: Plain) -> "Task":
        """A task from plain data; raises TypeError or KeyError for anything else."""
        task = cls(
            tuple(said["shape"]),
            said["outputs"],
            said["values"],
            Form(said.get("form", "numbers")),
            tuple(map(str, said.get("names", ()))),
        )
        if not all(type(n) is int and 0 < n < 1 << 31 for n in (*task.shape, task.outputs)) or len(task.shape) > 8:
            raise TypeError(f"a task of shape {task.shape!s:.80} and {task.outputs!s:.80} outputs")
        if len(set(task.names)) not in (0, task.outputs):
            raise TypeError(f"a task of {task.outputs} outputs with {len(set(task.names))} different names of classes")
        if type(task.values) is not bool:
            raise TypeError(f"a task whose values are {task.values!s:.80}")
        return task

    def plain(self) -> dict[str, object]:
        """As plain data; the form where it is not numbers, names where they are known."""
        said: dict[str, object] = {"shape": self.shape, "outputs": self.outputs, "values": self.values}
        form = {} if self.form is Form.NUMBERS else {"form": self.form.value}
        return {**said, **form, **({"names": self.names} if self.names else {})}


@dataclass(frozen=True)
class Scores:
    """How close a suspect is to the source and to each placebo; higher is closer.

    Attributes:
        source: the true claim's score.
        placebos: the placebos' scores, treated exactly alike; empty if the method made none.
        raw: the paper's own score of the source's claim, before any centring; the null of independent references ranks
            this one.
    """

    source: float
    placebos: tuple[float, ...]
    raw: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """Whose answers are scored: a suspect, or one of the owner's innocents by the claim without it.

    Attributes:
        answers: (q, k) to the claim's first q queries, shown as the suspect shows its own.
        reference: the reference that it is or was made of.
        twin: the owner that it is, from 1.
        row: where the claim holds these very answers: owners come first, then references, then what was made of each.
    """

    answers: Floats
    reference: int | None = None
    twin: int | None = None
    row: int | None = None


@dataclass(frozen=True, repr=False)
class Claim:
    """What is remembered of the source: a fingerprint, or a watermark's key.

    Attributes:
        method: name of the method or watermark that made it and that scores it.
        settings: the method's settings; with the name they rebuild it.
        task: what a suspect must answer to be comparable.
        seed: of everything random in making it.
        tensors: "queries" (q, *d), or (q,) strings: every distinct query of the whole test, placebos' included, in such
            an order that the first ones make the best smaller test. "references" (r, q, k), optional: answers of
            independent models of the owner's that had no part in making the claim. "treated" (r, t, q, k), optional:
            answers of t copies and students of each reference. The rest is the method's own.
        twins: "same-start" or "other-start", where placebos are twins' answers and an enrolment made them; decides
            nothing, but a reader must know.
        facts: what enrolment found: cost, self-check, reach, digests of source and cohort.
    """

    method: str
    settings: Plain
    task: Task
    seed: int
    tensors: Mapping[str, np.ndarray[Any, Any]]
    facts: Plain = field(default_factory=dict)
    twins: str = ""

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in self.tensors.items())
        return f"Claim({self.method}, {self.task}, {shapes})"

    @property
    def queries(self) -> Array:
        return self.tensors["queries"]

    @property
    def references(self) -> Floats:
        """Answers (r, q, k) of independent reference models; r may be 0."""
        return self.tensors.get("references", np.zeros((0, len(self.queries), self.task.outputs)))

    @property
    def treated(self) -> Floats:
        """Answers (r, t, q, k) of copies and students of the references; t may be 0."""
        return self.tensors.get("treated", np.zeros((len(self.references), 0, len(self.queries), self.task.outputs)))

    def without(self, reference: int) -> "Claim":
        """The claim without one reference and what was made of it."""
        kept = [key for key in ("references", "treated") if key in self.tensors]
        fewer = {key: np.delete(self.tensors[key], reference, axis=0) for key in kept}
        return replace(self, tensors={**self.tensors, **fewer})

    def save(self, folder: Path | str) -> str:
        """Write the claim as a folder; returns the digest to commit to."""
        data = {
            "method": self.method,
            "settings": self.settings,
            "task": self.task.plain(),
            "seed": self.seed,
            "twins": self.twins,
            "facts": self.facts,
        }
        old = self.queries.dtype == np.float32
        return save_folder(Path(folder), PLAIN if old else FORMAT, data, _kept(self.tensors))

    @classmethod
    def load(cls, folder: Path | str) -> tuple["Claim", str]:
        """Read a claim and its digest.

        Raises:
            ArtifactError: missing, truncated, edited, or made by a newer version.
        """
        artifact = load_folder(Path(folder), FORMAT)
        try:
            claim = cls(
                method=artifact.data["method"],
                settings=artifact.data["settings"],
                task=Task.read(artifact.data["task"]),
                seed=whole(artifact.data["seed"]),
                tensors=_read(artifact.tensors),
                twins=str(artifact.data.get("twins", "")),
                facts=artifact.data["facts"],
            )
            _check_kinds(claim)
            r, q, k = len(claim.references), len(claim.queries), claim.task.outputs
            treated = claim.treated
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{folder}: the claim lacks {error}; it was not written by birthmark") from None
        if claim.references.shape != (r, q, k) or treated.shape != (r, *treated.shape[1:2], q, k):
            raise ArtifactError(
                f"{folder}: expected references of shape (r, {q}, {k}) and treated ones of shape (r, t, {q}, {k}), got "
                f"{claim.references.shape} and {treated.shape}"
            )
        if claim.queries.shape[1:] != claim.task.shape:
            raise ArtifactError(
                f"{folder}: queries of shape {claim.queries.shape[1:]} for a task of shape {claim.task.shape}"
            )
        return claim, artifact.digest


def one_by_one(score: Callable[[Claim, Floats], Scores], claim: Claim, candidates: Sequence[Candidate]) -> list[Scores]:
    """Each candidate's scores, those of a reference and of what was made of it by the claim without that."""
    return [score(claim if c.reference is None else claim.without(c.reference), c.answers) for c in candidates]


def _check_kinds(claim: Claim) -> None:
    facts = claim.facts
    if not (isinstance(claim.method, str) and isinstance(claim.settings, dict) and isinstance(facts, dict)):
        raise TypeError("a method's name, settings and facts")
    warnings, versions = facts.get("warnings", []), facts.get("versions", {})
    if claim.twins not in TWINS or not isinstance(warnings, list) or not isinstance(versions, dict):
        raise TypeError("a word for its twins, or warnings and versions among its facts")
    _check_tensors(claim)


def _check_tensors(claim: Claim) -> None:
    if odd := [name for name, value in claim.tensors.items() if name != "queries" and value.dtype.kind not in "biuf"]:
        raise TypeError(f"numbers in {odd[0]}")
    if are_strings(claim.queries) != (claim.task.form is not Form.NUMBERS):
        raise TypeError(f"queries of the form {claim.task.form}")


def _kept(tensors: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """A claim's tensors as they are written: strings as their bytes and where each ends."""
    if not are_strings(tensors["queries"]):
        return dict(tensors)
    blob, ends = packed(tensors["queries"])
    rest = {name: value for name, value in tensors.items() if name != "queries"}
    return {**rest, "queries.text": np.frombuffer(blob, np.uint8), "queries.ends": ends}


def _read(tensors: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    rest = dict(tensors)
    if "queries.text" in rest:
        rest["queries"] = unpacked(rest.pop("queries.text").tobytes(), rest.pop("queries.ends"))
    return rest
