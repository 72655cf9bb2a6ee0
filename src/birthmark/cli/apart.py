"""Flags that two nouns of a command share, told apart."""

from copy import copy
from inspect import Parameter
from typing import Annotated, get_args

from typer.models import OptionInfo


def told_apart(options: list[Parameter]) -> list[Parameter]:
    """The options, of which a later noun's that has an earlier one's flag bears its noun's name: `--source-shape`."""
    taken, apart = set[str](), list[Parameter]()
    for option in options:
        kind, *rest = get_args(option.annotation)
        owner = f"--{option.name.partition('_')[0]}-"
        for place, one in enumerate(rest):
            flags = _flags(one) if isinstance(one, OptionInfo) else []
            if taken.intersection(flags):
                rest[place] = _renamed(one, [owner + flag.removeprefix("--") for flag in flags])
                option = option.replace(annotation=Annotated[(kind, *rest)])
            taken.update(flags)
        apart.append(option)
    return apart


def _renamed(option: OptionInfo, flags: list[str]) -> OptionInfo:
    new = copy(option)
    new.default, new.param_decls = flags[0], tuple(flags[1:])
    return new


def _flags(option: OptionInfo) -> list[str]:
    """An option's flags; Typer keeps the first as the default of an annotated one."""
    return [str(flag) for flag in (option.default, *(option.param_decls or ())) if str(flag).startswith("--")]
