"""What the zoo finds by name: plans and executors."""

from pathlib import Path

from birthmark.artifact import toml
from birthmark.errors import BirthmarkError, SettingError, nearest
from birthmark.zoo import task_plans
from birthmark.zoo.cluster import Ray
from birthmark.zoo.executors import Executor, Pool, Serial
from birthmark.zoo.plan import Plan, parse

PLANS = Path(__file__).parents[1] / "plans"


def names() -> list[str]:
    """The plans that come with birthmark."""
    return sorted(path.stem for path in PLANS.glob("*.toml"))


def read(name: str) -> Plan:
    """A plan by name, or from a .toml file; "fingerbench-tasks/TASK" is that task's part of fingerbench-tasks.

    Raises:
        UnknownName: neither.
        SettingError: not TOML, an unknown key, a parent that no rule makes, or rules that are each other's parents.
    """
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise SettingError(f"{name}: no such file; plans that come with birthmark: {', '.join(names())}")
        path = Path(name)
    elif name.startswith("fingerbench-tasks/"):
        return task_plans.plan(name.partition("/")[2])
    elif name in names():
        path = PLANS / f"{name}.toml"
    else:
        raise nearest("plan", name, names())
    said = toml(path)
    try:
        return parse(path.stem, said)
    except BirthmarkError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise SettingError(f"plan {path.stem}: a value is of another kind than its key wants ({what})") from None


def executor(name: str, workers: int | None = None, gpus: float = 0.0) -> Executor:
    """The executor "local", "ray" or "serial".

    Args:
        gpus: GPUs, or the share of one, that a job takes on a cluster if it does not say so itself.

    Raises:
        UnknownName: another name.
        SettingError: Ray is not installed, or its cluster does not answer.
    """
    if name == "ray":
        return Ray(gpus=gpus)
    if name not in ("local", "serial"):
        raise nearest("executor", name, ("local", "ray", "serial"))
    return Pool(workers) if name == "local" else Serial()
