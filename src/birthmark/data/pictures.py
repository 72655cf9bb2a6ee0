"""Picture files as one array of pixels, each opened once.

They are turned as their EXIF tag says; grey stays grey; 16-bit grey is divided by the white of the depth that all
pictures together need. What cannot be read without guessing is refused.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image, ImageOps

from birthmark.data.stored import Values, chunks, full_scale, room
from birthmark.errors import DataError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "TGA", "JPEG2000")  # none that runs a program
KINDS = {"1": "L", "L": "L", "LA": "L", "La": "L", "RGB": "RGB", "RGBA": "RGB", "RGBa": "RGB", "PA": "RGB"}
KINDS |= {"CMYK": "RGB", "YCbCr": "RGB", "I": "I", "F": "F"}
DEEP: Mapping[str, DTypeLike] = {"I": np.uint16, "F": np.float32}
TAGGED = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}  # where a picture may say how it is turned


@dataclass
class Seen:
    """What was met on the way, for the owner to know."""

    turned: int = 0
    inks: int = 0
    kinds: dict[str, Path] = field(default_factory=dict)

    def notes(self, n: int) -> list[str]:
        said = []
        if self.turned:
            said.append(f"{self.turned} of {n} pictures were turned as their EXIF tag says")
        if self.inks:
            said.append(f"{self.inks} of {n} pictures are CMYK and were turned into RGB without a colour profile")
        if self.kinds.keys() == {"L", "RGB"}:
            first = self.kinds["L"].name
            said.append(f"grey pictures, {first} first, lie among coloured ones: grey in three channels")
        return said


def read_pictures(files: Sequence[Path], name: str) -> tuple[Values, float, list[str]]:
    """All pictures (n, h, w) or (n, h, w, 3), what to divide them by, and what the owner must know.

    Args:
        name: what messages call the set.

    Raises:
        DataError: a file that is no picture like the first one, or no room for them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with _opened(files[0]) as image:
            kind = _kind(image, files[0])
        pixels, seen = _filled(files, kind, name)
    scale, notes = _white(pixels, kind)
    return pixels, scale, [*seen.notes(len(files)), *notes]


def _filled(files: Sequence[Path], kind: str, name: str) -> tuple[Values, Seen]:
    seen, pixels = Seen(), cast(Values, np.empty(0))
    for place, file in enumerate(files):
        with _opened(file) as image:
            found = _kind(image, file)
            if (kind, found) == ("L", "RGB"):
                return _filled(files, "RGB", name)  # one with colours among grey ones: all get three channels
            _require(found, kind, files[0], file)
            seen.kinds.setdefault(found, file)
            seen.inks += image.mode == "CMYK"
            rows = _pixels(_upright(image, seen), kind, file)
        if not place:
            pixels = room((len(files), *rows.shape), DEEP.get(kind, np.uint8), name)
        if rows.shape != pixels.shape[1:]:
            (high, wide), (h, w) = pixels.shape[1:3], rows.shape[:2]
            raise DataError(
                f"{file}: expected a picture of {wide}x{high} pixels as the first one, got {w}x{h}; resize them alike"
            )
        pixels[place] = rows
    return pixels, seen


def _require(found: str, kind: str, first: Path, file: Path) -> None:
    if found != kind and (kind, found) != ("RGB", "L"):
        raise DataError(f"{file}: expected pixels like {first.name}'s (mode {kind}), got mode {found}; save them alike")


def _upright(image: Image.Image, seen: Seen) -> Image.Image:
    """The picture as its EXIF tag says; the tag is looked for only where a file can have one."""
    image.load()
    if image.format not in ("TIFF", "MPO") and not TAGGED & image.info.keys():
        return image
    seen.turned += image.getexif().get(0x0112, 1) in range(2, 9)
    return ImageOps.exif_transpose(image)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """A picture's file; whatever its decoder raises becomes a DataError."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            yield image
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{file}: not an image ({' '.join(str(error).split())[:200]})") from None


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


def _white(pixels: Values, kind: str) -> tuple[float, list[str]]:
    if kind != "I":
        return 1 if kind == "F" else 255, []
    largest = max(int(part.max(initial=0)) for part in chunks(pixels))
    return full_scale(largest), [f"16-bit grey up to {largest}: divided by {full_scale(largest)}"]
