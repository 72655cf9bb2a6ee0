"""SAC's distance, one pair at a time, as the released code is described: slow and obvious."""

from math import exp, sqrt


def angle(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sqrt(sum(x * x for x in a)) * sqrt(sum(y * y for y in b)))


def entry(a, b, kernel):
    if kernel == "cosine":
        return (1 - angle(a, b)) / 2
    u = [x / sqrt(sum(v * v for v in a)) for x in a]
    w = [x / sqrt(sum(v * v for v in b)) for x in b]
    return exp(-sum((x - y) ** 2 for x, y in zip(u, w, strict=True)))


def label_row(row):
    """softmax of 1 at the predicted class and .01 elsewhere."""
    top = max(range(len(row)), key=lambda c: row[c])
    raw = [exp(1.0 if c == top else 0.01) for c in range(len(row))]
    return [value / sum(raw) for value in raw]


def distance(source, suspect, kernel):
    n, total = len(source), 0.0
    for i in range(n):
        for j in range(n):
            total += abs(entry(suspect[i], suspect[j], kernel) - entry(source[i], source[j], kernel))
    return total / n**2
