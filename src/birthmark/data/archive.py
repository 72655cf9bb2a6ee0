"""Arrays of the owner's own: an .npz file, one .npy file, or a folder of two.

Inputs are (n, d), or images (n, h, w), (n, c, h, w) or (n, h, w, c). Bytes are divided by 255, 16-bit images by the
white of the depth they use; other whole numbers in rows stay whole; everything else is taken as it is. Targets are
class numbers from 0, words (numbered in sorted order), or real values (n,) or (n, k). Nothing is unpickled, and nothing
is unpacked that says it is too large. What lies in .npy files stays there and is read when it is used.
"""

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

from birthmark.data.stored import LARGEST, UNKNOWN, Read, Stored, Values, bounded, full_scale
from birthmark.data.targets import is_classes, numbered, words_said
from birthmark.errors import DataError
from birthmark.inputs import are_strings, texts

NAMES = ("inputs", "targets", "test_inputs", "test_targets")
ALSO = (  # usual names of the same four
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_x", "train_y", "test_x", "test_y"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x", "y", "x_test", "y_test"),
    ("images", "labels", "test_images", "test_labels"),
    ("features", "labels", "test_features", "test_labels"),
    ("data", "target", "test_data", "test_target"),
    ("data", "labels", "test_data", "test_labels"),
)
ADVICE = "write it with numpy.savez(path, inputs=..., targets=...)"


def npz(path: Path) -> Read:
    """Read an .npz file.

    Raises:
        DataError: damaged, too large, of arrays whose part nobody can tell, or with targets that cannot be what they
            seem.
    """
    return _read(_arrays(path), path)


def single(path: Path) -> Read:
    """Read one .npy file of inputs without targets, which stays on disk.

    Raises:
        DataError: not such a file.
    """
    return _read({"inputs": _mapped(path)}, path)


def pair(folder: Path) -> Read:
    """Read a folder of inputs.npy and targets.npy (and test_inputs.npy, test_targets.npy), which stay on disk."""
    return _read({path.stem: _mapped(path) for path in sorted(folder.glob("*.npy")) if path.stem in NAMES}, folder)


def _mapped(path: Path) -> Values:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: no whole .npy file ({str(error)[:100]}); {ADVICE}") from None


def _read(arrays: Mapping[str, Values], path: Path) -> Read:
    parts, notes = _parts(arrays, path)
    arrays = {**arrays, **{name: _as_texts(arrays[name]) for name, _ in parts}}
    first = arrays[parts[0][0]]
    scale = _scale([arrays[name] for name, _ in parts])
    if not parts[0][1]:
        _check_inputs(first, first, len(first), f"{path}: {parts[0][0]}")
        return Read(Stored(first, np.full(len(first), UNKNOWN), UNKNOWN, scale), None, tuple(notes))
    targets, words = numbered({key: arrays[key] for _, key in parts}, path)
    classes = max(int(t.max()) + 1 for t in targets.values()) if is_classes(targets[parts[0][1]]) else 0
    for name, key in parts:
        _check_inputs(arrays[name], first, len(targets[key]), f"{path}: {name}")
    sets = [Stored(arrays[name], targets[key], classes, scale) for name, key in parts]
    said = (*notes, *words_said(words), *_unscaled(first, scale))
    return Read(sets[0], sets[1] if sets[1:] else None, said, tuple(words))


def _as_texts(array: Values) -> Values:
    """Inputs that are one text each; others as they are."""
    if array.dtype.kind not in "US" or array.ndim != 1:
        return array
    return texts(v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in array.tolist())


def _parts(arrays: Mapping[str, Values], path: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Names of the inputs and targets of each part that is there, and a note where they were not our own names."""
    names, notes = _called(arrays, path)
    parts = [pair for pair in (names[:2], names[2:]) if pair == names[:2] or arrays.keys() & set(pair)]
    if [*arrays] == [names[0]]:
        return [(names[0], "")], notes
    missing = [name for pair in parts for name in pair if name not in arrays]
    if missing:
        raise DataError(f"{path}: expected an array {missing[0]!r}, got {_listed(arrays)}; {ADVICE}")
    return [(inputs, targets) for inputs, targets in parts], notes


def _called(arrays: Mapping[str, Values], path: Path) -> tuple[tuple[str, ...], list[str]]:
    """The file's own names of `NAMES`, in that order, and a note if they are others."""
    if set(NAMES) & arrays.keys() or not arrays:
        return NAMES, []
    own = {name.casefold(): name for name in arrays}
    for usual in ALSO:
        if set(usual[:2]) <= own.keys():
            found = tuple(own.get(name, name) for name in usual)
            return found, [f"read {found[0]} as inputs, {found[1]} as targets"]
    large = sorted(arrays, key=lambda name: -arrays[name].ndim)
    if len(arrays) == 1:
        return (*large, *NAMES[1:]), [f"read {large[0]} as inputs"]
    if len(arrays) > 2 or arrays[large[0]].ndim == arrays[large[1]].ndim:
        raise DataError(f"{path}: expected arrays inputs and targets, got {_listed(arrays)}; {ADVICE}")
    return (*large, *NAMES[2:]), [f"read {large[0]} as inputs, {large[1]} as targets"]


def _listed(arrays: Iterable[str]) -> str:
    return ", ".join(sorted(arrays)) or "none"


def _arrays(path: Path) -> dict[str, Values]:
    """The archive's arrays."""
    with path.open("rb") as start:
        head = start.read(6)
    try:
        with ZipFile(path) as file:
            entries = _members(file)
            size = sum(entry.file_size for entry in entries.values())
            if size > LARGEST:
                raise DataError(f"{path}: unpacks to {size:,} bytes, more than {LARGEST:,}; give a sample")
            return {name: _array(file, entry.filename, f"{path}: {name}") for name, entry in entries.items()}
    except DataError:
        raise
    except (BadZipFile, EOFError) as error:
        what = "is empty" if not head else f"is no .npz file, or a damaged one ({error})"
        raise DataError(f"{path} {what}; {ADVICE}") from None
    except Exception as error:  # decoders of damaged archives raise anything
        raise DataError(f"{path}: cannot be read as .npz without pickles ({error}); {ADVICE}") from None


def _members(file: ZipFile) -> dict[str, ZipInfo]:
    """The arrays by name: those with our own names, if there are any."""
    found = {i.filename[:-4]: i for i in file.infolist() if i.filename.endswith(".npy") and "/" not in i.filename}
    return {name: found[name] for name in NAMES if name in found} or found


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
    strings = are_strings(inputs) and inputs.size
    if not strings and (inputs.dtype.kind not in "buif" or inputs.ndim < 2 or not inputs.size):
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
    if scale == 1 and inputs.ndim == 2 and inputs.dtype.kind in "iu":
        return ["inputs are whole numbers and stay so, as token ids do; give floats for what was measured"]
    if scale not in (1, 255):
        return [f"16-bit images that need {int(scale + 1).bit_length() - 1} bits: divided by {int(scale)}"]
    if scale == 1 and inputs.ndim > 2 and inputs.max() > 2:
        return [
            f"image values up to {inputs.max():g} are taken as they are; pictures are best given as bytes (uint8) or "
            "in [0, 1]"
        ]
    return []
