"""Evasion at the suspect's own API: what a thief puts between the stolen model and whoever asks it.

Every evasion is an oracle around an oracle, so any number can be stacked on any suspect. A stack is named in one line,
applied from left to right: what comes first is nearest to the model.

    evade(suspect, "temperature:heat=2|round:digits=2", seed=0)
    evade(suspect, "jpeg:quality=75|noise:level=0.02", seed=0)
    evade(suspect, "detector:share=0.05", seed=0, data=inputs_of_the_thief)

Randomised evasions draw from the seed, the query, and how often it was asked before: the same questions in the same
order get the same answers, however they are cut into batches, and a repeated question gets a new draw as on a real
service.
"""

from collections import Counter
from collections.abc import Callable
from inspect import Parameter, signature

import numpy as np
from scipy import ndimage

from birthmark.answers import as_labels
from birthmark.crafting import images
from birthmark.errors import DataError, SettingError, ShapeError, nearest
from birthmark.inputs import query_digest
from birthmark.oracle import HardLabels, Oracle, Probabilities, Rounded, TopK, Wrapper
from birthmark.types import Answers, Array, Floats


class Draws:
    """Generators that depend on the seed, the query, and how often it was asked before."""

    def __init__(self, seed: int) -> None:
        self.seed, self.asked = seed, Counter[str]()

    def __call__(self, row: Array) -> np.random.Generator:
        digest = query_digest(row)
        self.asked[digest] += 1
        return np.random.default_rng([self.seed, int(digest[:15], 16), self.asked[digest]])


class InputNoise(Wrapper):
    """Gaussian noise of standard deviation `level`, in input units, on every input."""

    def __init__(self, inner: Oracle, level: float = 0.01, *, seed: int = 0) -> None:
        super().__init__(inner)
        self.level, self.draws = _positive("level", level), Draws(seed)

    def __call__(self, inputs: Array) -> Floats:
        noise = np.stack([self.draws(row).normal(0, self.level, row.shape) for row in inputs])
        return self.inner((inputs + noise).astype(np.float32))


class Jpeg(Wrapper):
    """Images pass through a JPEG file of `quality`, 1 to 95."""

    def __init__(self, inner: Oracle, quality: int = 75) -> None:
        super().__init__(inner)
        if not 1 <= quality <= 95:
            raise SettingError(f"expected a JPEG quality from 1 to 95, got {quality}")
        self.quality = quality

    def __call__(self, inputs: Array) -> Floats:
        return self.inner(images.jpeg(inputs, self.quality))


class BitDepth(Wrapper):
    """Inputs in [0, 1] are rounded to 2^bits levels (feature squeezing; Xu, Evans & Qi 2018)."""

    def __init__(self, inner: Oracle, bits: int = 4) -> None:
        super().__init__(inner)
        if not 1 <= bits <= 16:
            raise SettingError(f"expected 1 to 16 bits, got {bits}")
        self.top = 2**bits - 1

    def __call__(self, inputs: Array) -> Floats:
        return self.inner((np.round(np.clip(inputs, 0, 1) * self.top) / self.top).astype(np.float32))


class Smooth(Wrapper):
    """Images are smoothed: `kind` is gaussian (standard deviation `size`, pixels), mean or median (`size` x `size`
    pixels).
    """

    def __init__(self, inner: Oracle, kind: str = "gaussian", size: float = 0.5) -> None:
        super().__init__(inner)
        if kind not in ("gaussian", "mean", "median"):
            raise SettingError(f"expected smoothing of kind gaussian, mean or median, got {kind!r}")
        self.kind, self.size = kind, _positive("size", size)

    def __call__(self, inputs: Array) -> Floats:
        x, side = _images(inputs, "smooth"), (1, 1, round(self.size), round(self.size))
        if self.kind == "gaussian":
            done = ndimage.gaussian_filter(x, (0, 0, self.size, self.size))
        else:
            done = ndimage.uniform_filter(x, side) if self.kind == "mean" else ndimage.median_filter(x, side)
        return self.inner(done.astype(np.float32))


class Flip(Wrapper):
    """Images are flipped left to right: all of them, or a random half with `share` = .5."""

    def __init__(self, inner: Oracle, share: float = 0.5, *, seed: int = 0) -> None:
        super().__init__(inner)
        self.share, self.draws = _share("share", share), Draws(seed)

    def __call__(self, inputs: Array) -> Floats:
        x = _images(inputs, "flip")
        turned = np.array([self.draws(row).random() < self.share for row in x])
        return self.inner(np.where(turned[:, None, None, None], x[..., ::-1], x))


