"""Pictures of the owner's own: one sub-folder a class, perhaps inside train and val (or test) folders.

Hidden folders and those of the system (`.ipynb_checkpoints`, `__MACOSX`, `Thumbs.db` ...) are no classes. Pictures may
lie deeper inside their class. They are turned as their EXIF tag says; grey stays grey; 16-bit grey is divided by the
white of the depth that all pictures together need. What cannot be read without guessing is refused.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unicodedata import normalize

import numpy as np
from PIL import Image, ImageOps

from birthmark.data.stored import Read, Stored, Values, bounded, full_scale
from birthmark.errors import DataError

MOST = 100_000  # pictures
JUNK = {"__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "lost+found"}
JUNK |= {"@eadir", "@recycle", "#recycle", "$recycle.bin", "system volume information"}
TRAIN, HELD = {"train", "training"}, {"val", "valid", "validation", "test", "testing"}
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "TGA", "JPEG2000")  # none that runs a program
KINDS = {"1": "L", "L": "L", "LA": "L", "La": "L", "RGB": "RGB", "RGBA": "RGB", "RGBa": "RGB", "PA": "RGB"}
KINDS |= {"CMYK": "RGB", "YCbCr": "RGB", "I": "I", "F": "F"}
Labelled = list[tuple[Path, int]]


def image_folder(path: Path) -> Read:
    """Read a folder of pictures of one size, classes sorted by name.

    Raises:
        DataError: no classes, an empty one, too many pictures, or a file that is no picture like the others.
    """
    root, trains, helds = _layout(path)
    names = _classes(path, trains)
    train, held = _files(trains, names), _files(helds, names)
    empty = sorted(set(range(len(names))) - {label for _, label in train})
    if empty:
        listed = ", ".join(repr(names[i]) for i in empty[:8])
        raise DataError(f"{path}: no pictures in the class {listed}; put some there, or take the folder away")
    if len(train) + len(held) > MOST:
        raise DataError(
            f"{path}: {len(train) + len(held)} pictures do not fit in memory here (limit {MOST}); use a sample"
        )
    notes = _said(path, root, trains, helds, train + held)
    kind, size = _alike([file for file, _ in train + held], notes)
    bounded(str(path), (len(train) + len(held), *size[::-1], 3 if kind == "RGB" else 1))
    parts = [_read([file for file, _ in part], kind, size) for part in (train, held)]
    scale = _white(parts, kind, notes)
    stored = [
        Stored(pixels, np.array([label for _, label in part], dtype=np.int64), len(names), scale)
        for pixels, part in zip(parts, (train, held), strict=True)
    ]
    return Read(stored[0], stored[1] if held else None, tuple(notes))


def _classes(path: Path, trains: Sequence[Path]) -> list[str]:
    names = sorted({name for folder in trains for name in _folders(folder)})
    if len(names) < 2:
        inside = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise DataError(
            f"{path}: expected an .npz file, CIFAR-10's binary files, or at least two sub-folders of pictures, one a "
            f"class (inside train and val, if you like); found {inside}"
        )
    return names


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in JUNK


def _folders(path: Path) -> dict[str, Path]:
    """Sub-folders that may be classes, by name (composed accents)."""
    return {normalize("NFC", p.name): p for p in sorted(path.iterdir()) if p.is_dir() and not _hidden(p.name)}


def _layout(path: Path) -> tuple[Path, list[Path], list[Path]]:
    """Where the classes are, and the folders of training and of held-out classes."""
    root = path
    for _ in range(3):  # an archive often unpacks to a folder in a folder
        inside = _folders(root)
        only = next(iter(inside.values())) if len(inside) == 1 else None
        if only is None or only.name.casefold() in TRAIN or len(_folders(only)) < 2:
            break
        root = only
    inside = _folders(root)
    parts = {name.casefold(): p for name, p in inside.items()}
    if parts.keys() & TRAIN and parts.keys() <= TRAIN | HELD:
        return root, [parts[n] for n in sorted(TRAIN & parts.keys())], [parts[n] for n in sorted(HELD & parts.keys())]
    return root, [root], []


def _files(roots: Sequence[Path], names: Sequence[str]) -> Labelled:
    found: Labelled = []
    for root in roots:
        folders = _folders(root)
        strange = sorted(folders.keys() - set(names))
        if strange:
            raise DataError(f"{root}: the class {strange[0]!r} is not in the training folder")
        for name in sorted(folders):
            label = names.index(name)
            found += [(file, label) for file in _walk(folders[name])]
    return found


def _walk(folder: Path) -> list[Path]:
    files: list[Path] = []
    for place, inside, content in os.walk(folder):
        inside[:] = [name for name in inside if not _hidden(name)]
        files += [Path(place, name) for name in content if not _hidden(name)]
    return sorted(file for file in files if file.is_file())


def _said(path: Path, root: Path, trains: list[Path], helds: list[Path], files: Labelled) -> list[str]:
    notes = [f"read {root.relative_to(path)}/ as the folder of classes"] if root != path else []
    if trains != [root]:
        held = " and ".join(f"{p.name}/" for p in helds)
        notes.append(f"read {trains[0].name}/ as training data" + (f", {held} as held out" if held else ""))
    usual = trains[0].relative_to(root).parts  # then the class, then the picture
    deep = sum(len(file.relative_to(root).parts) > len(usual) + 2 for file, _ in files)
    if deep:
        notes.append(f"{deep} of {len(files)} pictures lie deeper inside their class folder; they belong to it")
    beside = [p for folder in (*trains, *helds) for p in folder.iterdir() if p.is_file() and not _hidden(p.name)]
    if beside:
        notes.append(f"{len(beside)} files lie beside the class folders, {beside[0].name} first: left out")
    return notes


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """A picture's file; whatever its decoder raises becomes a DataError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                yield image
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{file}: not an image ({' '.join(str(error).split())[:200]})") from None


