"""What a plan's rules say, before it is models: every combination of their lists, and values in place of {names}."""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

from birthmark.errors import SettingError, nearest
from birthmark.types import Plain

MOST = 10_000  # models of one rule, or of one kind in the cohort


def combinations(rule: Plain, lists: Plain) -> Iterator[dict[str, Any]]:
    """The values of a rule's `each` and `count`, one row a model.

    Raises:
        SettingError: a list that the plan does not have, or too many models.
    """
    each = {**rule.get("each", {}), **({"i": range(rule["count"])} if "count" in rule else {})}
    for values in each.values():
        if isinstance(values, str) and values not in lists:
            raise nearest("list of the plan", values, lists)
    columns = [lists[values] if isinstance(values, str) else values for values in each.values()]
    if prod(map(len, columns)) > MOST:
        raise SettingError(f"a rule of the plan makes more than {MOST} models")
    for row in product(*columns):
        yield dict(zip(each, row, strict=True))


def filled(value: Any, values: Plain) -> Any:
    """Values put in place of {names}; a text that is one name alone becomes the value itself, number or text.

    Raises:
        SettingError: a name without a value.
    """
    if isinstance(value, Mapping):
        return {key: filled(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, values) for item in value]
    if not isinstance(value, str):
        return value
    alone = re.fullmatch(r"\{(\w+)\}", value)
    try:
        return values[alone[1]] if alone else re.sub(r"\{(\w+)\}", lambda name: str(values[name[1]]), value)
    except KeyError as error:
        raise SettingError(f"{value!r} speaks of {error}, which the rule's `each` does not list") from None


def known(where: str, said: Plain, keys: set[str]) -> None:
    """Raise SettingError for keys that nobody reads."""
    unknown = set(said) - keys
    if unknown:
        raise SettingError(f"{where}: no key {', '.join(sorted(unknown))}; expected some of {', '.join(sorted(keys))}")
