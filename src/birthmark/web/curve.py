"""The evidence curve: z of the suspect after each batch, with the band of its placebos."""

from collections.abc import Sequence

from markupsafe import Markup

from birthmark.types import Plain

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 200, 36, 22


def drawn(points: Sequence[Plain], queries: int) -> Markup:
    """An SVG of the curve; empty before there is a point.

    Args:
        points: "queries", "z", and "low" and "high" of the placebos, after each batch.
        queries: of the whole test.
    """
    if not points:
        return Markup()
    top = max(4.0, *(p["z"] for p in points), *(p["high"] for p in points))
    low = min(-3.0, *(p["z"] for p in points), *(p["low"] for p in points))

    def at(n: float, z: float) -> str:
        x = LEFT + (WIDTH - LEFT - 8) * n / max(queries, 1)
        return f"{x:.1f},{8 + (HEIGHT - BOTTOM - 8) * (top - z) / (top - low):.1f}"

    upper = " ".join(at(p["queries"], p["high"]) for p in points)
    lower = " ".join(at(p["queries"], p["low"]) for p in reversed(points))
    line = " ".join(at(p["queries"], p["z"]) for p in points)
    last = points[-1]
    x, y = at(last["queries"], last["z"]).split(",")
    zero = at(0, 0).split(",")[1]
    return Markup(
        '<svg class="curve" viewBox="0 0 {w} {h}" role="img" aria-label="After {n} queries the suspect stands at z = '
        '{z:.2f}; its placebos lie between {low:.2f} and {high:.2f}">'
        '<path class="grid" d="M{left} {zero}H{right}"/><polygon class="band" points="{upper} {lower}"/>'
        '<polyline class="line" points="{line}"/><circle class="on" cx="{x}" cy="{y}" r="5"/>'
        '<text x="{left}" y="{base}">0</text><text x="{right}" y="{base}" text-anchor="end">{queries} queries</text>'
        '<text x="0" y="{zero}">z 0</text></svg>'
    ).format(
        w=WIDTH,
        h=HEIGHT,
        n=last["queries"],
        z=last["z"],
        low=last["low"],
        high=last["high"],
        left=LEFT,
        zero=zero,
        right=WIDTH - 8,
        upper=upper,
        lower=lower,
        line=line,
        x=x,
        y=y,
        base=HEIGHT - 4,
        queries=queries,
    )