def _alike(files: Sequence[Path], notes: list[str]) -> tuple[str, tuple[int, int]]:
    """The kind of pixels ("L", "RGB", "I" or "F") and the size (w, h) of all pictures, from their heads alone."""
    kinds: dict[str, Path] = {}
    first, turned, inks = (0, 0), 0, 0
    for file in files:
        with _opened(file) as image:
            kind, size, aside = _kind(image, file), image.size, image.getexif().get(0x0112, 1)
        kinds.setdefault(kind, file)
        size = size[::-1] if aside in (5, 6, 7, 8) else size
        first = first if any(first) else size
        if size != first:
            raise DataError(
                f"{file}: expected a picture of {first[0]}x{first[1]} pixels as the first one, got "
                f"{size[0]}x{size[1]}; resize them alike"
            )
        turned, inks = turned + (aside in range(2, 9)), inks + (image.mode == "CMYK")
    if turned:
        notes.append(f"{turned} of {len(files)} pictures were turned as their EXIF tag says")
    if inks:
        notes.append(f"{inks} of {len(files)} pictures are CMYK and were turned into RGB without a colour profile")
    if kinds.keys() == {"L", "RGB"}:
        notes.append(f"grey pictures, {kinds['L'].name} first, lie among coloured ones: grey in three channels")
        return "RGB", first
    if len(kinds) > 1:
        (a, one), (b, other) = list(kinds.items())[:2]
        raise DataError(f"{other}: expected pixels like {one.name}'s (mode {a}), got mode {b}; save them alike")
    return next(iter(kinds)), first


def _kind(image: Image.Image, file: Path) -> str:
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise DataError(f"{file}: holds several pictures; save one a file")
    if image.mode.startswith("I;16"):
        return "I"
    if image.mode == "P":
        colours = np.array(image.getpalette() or [0]).reshape(-1, 3 if image.getpalette() else 1)
        return "L" if (colours == colours[:, :1]).all() else "RGB"
    if image.mode not in KINDS:
        raise DataError(f"{file}: pixels of mode {image.mode} are not understood; save it as RGB or grey")
    return KINDS[image.mode]


def _read(files: Sequence[Path], kind: str, size: tuple[int, int]) -> Values:
    """All pictures (n, h, w) or (n, h, w, 3) in one array."""
    shape = (len(files), *size[::-1], *([3] if kind == "RGB" else []))
    pixels: Values = np.empty(shape, {"I": np.uint16, "F": np.float32}.get(kind, np.uint8))
    for place, file in enumerate(files):
        with _opened(file) as image:
            pixels[place] = _pixels(ImageOps.exif_transpose(image), kind, file)
    return pixels


def _pixels(image: Image.Image, kind: str, file: Path) -> Values:
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise DataError(f"{file}: has transparent pixels; put it on a background of your choice and save it as RGB")
    if kind in ("L", "RGB"):
        return np.asarray(image.convert(kind))
    values = np.asarray(image)
    low, high = values.min(), values.max()
    top = 1 if kind == "F" else 2**16 - 1
    if not (low >= 0 and high <= top):
        raise DataError(f"{file}: expected pixels from 0 to {top}, got {low:g} to {high:g}; rescale them")
    return values


def _white(parts: Sequence[Values], kind: str, notes: list[str]) -> float:
    if kind != "I":
        return 1 if kind == "F" else 255
    largest = max(int(pixels.max(initial=0)) for pixels in parts)
    notes.append(f"16-bit grey up to {largest}: divided by {full_scale(largest)}")
    return full_scale(largest)
