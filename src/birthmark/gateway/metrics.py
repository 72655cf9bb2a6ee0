"""Counters and histograms in Prometheus' text format."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate, groupby

BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
HELP = {
    "birthmark_requests_total": "Requests by outcome: marked, unmarked (policy open), passed, refused, upstream-error.",
    "birthmark_refused_total": "Requests the gateway answered itself, by reason.",
    "birthmark_unmarked_total": "Predictions that could not be marked, by reason; answered only under the policy open.",
    "birthmark_unlogged_total": "Predictions that could not be logged; answered only under the policy open.",
    "birthmark_rows_total": "Answer rows, marked and unmarked.",
    "birthmark_key_reloads_total": "Reloads of key and keyring.",
    "birthmark_request_seconds": "Time from request to answer.",
    "birthmark_mark_seconds": "Time spent reading, marking and writing an answer.",
    "birthmark_clients": "Clients met since the keys were loaded.",
    "birthmark_log_bytes": "Size of the query log.",
    "birthmark_log_records": "Records in the query log since it was begun.",
    "birthmark_log_clock_jumps": "Times the clock went back; the order of records is the chain's.",
}


class Metrics:
    """A few counters, for one event loop."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self.times: dict[str, tuple[list[int], list[float]]] = {}

    def count(self, name: str, by: float = 1, /, **labels: str) -> None:
        """Add to a counter."""
        key = (name, tuple(labels.items()))
        self.counts[key] = self.counts.get(key, 0) + by

    def observe(self, name: str, seconds: float) -> None:
        """Add to a histogram."""
        if name not in self.times:
            self.times[name] = [0] * (len(BOUNDS) + 1), [0.0]
        buckets, total = self.times[name]
        buckets[bisect_left(BOUNDS, seconds)] += 1
        total[0] += seconds

    def value(self, name: str, **labels: str) -> float:
        """A counter's value, 0 if it never moved."""
        return self.counts.get((name, tuple(labels.items())), 0)

    def _counters(self) -> Iterator[str]:
        for name, counts in groupby(sorted(self.counts.items()), lambda count: count[0][0]):
            yield from (f"# HELP {name} {HELP[name]}", f"# TYPE {name} counter")
            for (_, labels), value in counts:
                inside = ",".join(f'{label}="{text}"' for label, text in labels)
                yield f"{name}{{{inside}}} {value:g}" if inside else f"{name} {value:g}"

    def _histograms(self) -> Iterator[str]:
        for name, (buckets, total) in sorted(self.times.items()):
            yield from (f"# HELP {name} {HELP[name]}", f"# TYPE {name} histogram")
            seen = list(accumulate(buckets))
            for bound, n in zip((*map(str, BOUNDS), "+Inf"), seen, strict=True):
                yield f'{name}_bucket{{le="{bound}"}} {n}'
            yield from (f"{name}_sum {total[0]:.6f}", f"{name}_count {seen[-1]}")

    def text(self, gauges: Mapping[str, float], key: str) -> str:
        """Everything in Prometheus' text format; `key` is the fingerprint of the key in force."""
        lines = [*self._counters(), *self._histograms()]
        for name, value in gauges.items():
            lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge", f"{name} {value:g}"]
        lines += [
            "# HELP birthmark_key_info Fingerprint of the master key in force.",
            "# TYPE birthmark_key_info gauge",
            f'birthmark_key_info{{key="{key}"}} 1',
        ]
        return "\n".join(lines) + "\n"
