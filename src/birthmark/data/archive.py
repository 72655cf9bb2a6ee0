"""Arrays of the owner's own: an .npz file of `inputs` and `targets`, perhaps with `test_inputs` and `test_targets`.

Inputs are (n, d), or images (n, h, w), (n, c, h, w) or (n, h, w, c); bytes are divided by 255, 16-bit integers by the
white of the depth they use, everything else is taken as it is. Targets are class numbers from 0, words (numbered in
sorted order), or real values (n,) or (n, k). Nothing is unpickled, and nothing is unpacked that says it is too large.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.lib import format as npy

from birthmark.data.stored import LARGEST, Read, Stored, Values, bounded, full_scale
from birthmark.errors import DataError

NAMES = ("inputs", "targets", "test_inputs", "test_targets")
ADVICE = "write it with numpy.savez(path, inputs=..., targets=...)"


def npz(path: Path) -> Read:
    """Read an .npz file.

    Raises:
        DataError: damaged, too large, of other arrays, or with targets that cannot be what they seem.
    """
    arrays = _arrays(path)
    parts = _parts(arrays, path)
    targets, words = _numbered({key: arrays[key] for _, key in parts}, path)
    classes = max(int(t.max()) + 1 for t in targets.values()) if _classes(targets["targets"]) else 0
    for name, key in parts:
        _check_inputs(arrays[name], arrays["inputs"], len(targets[key]), f"{path}: {name}")
    scale = _scale([arrays[name] for name, _ in parts])
    sets = [Stored(arrays[name], targets[key], classes, scale) for name, key in parts]
    named = ", ".join(f"{word!r} is class {i}" for i, word in enumerate(words[:20]))
    notes = [f"labels are words: {named}"] if words else []
    return Read(sets[0], sets[1] if sets[1:] else None, (*notes, *_unscaled(arrays["inputs"], scale)))


def _parts(arrays: Mapping[str, Values], path: Path) -> list[tuple[str, str]]:
    """Names of the inputs and targets of each part that is there; the training part must be."""
    parts = [pair for pair in (NAMES[:2], NAMES[2:]) if pair == NAMES[:2] or arrays.keys() & set(pair)]
    missing = [name for pair in parts for name in pair if name not in arrays]
    if missing:
        has = ", ".join(sorted(arrays)) or "none"
        raise DataError(f"{path}: expected an array {missing[0]!r}, got {has}; {ADVICE}")
    return [(inputs, targets) for inputs, targets in parts]


def _arrays(path: Path) -> dict[str, Values]:
    """The archive's arrays of the known NAMES; of others, which are not read, an empty one."""
    with path.open("rb") as start:
        head = start.read(6)
    if head == b"\x93NUMPY":
        raise DataError(f"{path}: a .npy file holds one array without targets; {ADVICE}")
    try:
        with ZipFile(path) as file:
            entries = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            size = sum(entries[name].file_size for name in NAMES if name in entries)
            if size > LARGEST:
                raise DataError(f"{path}: unpacks to {size:,} bytes, more than {LARGEST:,}; give a sample")
            return {
                name: _array(file, entries[name].filename, f"{path}: {name}") if name in NAMES else np.empty(0)
                for name in entries
            }
    except DataError:
        raise
    except (BadZipFile, EOFError) as error:
        what = "is empty" if not head else f"is no .npz file, or a damaged one ({error})"
        raise DataError(f"{path} {what}; {ADVICE}") from None
    except Exception as error:  # decoders of damaged archives raise anything
        raise DataError(f"{path}: cannot be read as .npz without pickles ({error}); {ADVICE}") from None


def _array(file: ZipFile, member: str, name: str) -> Values:
    size = file.getinfo(member).file_size
    with file.open(member) as raw:
        version = npy.read_magic(raw)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read(raw)
        if kind.hasobject:
            raise DataError(f"{name}: an object array, which cannot be read without pickles; give numbers")
        if prod(shape) * kind.itemsize != size - raw.tell():
            raise DataError(
                f"{name}: {shape} of {kind} are {prod(shape) * kind.itemsize} bytes, the file holds "
                f"{size - raw.tell()}; it is damaged"
            )
    with file.open(member) as raw:
        return np.asarray(npy.read_array(raw, allow_pickle=False))


def _check_inputs(inputs: Values, first: Values, targets: int, name: str) -> None:
    if inputs.dtype.kind not in "buif" or inputs.ndim < 2 or not inputs.size:
        raise DataError(
            f"{name}: expected numbers (n, ...) with one input a row, got {inputs.dtype} of shape {inputs.shape}"
        )
    if inputs.shape[1:] != first.shape[1:]:
        raise DataError(f"{name}: expected inputs of shape {first.shape[1:]}, got {inputs.shape[1:]}")
    if len(inputs) != targets:
        raise DataError(f"{name}: expected as many targets as inputs, got {len(inputs)} inputs and {targets} targets")
    bounded(name, inputs.shape)


def _scale(arrays: list[Values]) -> float:
    if all(a.dtype == np.uint8 for a in arrays):
        return 255
    if all(a.dtype == np.uint16 for a in arrays) and arrays[0].ndim > 2:
        return full_scale(max(int(a.max()) for a in arrays))
    return 1


def _unscaled(inputs: Values, scale: float) -> list[str]:
    if scale not in (1, 255):
        return [f"16-bit images that need {int(scale + 1).bit_length() - 1} bits: divided by {int(scale)}"]
    if scale == 1 and inputs.ndim > 2 and inputs.max() > 2:
        return [
            f"image values up to {inputs.max():g} are taken as they are; pictures are best given as bytes (uint8) or "
            "in [0, 1]"
        ]
    return []


def _classes(targets: Values) -> bool:
    return targets.dtype == np.int64


def _numbered(raw: Mapping[str, Values], path: Path) -> tuple[dict[str, Values], list[str]]:
    """Targets as `Samples` has them, class numbers (n,) int64 or values (n, k) float32; and the classes' words."""
    words: list[str] = []
    if raw["targets"].dtype.kind in "US":
        texts = {key: _text(t, f"{path}: {key}") for key, t in raw.items()}
        words = sorted(set(texts["targets"].ravel().tolist()))
        strange = {str(word) for t in texts.values() for word in t.ravel().tolist()} - set(words)
        if strange:
            raise DataError(f"{path}: test_targets has the label {min(strange)!r}, which targets has not")
        raw = {key: np.searchsorted(np.array(words), t) for key, t in texts.items()}
    found = {key: _targets(t, f"{path}: {key}") for key, t in raw.items()}
    if len({(t.dtype, t.shape[1:]) for t in found.values()}) > 1:
        raise DataError(
            f"{path}: targets and test_targets are of different kinds; give both as class numbers or values"
        )
    if _classes(found["targets"]):
        _check_labels(found["targets"], f"{path}: targets")
    return found, words


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
    if _one_hot(flat):
        raise DataError(f"{name}: one-hot rows; give class numbers, targets.argmax(axis=1)")
    if t.ndim == 1 and _look_like_labels(t):
        raise DataError(
            f"{name}: the whole numbers {t.min():g} to {t.max():g} stored as {t.dtype}; give class numbers as "
            "integers, targets.astype(int), or values to predict as a column, targets[:, None]"
        )
    return flat.astype(np.float32)


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
