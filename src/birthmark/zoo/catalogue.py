"""What the zoo finds by name: plans and executors."""

import tomllib
from importlib.resources import files
from pathlib import Path

from birthmark.errors import SettingError, nearest
from birthmark.zoo import task_plans
from birthmark.zoo.cluster import Ray
from birthmark.zoo.executors import Executor, Pool, Serial
from birthmark.zoo.plan import Plan, parse


def names() -> list[str]:
    """The plans that come with birthmark."""
    return sorted(
        path.name.removesuffix(".toml")
        for path in files("birthmark").joinpath("plans").iterdir()
        if path.name.endswith(".toml")
    )


def read(name: str) -> Plan:
    """A plan by name, or from a .toml file; "fingerbench-tasks/TASK" is that task's part of fingerbench-tasks.

    Raises:
        UnknownName: neither.
        SettingError: not TOML, an unknown key, a parent that no rule makes, or rules that are each other's parents.
    """
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise SettingError(f"{name}: no such file; plans that come with birthmark: {', '.join(names())}")
        text, title = Path(name).read_text(encoding="utf-8"), Path(name).stem
    elif name.startswith("fingerbench-tasks/"):
        return task_plans.plan(name.partition("/")[2])
    elif name in names():
        text, title = files("birthmark").joinpath("plans", f"{name}.toml").read_text(encoding="utf-8"), name
    else:
        raise nearest("plan", name, names())
    try:
        return parse(title, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"plan {title}: not TOML: {error}") from None


def executor(name: str, workers: int | None = None) -> Executor:
    """The executor "local", "ray" or "serial".

    Raises:
        UnknownName: another name.
        SettingError: Ray is not installed, or its cluster does not answer.
    """
    if name == "ray":
        return Ray()
    if name not in ("local", "serial"):
        raise nearest("executor", name, ("local", "ray", "serial"))
    return Pool(workers) if name == "local" else Serial()
