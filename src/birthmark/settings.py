"""Settings in their kinds and ranges: one form and one message for methods, attacks and watermarks."""

from collections.abc import Mapping
from dataclasses import Field, fields
from math import inf
from numbers import Integral, Real
from typing import Any, ClassVar

from birthmark.errors import SettingError

Range = str | tuple[str, ...]  # an interval such as "(0, 1]" or "[1, inf)", or the words there are
Allowed = Mapping[str, Range]
KINDS: Mapping[type, tuple[type, str]] = {
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a text"),
}


class Configured:
    """A frozen dataclass whose fields are settings.

    Class attributes:
        name: as on the command line.
        allowed: of a setting its range; those of parents hold as well.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]  # for type checkers
    name: ClassVar[str]
    allowed: ClassVar[Allowed] = {}

    def __post_init__(self) -> None:
        """Raise SettingError for a setting of another kind than its default, or out of its range."""
        for field in fields(self):
            kind, said = KINDS.get(type(field.default), (object, ""))
            value = getattr(self, field.name)
            if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
                raise SettingError(f"{self.name}: expected {field.name} to be {said}, got {value!r}")
        for cls in type(self).__mro__:
            for name, allowed in vars(cls).get("allowed", {}).items():
                if not inside(getattr(self, name), allowed):
                    words = " or ".join(map(repr, allowed)) if isinstance(allowed, tuple) else f"in {allowed}"
                    raise SettingError(f"{self.name}: expected {name} {words}, got {getattr(self, name)!r}")


def inside(value: object, allowed: Range) -> bool:
    """Whether a value is one of the words, or a number in the interval; NaN is in none."""
    if isinstance(allowed, tuple):
        return value in allowed
    low, high = (float(end) for end in allowed[1:-1].split(","))
    number: Any = value if isinstance(value, Real) else -inf  # as it is: a float holds no whole number of 400 digits
    return (low < number or (allowed[0] == "[" and number == low)) and (
        number < high or (allowed[-1] == "]" and number == high)
    )
