"""The crafted fingerprints' formulas, one model, one query and one class at a time: slow and obvious."""

from math import exp, log


def softmax(z):
    top = max(z)
    e = [exp(v - top) for v in z]
    return [v / sum(e) for v in e]


def boundary(z, i, j, k):
    """IPGuard: ReLU(Z_i - Z_j + k) + ReLU(max over the other classes - Z_i)."""
    rest = max(v for c, v in enumerate(z) if c not in (i, j))
    return max(z[i] - z[j] + k, 0) + max(rest - z[i], 0)


def margin(z, y, kappa):
    """Carlini and Wagner's targeted hinge, as NaturalFinger uses it."""
    return max(max(v for c, v in enumerate(z) if c != y) - z[y], -kappa)


def confer(surrogate_labels, reference_labels, t):
    """CEM: Transfer(surrogates) (1 - Transfer(references)) on one query."""
    on = sum(label == t for label in surrogate_labels) / len(surrogate_labels)
    off = sum(label == t for label in reference_labels) / len(reference_labels)
    return on * (1 - off)


def conferrable_loss(source, clean, surrogates, references, y, alpha, beta, gamma, cap):
    """CEM's three terms on one query, from logits; the composite without its softmax, over classes other than y."""
    f, f0 = softmax(source), softmax(clean)
    k = len(f)
    surr = [sum(softmax(m)[c] for m in surrogates) / len(surrogates) for c in range(k)]
    ref = [sum(softmax(m)[c] for m in references) / len(references) for c in range(k)]
    first = -log(max(surr[c] * (1 - ref[c]) for c in range(k) if c != y))
    second = -sum(f0[c] * log(f[c]) for c in range(k))
    third = -sum(f[c] * log(surr[c]) for c in range(k))
    return alpha * first - beta * min(second, cap) + gamma * third


def local_verifiers(answers, weights, bias):
    """LiteGuard: the mean over queries of sigmoid(<w, y> + b)."""
    each = [
        1 / (1 + exp(-(sum(a * w for a, w in zip(row, ws, strict=True)) + b)))
        for row, ws, b in zip(answers, weights, bias, strict=True)
    ]
    return sum(each) / len(each)


def joint_verifier(answers, w1, b1, w2, b2):
    """MetaV: two linear layers on all answers side by side, softmax, share of the second output."""
    flat = [value for row in answers for value in row]
    hidden = [sum(w * v for w, v in zip(row, flat, strict=True)) + b for row, b in zip(w1, b1, strict=True)]
    z = [sum(w * h for w, h in zip(row, hidden, strict=True)) + b for row, b in zip(w2, b2, strict=True)]
    return softmax(z)[1]


def divergence(p, q):
    """MetaFinger: KL(p || q)."""
    return sum(a * (log(a) - log(b)) for a, b in zip(p, q, strict=True))
