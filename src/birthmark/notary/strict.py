"""Reading JSON that nobody vouches for: bounded, no key twice, no number that JSON lacks, one spelling only."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from birthmark.artifact import canonical, parsed
from birthmark.errors import ArtifactError, SettingError

LARGEST = 16 << 20  # bytes of one document
SLACK = 3600  # seconds that another clock may be ahead of ours
STRICT = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

T = TypeVar("T")


def parse(blob: bytes, name: str, *, most: int = LARGEST) -> Any:
    """What a JSON document says.

    Args:
        most: bytes that it may have.

    Raises:
        ArtifactError: larger, deeper, not UTF-8, not JSON, a key twice, NaN or Infinity.
    """
    if len(blob) > most:
        raise ArtifactError(f"{name}: {len(blob)} bytes of JSON where at most {most} are read")
    return parsed(blob, name, object_pairs_hook=lambda pairs: _once(pairs, name), parse_constant=_no)


def _once(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ArtifactError(f"{name}: an object holds a key twice, so that two readers may read two things")
    return found


def _no(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def parse_canonical(blob: bytes, name: str, *, most: int = LARGEST) -> Any:
    """What a document says that must be canonical JSON (RFC 8785), so that no byte of it is free.

    Raises:
        ArtifactError: as `parse`, or another spelling of the same.
    """
    found = parse(blob, name, most=most)
    try:
        same = canonical(found) == blob
    except SettingError as error:
        raise ArtifactError(f"{name}: {error}") from None
    if not same:
        raise ArtifactError(f"{name}: not in the one spelling that birthmark writes (RFC 8785); it was altered")
    return found


def record(kind: type[T], blob: bytes, name: str, format: str) -> T:
    """A frozen dataclass read from canonical JSON, every field checked by kind.

    Raises:
        ArtifactError: another format or version, a field too many or too few, or of another kind; says which.
    """
    data = parse_canonical(blob, name)
    found = data.pop("format", None) if isinstance(data, dict) else None
    if found != format:
        raise ArtifactError(f"{name}: expected {format}, got {str(found)[:60]}; use the birthmark that wrote it")
    try:
        return TypeAdapter(kind).validate_json(canonical(data))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"{name}: {place or 'the document'}: {first['msg']}") from None


def written(value: Any, format: str) -> bytes:
    """The canonical JSON of a frozen dataclass, which `record` reads."""
    return canonical({"format": format, **asdict(value)})


def now() -> str:
    """The time, as every document here has it: 2026-01-31T12:00:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str, name: str) -> datetime:
    """The time that a document states, which must not lie in the future.

    Raises:
        ArtifactError: no such time, or later than now.
    """
    try:
        found = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ArtifactError(f"{name}: expected a time like 2026-01-31T12:00:00Z, got {text[:40]!r}") from None
    past(found.timestamp(), name)
    return found


def past(seconds: float, name: str) -> None:
    """Raise ArtifactError for a time (seconds since 1970) that lies in the future."""
    if not seconds <= time.time() + SLACK:
        raise ArtifactError(f"{name}: says a time in the future; one of the clocks is wrong")