class Shift(Wrapper):
    """Images are moved by up to `pixels` in both directions, edges repeated."""

    def __init__(self, inner: Oracle, pixels: int = 1, *, seed: int = 0) -> None:
        super().__init__(inner)
        if pixels < 0:
            raise SettingError(f"expected pixels >= 0, got {pixels}")
        self.pixels, self.draws = pixels, Draws(seed)

    def __call__(self, inputs: Array) -> Floats:
        x, s = _images(inputs, "shift"), self.pixels
        padded = np.pad(x, ((0, 0), (0, 0), (s, s), (s, s)), mode="edge")
        h, w = x.shape[2:]
        places = [self.draws(row).integers(0, 2 * s + 1, 2) for row in x]
        return self.inner(
            np.stack(
                [image[:, top : top + h, left : left + w] for image, (top, left) in zip(padded, places, strict=True)]
            )
        )


class Reconstruct(Wrapper):
    """Inputs are rebuilt from their first `width` principal coordinates on the thief's data: a linear autoencoder."""

    def __init__(self, inner: Oracle, width: int = 32, *, data: Array) -> None:
        super().__init__(inner)
        if width < 1:
            raise SettingError(f"expected a width of 1 or more, got {width}")
        flat = _known(data, "reconstruct").reshape(len(data), -1).astype(np.float64)
        self.mean = flat.mean(axis=0)
        self.axes = np.linalg.svd(flat - self.mean, full_matrices=False)[2][:width]

    def __call__(self, inputs: Array) -> Floats:
        flat = inputs.reshape(len(inputs), -1) - self.mean
        return self.inner((flat @ self.axes.T @ self.axes + self.mean).reshape(inputs.shape).astype(np.float32))


class Temperature(Wrapper):
    """Probabilities are raised to 1 / `heat` and renormalised: above 1 flatter, below 1 sharper."""

    def __init__(self, inner: Oracle, heat: float = 2.0) -> None:
        super().__init__(Probabilities(inner))
        self.heat = _positive("heat", heat)

    def __call__(self, inputs: Array) -> Floats:
        if self.answers is Answers.VALUES:
            raise ShapeError("temperature: expected a classifier, got an oracle of real values")
        rows = np.maximum(self.inner(inputs), 0) ** (1 / self.heat)
        return np.asarray(rows / rows.sum(axis=1, keepdims=True))


class OutputNoise(Wrapper):
    """Probabilities are multiplied by e^g, g normal of standard deviation `level`, and renormalised.

    Noise on every logit.
    """

    def __init__(self, inner: Oracle, level: float = 0.3, *, seed: int = 0) -> None:
        super().__init__(Probabilities(inner))
        self.level, self.draws = _positive("level", level), Draws(seed)

    def __call__(self, inputs: Array) -> Floats:
        rows = self.inner(inputs)
        noise = np.stack([self.draws(row).normal(0, self.level, rows.shape[1]) for row in inputs])
        if self.answers is Answers.VALUES:
            return np.asarray(rows + noise * rows.std(axis=0))
        rows = np.maximum(rows, 0) * np.exp(noise)
        return np.asarray(rows / rows.sum(axis=1, keepdims=True))


class RandomisedSmoothing(Wrapper):
    """Answers the mean over `copies` noisy versions of every input (Cohen, Rosenfeld & Kolter 2019), noise `level` in
    input units.
    """

    def __init__(self, inner: Oracle, copies: int = 10, level: float = 0.1, *, seed: int = 0) -> None:
        super().__init__(Probabilities(inner))
        if copies < 1:
            raise SettingError(f"expected at least 1 copy, got {copies}")
        self.copies, self.level, self.draws = copies, _positive("level", level), Draws(seed)

    def __call__(self, inputs: Array) -> Floats:
        noise = np.stack([self.draws(row).normal(0, self.level, (self.copies, *row.shape)) for row in inputs])
        rows = self.inner((inputs[:, None] + noise).reshape(-1, *inputs.shape[1:]).astype(np.float32))
        mean = rows.reshape(len(inputs), self.copies, -1).mean(axis=1)
        return as_labels(mean) if self.answers is Answers.LABELS else np.asarray(mean)


