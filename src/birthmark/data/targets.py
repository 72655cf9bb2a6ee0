"""Targets as they are given, to class numbers or values: what they seem to be, or a line that says what they lack."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birthmark.errors import DataError

Values = NDArray[np.generic]


def words_said(words: Sequence[str]) -> list[str]:
    """A note that says which class each word is."""
    named = ", ".join(f"{word!r} is class {i}" for i, word in enumerate(words[:20]))
    return [f"labels are words: {named}"] if words else []


def is_classes(targets: Values) -> bool:
    return targets.dtype == np.int64


def numbered(raw: Mapping[str, Values], path: Path | str) -> tuple[dict[str, Values], list[str]]:
    """Targets as `Samples` has them, class numbers (n,) int64 or values (n, k) float32; and the classes' words.

    Args:
        raw: targets by the names that messages call them; the first of them decide.

    Raises:
        DataError: words that the first lack, kinds that differ, or targets that cannot be what they seem.
    """
    key, words = next(iter(raw)), list[str]()
    if raw[key].dtype.kind in "US":
        raw, words = _numbers_of_words(raw, path)
    found = {key: _targets(t, f"{path}: {key}") for key, t in raw.items()}
    if len({(t.dtype, t.shape[1:]) for t in found.values()}) > 1:
        raise DataError(f"{path}: {' and '.join(raw)} are of different kinds; give them all as class numbers or values")
    if is_classes(found[key]):
        _check_labels(found[key], f"{path}: {key}")
    return found, words


def _numbers_of_words(raw: Mapping[str, Values], path: Path | str) -> tuple[dict[str, Values], list[str]]:
    texts = {key: _text(t, f"{path}: {key}") for key, t in raw.items()}
    key = next(iter(texts))
    words = sorted(set(texts[key].ravel().tolist()))
    for name, t in texts.items():
        if strange := {str(word) for word in t.ravel().tolist()} - set(words):
            raise DataError(f"{path}: {name} has the label {min(strange)!r}, which {key} has not")
    return {key: np.searchsorted(np.array(words), t) for key, t in texts.items()}, words


def _text(t: Values, name: str) -> Values:
    try:
        text = np.char.decode(np.asarray(t, dtype=np.bytes_), "utf-8") if t.dtype.kind == "S" else t
        "".join(map(str, text.ravel().tolist())).encode()
        return text
    except (UnicodeError, SystemError) as error:  # NumPy stores any number as a character
        raise DataError(f"{name}: words with what is no character ({error}); write them again") from None


def _targets(t: Values, name: str) -> Values:
    if t.dtype.kind not in "buif" or not (t.ndim and t.size and np.isfinite(t).all()):
        unfinished = ", not all finite" if t.size and t.dtype.kind == "f" else ""
        raise DataError(
            f"{name}: expected class numbers, words or finite values, got {t.dtype} of shape {t.shape}{unfinished}"
        )
    flat = t.reshape(len(t), -1)
    if t.dtype.kind in "bui" and flat.shape[1] == 1:
        return _class_numbers(flat[:, 0], name)
    _require_values(t, flat, name)
    return flat.astype(np.float32)


def _require_values(t: Values, flat: Values, name: str) -> None:
    """Refuse what looks like classes in another form than numbers."""
    if _one_hot(flat):
        raise DataError(f"{name}: one-hot rows; give class numbers, targets.argmax(axis=1)")
    if t.ndim == 1 and _look_like_labels(t):
        raise DataError(
            f"{name}: the whole numbers {t.min():g} to {t.max():g} stored as {t.dtype}; give class numbers as "
            "integers, targets.astype(int), or values to predict as a column, targets[:, None]"
        )


def _class_numbers(t: Values, name: str) -> Values:
    if t.min() < 0 or t.max() > 2**31:
        raise DataError(f"{name}: class numbers start at 0, got {t.min()} to {t.max()}")
    return t.astype(np.int64)


def _one_hot(rows: Values) -> bool:
    return bool(rows.shape[1] > 1 and np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())


def _look_like_labels(t: Values) -> bool:
    kinds = np.unique(t)
    return 2 * len(kinds) <= len(t) and kinds[0] in (0, 1) and np.array_equal(kinds, kinds[0] + np.arange(len(kinds)))


def _check_labels(labels: Values, name: str) -> None:
    kinds = np.unique(labels)
    if kinds[0] == 1 and kinds[-1] == len(kinds):
        raise DataError(f"{name}: labels go from 1 to {kinds[-1]}; count from 0, targets - 1")
    if kinds[-1] >= max(2 * len(kinds), 10):
        raise DataError(
            f"{name}: {len(kinds)} different labels up to {kinds[-1]}; number them from 0, "
            "numpy.unique(targets, return_inverse=True)[1]"
        )
