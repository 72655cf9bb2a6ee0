"""Options of the command line: every flag of a command means one thing."""

from collections import Counter
from collections.abc import Iterator

import pytest
import typer

from birthmark.cli.commands import app


def commands(group: object, name: str = "birthmark") -> Iterator[tuple[str, object]]:
    """All commands by their whole name."""
    for word, one in getattr(group, "commands", {}).items():
        yield from commands(one, f"{name} {word}") if hasattr(one, "commands") else [(f"{name} {word}", one)]


EVERY = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", EVERY)
def test_no_flag_stands_for_two_things(name: str) -> None:
    flags = Counter(flag for option in EVERY[name].params for flag in option.opts)
    assert [flag for flag, n in flags.items() if n > 1] == []


def test_the_judge_tells_source_and_suspect_apart() -> None:
    flags = {flag for option in EVERY["birthmark judge"].params for flag in option.opts}
    assert {"--architecture", "--shape", "--classes"} <= flags
    assert {"--source-architecture", "--source-shape", "--source-classes"} <= flags
