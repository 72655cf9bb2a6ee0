"""Figures as inline SVG with percent coordinates: they take the page's width, fonts and colours, light or dark.

Drawn by hand rather than by a plotting library: a strip of marks is a few lines, follows the reader's colour scheme,
keeps its text size on a telephone, and is the same bytes on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import asinh, ceil, floor, isfinite, log10

import numpy as np
from markupsafe import Markup

from birthmark import stats
from birthmark.evidence import Evidence

MOST_TICKS = 120  # more placebos are drawn as a histogram
LINEAR = 30.0  # axes that reach further are compressed
LEFT, RIGHT = 1.5, 98.5  # percent: room for half a mark


@dataclass(frozen=True)
class Axis:
    """Standard deviations -> percent of the width; compressed (asinh) where the values span orders of magnitude."""

    low: float
    high: float

    @property
    def compressed(self) -> bool:
        return max(abs(self.low), abs(self.high)) > LINEAR

    def bend(self, z: float) -> float:
        return asinh(z / 3) if self.compressed else z

    def at(self, z: float) -> float:
        """Percent of the width, clipped to the axis; infinities stand at the edges."""
        inside = min(max(z, self.low), self.high)
        share = (self.bend(inside) - self.bend(self.low)) / (self.bend(self.high) - self.bend(self.low))
        return round(LEFT + (RIGHT - LEFT) * share, 2)

    @property
    def ticks(self) -> list[float]:
        if self.compressed:
            sizes = [3.0, 10.0] + [10.0**power for power in range(2, 10)]
            return [t for t in [*(-s for s in reversed(sizes)), 0.0, *sizes] if self.low <= t <= self.high]
        rough = (self.high - self.low) / 6
        size = 10.0 ** floor(log10(rough))
        step = next(s * size for s in (1, 2, 5, 10) if s * size >= rough)
        return [step * i for i in range(ceil(self.low / step), floor(self.high / step) + 1)]


def axis(values: Sequence[float]) -> Axis:
    """An axis around all finite values and zero."""
    finite = [v for v in values if isfinite(v)] or [0.0]
    low, high = min(-2.0, *finite), max(2.0, *finite)
    pad = 0.03 * (high - low)
    return Axis(low - pad, high + pad)


@dataclass(frozen=True)
class Stand:
    """Where one suspect stands, in standard deviations of its own placebos: its score, theirs, and the references'."""

    z: float
    placebos: tuple[float, ...]
    references: tuple[float, ...]


def stand(evidence: Evidence) -> Stand:
    null = np.array(evidence.placebos)
    spread = null.std(ddof=1) if len(null) > 1 else 0.0
    return Stand(
        stats.standardised(evidence.score, evidence.placebos) if len(null) else float("nan"),
        tuple(((null - null.mean()) / spread).tolist()) if spread else (0.0,) * len(null),
        tuple(z for z in (*evidence.references_z, *evidence.treated_z) if isfinite(z))
        if evidence.null == "placebos"
        else (),
    )


def axis_of(stands: Sequence[Stand]) -> Axis:
    return axis([z for s in stands for z in (s.z, *s.placebos, *s.references)])


def mark(z: float, scale: Axis, y: float, verdict: str) -> Markup:
    """A suspect: filled disc (supported), half disc (inconclusive), ring (not supported): told apart without colour."""
    x = scale.at(z)
    if verdict == "supported":
        return Markup('<circle class="on" cx="{}%" cy="{}" r="5.5"/>').format(x, y)
    ring = Markup('<circle class="ring" cx="{}%" cy="{}" r="5"/>').format(x, y)
    if verdict == "inconclusive":
        return ring + Markup(
            '<svg x="{}%" y="{}" overflow="visible"><path class="half" d="M0-5a5 5 0 0 0 0 10z"/></svg>'
        ).format(x, y)
    return ring


def _uprights(css: str, places: Sequence[float], top: float, bottom: float) -> Markup:
    """Vertical lines at percents of the width, as one path that stretches while its strokes do not."""
    if not places:
        return Markup("")
    return Markup(
        '<svg y="{}" width="100%" height="{}" viewBox="0 0 100 1" preserveAspectRatio="none" x="0">'
        '<path class="{}" vector-effect="non-scaling-stroke" d="{}"/></svg>'
    ).format(top, bottom - top, css, "".join(f"M{place:g} 0V1" for place in places))


