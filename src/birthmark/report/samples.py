"""A few queries as a reader can see them.

Pictures, or rows of numbers, with what the source and the suspect answered.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from markupsafe import Markup
from PIL import Image

from birthmark.answers import one_hot
from birthmark.claim import Claim
from birthmark.report.plots import mirror
from birthmark.report.words import number
from birthmark.types import Array, Floats, Form

MOST_CLASSES = 24  # more do not fit side by side: the top ones are listed instead
LONGEST = 280  # characters of a text
WIDEST = 64  # pixels; larger pictures are reduced


@dataclass(frozen=True)
class Sample:
    """One query with its answers, ready to print.

    Attributes:
        place: its number in the claim, from 1.
        values: the first numbers of a query that is no picture; the beginning of a text; a record's fields.
        source, suspect: the answers in words; empty if they are not known.
        figure: both answers as bars, for classifiers of few classes.
        agree: whether both name the same top class; None for values.
    """

    place: int
    values: tuple[str, ...]
    source: str
    suspect: str
    figure: Markup
    agree: bool | None


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether inputs (c, h, w) can be shown: grey or RGB, at least 4 pixels a side."""
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= 4


def png(image: Array) -> str:
    """An image (c, h, w) as a PNG data URI; values outside [0, 1] are stretched into it."""
    low, high = min(0.0, float(image.min())), max(1.0, float(image.max()))
    pixels = np.round((image - low) / (high - low) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
    if max(picture.size) > WIDEST:
        picture.thumbnail((WIDEST, WIDEST))
    file = BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def source_answers(claim: Claim) -> Floats | None:
    """The source's own answers (q, k), where the claim's method keeps them: "source" (q, k), "owners" (m, q, k), or
    "labels" (m, q).

    Owners and labels have the source's row first.
    """
    q, k = len(claim.queries), claim.task.outputs
    labels = claim.tensors.get("labels", np.zeros(0))
    if (
        labels.dtype.kind == "i"
        and labels.ndim == 2
        and labels.shape[1] == q
        and 0 <= labels[0].min() <= labels[0].max() < k
    ):
        return one_hot(labels[0], k)
    kept = claim.tensors.get("source", claim.tensors.get("owners", np.zeros(0)))
    rows = kept[0] if kept.ndim == 3 else kept
    return rows if rows.shape == (q, k) and rows.dtype.kind == "f" else None


def samples(claim: Claim, source: Floats | None, suspect: Floats | None, labels: Sequence[str], n: int) -> list[Sample]:
    """The claim's first `n` queries: the ones a smaller test would ask, chosen without regard to any suspect."""
    if source is None and suspect is None:
        return []
    n = min(n, *(len(rows) for rows in (source, suspect) if rows is not None))
    return [
        _sample(claim, i, None if source is None else source[i], None if suspect is None else suspect[i], labels)
        for i in range(n)
    ]


def _sample(claim: Claim, i: int, source: Floats | None, suspect: Floats | None, labels: Sequence[str]) -> Sample:
    values = () if is_picture(claim.task.shape) else _first_values(claim, i)
    if claim.task.values:
        return Sample(i + 1, values, _numbers(source), _numbers(suspect), Markup(""), None)
    said, heard, agree = _top(source, labels), _top(suspect, labels), None
    if source is not None and suspect is not None and len(source) == len(suspect):
        agree = bool(source.argmax() == suspect.argmax())
    label = f"Query {i + 1}. Source: {said}. Suspect: {heard or 'not kept'}."
    shown = suspect is None or agree is not None
    return Sample(i + 1, values, said, heard, _figure(source, suspect, label) if shown else Markup(""), agree)


def _figure(source: Floats | None, suspect: Floats | None, label: str) -> Markup:
    """Both answers as bars, where the source's are known and few enough."""
    if source is None or len(source) > MOST_CLASSES:
        return Markup("")
    return mirror(source.tolist(), None if suspect is None else suspect.tolist(), label)


def _first_values(claim: Claim, i: int) -> tuple[str, ...]:
    if claim.task.form is not Form.NUMBERS:
        return _first_words(str(claim.queries[i]), claim.task.form)
    flat = claim.queries[i].ravel()
    return (*(number(float(v)) for v in flat[:6]), *(["…"] if len(flat) > 6 else []))


def _first_words(text: str, form: Form) -> tuple[str, ...]:
    if form is Form.RECORDS:
        return tuple(f"{key}: {value}"[:LONGEST] for key, value in list(json.loads(text).items())[:12])
    return (text if len(text) <= LONGEST else text[:LONGEST] + "…",)


def _numbers(row: Floats | None) -> str:
    if row is None:
        return ""
    return ", ".join(number(float(v)) for v in row[:4]) + (f", … ({len(row)} values)" if len(row) > 4 else "")


def _top(row: Floats | None, labels: Sequence[str]) -> str:
    if row is None:
        return ""
    best = int(row.argmax())
    name = labels[best] if best < len(labels) else str(best)
    return name if row[best] == 1 else f"{name} ({row[best]:.2f})"
