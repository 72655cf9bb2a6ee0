"""How a claim's queries are written for a suspect: value range, layout, datatype, pictures."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from birthmark.errors import SettingError
from birthmark.inputs import are_strings
from birthmark.types import Array, Form

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)
Inputs = NDArray[np.number] | NDArray[np.bool_]

DATATYPES: Mapping[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": np.float32,  # which NumPy lacks: float32 whose lower half is dropped where bytes are written
    "FP32": np.float32,
    "FP64": np.float64,
}
ALSO = {"FLOAT": "FP32", "HALF": "FP16", "DOUBLE": "FP64", "BFLOAT": "BF16", "INT": "INT64", "LONG": "INT64"}


def datatype_of(text: object) -> str:
    """A datatype by its Open Inference Protocol name; "float32", "TYPE_FP32", "DT_FLOAT" are understood.

    Raises:
        ValueError: none that numbers can be sent in; BYTES is for text.
    """
    name = str(text).upper().removeprefix("TYPE_").removeprefix("DT_").removeprefix("TORCH.")
    name = ALSO.get(name, name.replace("BFLOAT", "BF").replace("FLOAT", "FP"))
    if not isinstance(text, str) or name not in DATATYPES:
        raise ValueError(f"expected one of {', '.join(DATATYPES)}")
    return name


def plain_text(text: str) -> str:
    """One line of text.

    Raises:
        ValueError: it has control characters or is over 2,000 characters long.
    """
    if not (text.isprintable() and len(text) <= 2000):
        raise ValueError("expected one line of at most 2,000 printable characters")
    return text


def json_value(value: object) -> object:
    """A value that JSON can hold.

    Raises:
        ValueError: a date, NaN or nesting without end.
    """
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("expected what JSON can hold: no dates, no NaN") from None
    return value


Line = Annotated[str, AfterValidator(plain_text)]
Datatype = Annotated[str, AfterValidator(lambda text: datatype_of(text) if text else "")]
Numbers = Annotated[tuple[float, ...], Field(strict=False)]


@dataclass(frozen=True, config=STRICT)
class Writing:
    """How inputs are sent.

    Attributes:
        input_name: of the tensor, where a model has several.
        datatype: of the input tensor, Open Inference Protocol names (FP32, FP64, UINT8, ...).
        layout: "nchw" (as the claim's queries are; also for inputs that are no images), "nhwc", or "flat".
        low, high: value range that the claim's [0, 1] is mapped to.
        mean, std: subtracted and divided by after that, one for all or one a channel.
        columns: names of a query's numbers, which are sent as a record {name: number}.
        encoding: "json", "binary" (Open Inference Protocol), or a file a query: "png", "jpeg" (with `quality`, 1 to
            100).
        body: of `generic`: request body with placeholders.
    """

    input_name: Line = ""
    datatype: Datatype = ""
    layout: Literal["", "nchw", "nhwc", "flat"] = ""
    low: float = 0.0
    high: float = 1.0
    mean: Numbers = ()
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False)] = ()
    columns: Annotated[tuple[Line, ...], Field(strict=False)] = ()
    encoding: Literal["", "json", "binary", "png", "jpeg"] = ""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    body: Annotated[object, BeforeValidator(json_value)] = None

    def __post_init__(self) -> None:
        if not self.high > self.low:
            raise ValueError(f"expected low < high, got {self.low:g} and {self.high:g}")

    @property
    def plain(self) -> bool:
        """Whether inputs are sent as the claim holds them."""
        return (self.layout or "nchw", self.datatype or "FP32") == ("nchw", "FP32") and self.unscaled

    @property
    def unscaled(self) -> bool:
        """Whether numbers are sent as large as the claim holds them."""
        return (self.low, self.high, self.mean, self.std) == (0, 1, (), ())


def datatype_for(inputs: Array, how: Writing) -> str:
    """The datatype that inputs are sent in: the declared one, else INT64 for whole numbers, FP32 for others."""
    whole = inputs.dtype.kind in "iu" and how.unscaled
    return "BYTES" if are_strings(inputs) else how.datatype or ("INT64" if whole else "FP32")


def written(inputs: Array, how: Writing, form: Form) -> list[object]:
    """Each query as JSON has it: nested lists of numbers, a text, or an object.

    Raises:
        SettingError: as `encoded`; columns that are not as many as a query has numbers.
    """
    rows: list[object] = encoded(inputs, how).tolist()
    if form is Form.RECORDS:
        return [json.loads(str(row)) for row in rows]
    if not how.columns:
        return rows
    if inputs.ndim != 2 or inputs.shape[1] != len(how.columns):
        raise SettingError(f"expected a query of {len(how.columns)} numbers, as columns has, got {inputs.shape[1:]}")
    return [dict(zip(how.columns, row, strict=True)) for row in encoded(inputs, how).tolist()]


def _strings(inputs: Array, how: Writing) -> Inputs:
    if not how.unscaled or how.columns or how.layout == "nhwc":
        raise SettingError("low, high, mean, std, columns and nhwc are for numbers; the claim's queries are texts")
    return inputs.reshape(len(inputs), 1) if how.layout == "flat" else inputs


@np.errstate(all="ignore")  # what overflows is named
def encoded(inputs: Array, how: Writing) -> Inputs:
    """Inputs (n, *d) as numbers in the suspect's range, normalisation, layout and datatype; strings as they are.

    Raises:
        SettingError: per-channel normalisation or channels-last for inputs that are no images, numbers' range for
            texts, or a range that ends in infinity.
    """
    if are_strings(inputs):
        return _strings(inputs, how)
    kind = DATATYPES[datatype_for(inputs, how)]
    whole = np.issubdtype(kind, np.integer)
    x: Array = np.asarray(inputs, dtype=np.float64 if inputs.dtype.kind in "iu" and how.unscaled else np.float32)
    x = _normalised(x, how)
    if not (np.isfinite(x).all() and (whole or np.isfinite(x.astype(kind)).all())):
        raise SettingError(
            f"low {how.low:g}, high {how.high:g}, mean {list(how.mean)} and std {list(how.std)} give inputs that "
            f"{how.datatype or 'FP32'} cannot hold"
        )
    x = _laid(x, how.layout)
    if whole:
        bounds = np.iinfo(np.dtype(kind).str)
        x = np.clip(np.round(x.astype(np.float64)), bounds.min, bounds.max)
    return np.ascontiguousarray(x, dtype=kind)


def _laid(x: Array, layout: str) -> Array:
    if layout == "flat":
        return x.reshape(len(x), -1)
    if layout == "nhwc" and x.ndim != 4:
        raise SettingError(f"layout nhwc is for images; these inputs have shape {x.shape[1:]}")
    return x.transpose(0, 2, 3, 1) if layout == "nhwc" else x


def _normalised(x: Array, how: Writing) -> Array:
    if (how.low, how.high) != (0.0, 1.0):
        x = x * np.float32(how.high - how.low) + np.float32(how.low)
    for values, divide in ((how.mean, False), (how.std, True)):
        if values:
            if len(values) > 1 and (x.ndim != 4 or x.shape[1] != len(values)):
                raise SettingError(
                    f"expected one mean and std a channel, got {len(values)} for inputs of shape {x.shape[1:]}"
                )
            v = np.asarray(values, dtype=np.float32).reshape(-1, *[1] * (x.ndim - 2))
            x = x / v if divide else x - v
    return x


def picture(row: "Array", kind: str, quality: int = 95) -> bytes:
    """One image (c, h, w) in [0, 1] as a "png" or "jpeg" file of 8-bit pixels.

    Raises:
        SettingError: not a grey or an RGB image.
    """
    if row.ndim != 3 or row.shape[0] not in (1, 3):
        raise SettingError(f"encoding {kind} is for grey or RGB images, got inputs of shape {row.shape}")
    pixels = np.round(np.clip(row, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    file = io.BytesIO()
    image.save(file, kind.upper(), **({"quality": quality} if kind == "jpeg" else {}))
    return file.getvalue()


def base64_text(blob: bytes) -> str:
    """Base64 as text, for JSON bodies."""
    return base64.b64encode(blob).decode("ascii")


def layout_of(wanted: Sequence[int], d: Sequence[int]) -> str:
    """The layout of inputs of shape d that a server's own input shape (without the batch; -1 for any size) implies.

    It is "" if that says nothing.

    Raises:
        SettingError: no layout of the claim's inputs fits that shape.
    """
    if not wanted:
        return ""
    fits = _fitting(wanted, d)
    if not fits:
        raise SettingError(
            f"the suspect wants inputs of shape {list(wanted)}, the claim's are {list(d)}: it was made for another task"
        )
    twice = {"nchw", "nhwc"} <= set(fits) and -1 in wanted  # free sizes fit both: to be declared
    return "" if twice else fits[0]


def _fitting(wanted: Sequence[int], d: Sequence[int]) -> list[str]:
    candidates = {"nchw": tuple(d), "nhwc": (*d[1:], d[0]) if len(d) == 3 else (), "flat": (prod(d),)}
    return [
        name
        for name, shape in candidates.items()
        if len(shape) == len(wanted) and all(w in (-1, s) for w, s in zip(wanted, shape, strict=True))
    ]