class Detector(Wrapper):
    """Inputs unlike the thief's data are answered at random.

    How unlike an input is: its distance to the data's mean and its reconstruction error in the data's first principal
    coordinates, each against the data's own spread. Those are fitted on one half of the data; the threshold turns away
    a `share` of the other half. What is turned away gets the answer to another input, drawn at random.
    """

    def __init__(self, inner: Oracle, share: float = 0.05, width: int = 32, *, seed: int = 0, data: Array) -> None:
        super().__init__(Probabilities(inner))
        flat = _known(data, "detector")[::2].reshape(-(-len(data) // 2), -1).astype(np.float64)
        self.seed = seed
        self.mean = flat.mean(axis=0)
        _, sizes, axes = np.linalg.svd(flat - self.mean, full_matrices=False)
        width = max(1, min(width, int((sizes > 1e-6 * sizes[0]).sum()) - 1))
        self.axes, self.spread = axes[:width], sizes[:width] / np.sqrt(len(flat))
        self.error = max(float(np.median(self._parts(flat)[1])), 1e-9)
        self.limit = float(np.quantile(self.strangeness(data[1::2]), 1 - _share("share", share)))
        self.others = self.inner(data[:200])

    def _parts(self, flat: Floats) -> tuple[Floats, Floats]:
        centred = flat - self.mean
        inside = centred @ self.axes.T
        return (inside / self.spread) ** 2, ((centred - inside @ self.axes) ** 2).sum(axis=1)

    def strangeness(self, inputs: Array) -> Floats:
        """How unlike the thief's data inputs are, (n,): about 2 for typical ones."""
        inside, error = self._parts(inputs.reshape(len(inputs), -1).astype(np.float64))
        return np.asarray(inside.mean(axis=1) + error / self.error)

    def __call__(self, inputs: Array) -> Floats:
        rows, strange = self.inner(inputs), self.strangeness(inputs) > self.limit
        for place in np.flatnonzero(strange):
            random = np.random.default_rng([self.seed, int(query_digest(inputs[place])[:15], 16)])
            rows[place] = self.others[random.integers(len(self.others))]
        return rows


def _positive(name: str, value: float) -> float:
    if value <= 0:
        raise SettingError(f"expected {name} above 0, got {value}")
    return value


def _share(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise SettingError(f"expected {name} in (0, 1], got {value}")
    return value


def _images(inputs: Array, name: str) -> Array:
    if inputs.ndim != 4:
        raise ShapeError(f"{name}: expected images (n, c, h, w), got inputs of shape {inputs.shape}; use noise or bits")
    return inputs


def _known(data: Array | None, name: str) -> Array:
    if data is None or len(data) < 10:
        raise DataError(
            f"{name}: expected at least 10 inputs of the thief's to compare with, got "
            f"{0 if data is None else len(data)}"
        )
    return data


EVASIONS: dict[str, Callable[..., Oracle]] = {
    "noise": InputNoise,
    "jpeg": Jpeg,
    "bits": BitDepth,
    "smooth": Smooth,
    "flip": Flip,
    "shift": Shift,
    "reconstruct": Reconstruct,
    "temperature": Temperature,
    "output-noise": OutputNoise,
    "topk": TopK,
    "round": Rounded,
    "argmax": HardLabels,
    "randomised-smoothing": RandomisedSmoothing,
    "detector": Detector,
}


def evade(oracle: Oracle, stack: str, *, seed: int = 0, data: Array | None = None) -> Oracle:
    """The oracle behind a stack of evasions, "name:setting=value,setting=value|name", nearest to the model first.

    Args:
        data: the thief's own inputs (n, *d), for the detector and the reconstruction.

    Raises:
        UnknownName: no such evasion.
        SettingError: a setting it does not have, a value of another type, or a required one missing.
    """
    for place, part in enumerate(filter(None, stack.split("|"))):
        name, _, rest = part.strip().partition(":")
        if name not in EVASIONS:
            raise nearest("evasion", name, EVASIONS)
        hidden = {"seed": seed + place, "data": data}
        oracle = EVASIONS[name](
            oracle, **_given(name, rest), **{key: value for key, value in hidden.items() if key in _parameters(name)}
        )
    return oracle


def _given(name: str, text: str) -> dict[str, object]:
    """Settings from "setting=value,setting=value"."""
    known, given = settings_of(name), dict[str, object]()
    for item in filter(None, text.split(",")):
        key, _, value = item.partition("=")
        if key not in known:
            raise SettingError(f"{name} has no setting {key!r}; it has {', '.join(known) or 'none'}")
        try:
            given[key] = known[key](value)
        except ValueError:
            raise SettingError(f"{name}: expected {key} to be a {known[key].__name__}, got {value!r}") from None
    for key, parameter in _parameters(name).items():
        if key in known and key not in given and parameter.default is Parameter.empty:
            raise SettingError(f"{name}: expected {key}, as in {name}:{key}=...")
    return given


def settings_of(name: str) -> dict[str, type]:
    """An evasion's settings and their types, for tables and for checking plans."""
    return {key: p.annotation for key, p in _parameters(name).items() if key not in ("inner", "seed", "data")}


def _parameters(name: str) -> dict[str, Parameter]:
    return dict(signature(EVASIONS[name]).parameters)
