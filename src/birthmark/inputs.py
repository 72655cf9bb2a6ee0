"""Inputs that are no rows of numbers: texts and JSON records are arrays (n,) of strings, without an `object` in them.

Arrays of strings are indexed, joined and shuffled like any other. To be kept or sent they become two arrays of
numbers: the UTF-8 bytes of all, and where each one ends.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from birthmark.errors import ShapeError

if TYPE_CHECKING:
    from birthmark.types import Array, Form, Labels

STRINGS = np.dtypes.StringDType()
FLOATS, WHOLE = np.dtype("<f4"), np.dtype("<i8")  # numbers as they are kept, hashed and sent


def texts(values: Iterable[str]) -> "Array":
    """Texts as an array (n,).

    Raises:
        ShapeError: text that is no Unicode, such as half of a surrogate pair.
    """
    try:
        return np.array(list(values), dtype=STRINGS)
    except UnicodeEncodeError as error:
        raise ShapeError(f"expected texts that UTF-8 holds, got one that is damaged ({error.reason})") from None


def records(rows: Iterable[Mapping[str, object]]) -> "Array":
    """JSON objects as an array (n,) of their text.

    Raises:
        ShapeError: a value that JSON does not hold.
    """
    try:
        return texts(json.dumps(dict(row), ensure_ascii=False, allow_nan=False) for row in rows)
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"expected records of numbers, texts, true, false and null ({error}); turn others so"
        ) from None


def are_strings(inputs: NDArray[np.generic]) -> bool:
    """Whether inputs are texts or records."""
    return inputs.dtype.kind == "T"


def plain(inputs: NDArray[np.generic]) -> "Array":
    """Inputs as they are kept: strings, int64 for whole numbers, float32 for all others."""
    if are_strings(inputs):
        return cast("Array", inputs)
    kind = WHOLE if inputs.dtype.kind in "iu" else FLOATS
    return np.ascontiguousarray(inputs, dtype=kind)


def given(inputs: "Array", form: "Form") -> object:
    """A copy of inputs as people's functions take them: an array, a list of texts, or a list of dicts."""
    if not are_strings(inputs):
        return np.array(inputs)
    strings: list[str] = inputs.tolist()
    return [json.loads(text) for text in strings] if form == "records" else strings


def packed(strings: "Array") -> "tuple[bytes, Labels]":
    """The UTF-8 bytes of all strings, and where each ends (n,)."""
    blobs = [str(text).encode("utf-8") for text in strings]
    return b"".join(blobs), np.cumsum([len(blob) for blob in blobs], dtype=np.int64)


def unpacked(blob: bytes, ends: "Labels") -> "Array":
    """The strings that `packed` packed.

    Raises:
        ValueError: ends that do not follow each other up to the last byte, or bytes that are no UTF-8.
    """
    edges = [0, *ends.tolist()]
    if ends.ndim != 1 or ends.dtype.kind != "i" or edges != sorted(edges) or edges[-1] != len(blob):
        raise ValueError("texts whose ends do not follow each other")
    return texts(blob[a:b].decode("utf-8") for a, b in pairwise(edges))


def to_bytes(inputs: "Array") -> tuple[dict[str, object], bytes]:
    """Inputs as a head and raw bytes, to be sent to a process of ours."""
    if are_strings(inputs):
        blob, ends = packed(inputs)
        return {"ends": ends.tolist()}, blob
    numbers = plain(inputs)
    return {"shape": list(numbers.shape), "dtype": numbers.dtype.str}, numbers.tobytes()


def from_bytes(head: Mapping[str, object], blob: bytes) -> "Array":
    """The inputs that `to_bytes` wrote."""
    if "ends" in head:
        return unpacked(blob, np.array(head["ends"], dtype=np.int64))
    return np.frombuffer(blob, dtype=str(head["dtype"])).reshape(head["shape"])  # type: ignore[call-overload]


def query_digest(row: "Array | str") -> str:
    """SHA-256, in hex, of one input: of a text its bytes, of numbers their shape and little-endian bytes."""
    if isinstance(row, str):
        return sha256(b"text " + row.encode("utf-8")).hexdigest()
    whole = row.dtype.kind in "iu"
    kind = WHOLE if whole else FLOATS
    head = f"{row.shape} whole" if whole else f"{row.shape}"
    return sha256(head.encode() + row.astype(kind, copy=False).tobytes()).hexdigest()
