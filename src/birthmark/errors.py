"""Everything that birthmark raises on purpose.

    BirthmarkError
    ├─ AccessError     the oracle grants less than is needed
    ├─ BudgetError     the next query would overspend
    ├─ ShapeError      (also ValueError) an array or a tensor of another shape, or not finite
    ├─ SettingError    (also ValueError) a setting out of its range
    ├─ UnknownName     (also LookupError) with near misses
    ├─ DataError       a data set is missing, damaged or too small
    ├─ NullError       nothing to rank against: no placebos and no references
    ├─ ArtifactError   a file is not what it says: digest, format, version, missing tensor
    ├─ Refused         (of gateway.app) a request that the gateway answers itself
    ├─ Cancelled       (of web.carrying) a run that is no longer this worker's
    └─ OracleError     the far end failed, or answered what no model of its kind answers
       └─ Failed       (of suspects.client) a request over HTTP failed for good

A message says what was expected, what came, and what to do. `exit_code` is what the command line ends with.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from birthmark.secrets import printable


class BirthmarkError(Exception):
    """The root: catch this one to catch them all."""

    exit_code = 2

    def __str__(self) -> str:
        """The message on one line, without secrets or escape sequences, whatever a stranger put into it."""
        return printable(super().__str__())


class AccessError(BirthmarkError):
    """The oracle grants less than is needed."""


class BudgetError(BirthmarkError):
    """The next query would overspend the budget."""

    exit_code = 4


class ShapeError(BirthmarkError, ValueError):
    """An array of another shape than expected, or with values that are not finite."""


class SettingError(BirthmarkError, ValueError):
    """A setting out of its range."""


class UnknownName(BirthmarkError, LookupError):
    """No method, attack, architecture, ... of that name."""


class DataError(BirthmarkError):
    """A data set is missing, damaged or too small."""


class NullError(BirthmarkError):
    """There is nothing to rank the score against, so no verdict can be reached."""


class ArtifactError(BirthmarkError):
    """A file or folder is not what it says it is."""

    exit_code = 5


class OracleError(BirthmarkError):
    """The suspect failed to answer, or its answers cannot be those of such a model."""

    exit_code = 4


def must(*held: object) -> None:
    """Raise ValueError unless all hold. For what others wrote: `assert` says nothing under python -O."""
    if not all(held):
        raise ValueError("not as it must be")


def nearest(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for an unknown name, with the names that come close."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3) or names
    return UnknownName(f"no {kind} named {name!r}; did you mean {', '.join(close)}?")