def _grid(scale: Axis, height: float) -> Markup:
    return _uprights("grid", [scale.at(t) for t in scale.ticks if t], 0, height) + _uprights(
        "zero", [scale.at(0)], 0, height
    )


def _placebos(values: Sequence[float], scale: Axis, y: float, tall: float) -> Markup:
    places = sorted(scale.at(z) for z in values)
    if len(places) <= MOST_TICKS:
        return _uprights("tick", places, y - tall, y + tall)
    counts, edges = np.histogram(places, bins=60, range=(0, 100))
    bars = (
        f"M{left:.2f} 1v{-c / counts.max():.3f}h1.5V1"
        for c, left in zip(counts.tolist(), edges.tolist(), strict=False)
        if c
    )
    return Markup(
        '<svg y="{}" width="100%" height="{}" viewBox="0 0 100 1" preserveAspectRatio="none" x="0"><path class="bar" '
        'd="{}"/></svg>'
    ).format(y - tall, 2 * tall, "".join(bars))


def _diamonds(values: Sequence[float], scale: Axis, y: float, size: float = 4) -> Markup:
    return Markup("").join(
        Markup('<svg x="{}%" y="{}" overflow="visible"><path class="ref" d="M0-{}L{} 0 0 {}-{} 0z"/></svg>').format(
            scale.at(z), y, size, size, size, size
        )
        for z in sorted(values)
    )


def row(where: Stand, scale: Axis, verdict: str, label: str) -> Markup:
    """One suspect's line of the overview: its placebos as ticks, itself as a disc, the references as diamonds below."""
    height = 32 if where.references else 24
    return (
        Markup('<svg class="strip" height="{}" role="img" aria-label="{}">').format(height, label)
        + _grid(scale, height)
        + _placebos(where.placebos, scale, 12, 5)
        + _diamonds(where.references, scale, 25, 3)
        + mark(where.z, scale, 12, verdict)
        + Markup("</svg>")
    )


def ruler(scale: Axis) -> Markup:
    """The numbers under strips drawn on the same axis."""
    return (
        Markup('<svg class="strip ruler" height="20" aria-hidden="true">')
        + Markup("").join(
            Markup('<text x="{}%" y="14">{}</text>').format(scale.at(t), f"{t:g}".replace("-", "−"))
            for t in scale.ticks
        )
        + Markup("</svg>")
    )


def lanes(where: Stand, scale: Axis, verdict: str, label: str) -> Markup:
    """One suspect among its placebos; below, the owner's references on the same axis."""
    height = 84 if where.references else 52
    return (
        Markup('<svg class="strip lanes" height="{}" role="img" aria-label="{}">').format(height, label)
        + _grid(scale, height)
        + _placebos(where.placebos, scale, 26, 10)
        + Markup('<line class="drop" x1="{}%" x2="{}%" y1="2" y2="{}"/>').format(
            scale.at(where.z), scale.at(where.z), height - 2
        )
        + mark(where.z, scale, 26, verdict)
        + _diamonds(where.references, scale, 66)
        + Markup("</svg>")
    )


def mirror(source: Sequence[float], suspect: Sequence[float] | None, label: str) -> Markup:
    """Two rows of probabilities as bars about one line: the source's upwards, the suspect's downwards."""
    k = len(source)
    wide = 100 / k

    def bars(rows: Sequence[float], css: str, down: bool) -> Markup:
        return Markup("").join(
            Markup('<rect class="{}" x="{}%" width="{}%" y="{}" height="{}"/>').format(
                css,
                round(i * wide + wide * 0.12, 2),
                round(wide * 0.76, 2),
                33 if down else round(32 - 30 * p, 1),
                round(30 * p, 1),
            )
            for i, p in enumerate(rows)
            if p >= 0.005
        )

    return (
        Markup('<svg class="mirror" height="65" role="img" aria-label="{}">').format(label)
        + bars(source, "up", False)
        + Markup('<line class="zero" x1="0" x2="100%" y1="32.5" y2="32.5"/>')
        + (bars(suspect, "down", True) if suspect is not None else Markup(""))
        + Markup("</svg>")
    )
