"""Pictures of the owner's own: which folders are classes, and which pixels are read as what."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birthmark import data
from birthmark.data.folder import image_folder
from birthmark.data.stored import UNKNOWN, Scaled
from birthmark.errors import BirthmarkError, DataError

RANDOM = np.random.default_rng(0)


def picture(path: Path, *, size: tuple[int, int] = (6, 5), mode: str = "RGB", **how: object) -> None:
    """A random picture of `size` (w, h)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RANDOM.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **how)  # type: ignore[arg-type]


def filled(root: Path, *places: str, n: int = 3, **how: object) -> Path:
    for place in places:
        for i in range(n):
            picture(root / place / f"{i}.png", **how)  # type: ignore[arg-type]
    return root


def labels(root: Path) -> list[int]:
    return image_folder(root).train.targets.tolist()


def test_one_folder_a_class(tmp_path: Path) -> None:
    filled(tmp_path, "cat", "dog", n=40)
    found = data.load(str(tmp_path))
    assert (found.shape, found.classes, found.notes) == ((3, 5, 6), 2, ())
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"notes\.txt: not an image"):
        image_folder(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints",
        "__MACOSX",
        "@eaDir",
        ".git",
        "lost+found",
        "$RECYCLE.BIN",
        "__pycache__",
        ".hidden",
        "@Recycle",
        "System Volume Information",
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_hidden_and_system_folders_are_no_classes(tmp_path: Path, name: str, full: bool) -> None:
    filled(tmp_path, "a", "b", "c")
    (tmp_path / name).mkdir()
    if full:
        filled(tmp_path, name, f"b/{name}")
    assert labels(tmp_path) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert image_folder(tmp_path).train.classes == 3


@pytest.mark.parametrize(
    "name", ["Thumbs.db", ".DS_Store", "desktop.ini", "ehthumbs.db", "._0.png", "THUMBS.DB", "Icon\r"]
)
def test_system_files_are_no_pictures(tmp_path: Path, name: str) -> None:
    filled(tmp_path, "a", "b")
    (tmp_path / "a" / name).write_bytes(b"\0\1")
    (tmp_path / name).write_bytes(b"\0\1")
    read = image_folder(tmp_path)
    assert (len(read.train), read.notes) == (6, ())


@pytest.mark.parametrize("held", [["val"], ["test"], ["valid"], ["Validation"], ["val", "test"]])
@pytest.mark.parametrize("train", ["train", "Training"])
def test_train_and_held_out_folders(tmp_path: Path, train: str, held: list[str]) -> None:
    filled(tmp_path, f"{train}/cat", f"{train}/dog", f"{train}/emu", *(f"{h}/dog" for h in held))
    read = image_folder(tmp_path)
    assert read.train.targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert read.held is not None
    assert read.held.targets.tolist() == [1, 1, 1] * len(held)
    assert read.train.classes == read.held.classes == 3
    assert read.notes[0].startswith(f"read {train}/ as training data, ")
    assert all(f"{h}/" in read.notes[0] for h in held)


def test_a_train_folder_alone_and_a_class_called_train(tmp_path: Path) -> None:
    assert image_folder(filled(tmp_path / "one", "train/a", "train/b")).held is None
    assert labels(filled(tmp_path / "two", "train", "bus")) == [0, 0, 0, 1, 1, 1]


def test_a_held_out_class_that_training_has_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the class 'emu' is not in the training folder"):
        image_folder(filled(tmp_path, "train/a", "train/b", "val/a", "val/emu"))


def test_a_folder_in_a_folder(tmp_path: Path) -> None:
    read = image_folder(filled(tmp_path, "pets/a", "pets/b"))
    assert (len(read.train), read.train.classes) == (6, 2)
    assert read.notes == ("read pets/ as the folder of classes",)
    assert image_folder(filled(tmp_path / "x", "pets/train/a", "pets/train/b", "pets/val/b")).held is not None


def test_deeper_pictures_belong_to_their_class_and_it_is_said(tmp_path: Path) -> None:
    read = image_folder(filled(tmp_path, "a", "b/2019/spring", "b/2020"))
    assert read.train.targets.tolist() == [0] * 3 + [1] * 6
    assert read.notes == ("6 of 9 pictures lie deeper inside their class folder; they belong to it",)


def test_files_beside_the_classes_are_said(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b")
    picture(tmp_path / "z.png")
    assert image_folder(tmp_path).notes == ("1 files lie beside the class folders, z.png first: left out",)


def test_names_beyond_ascii_composed_or_not(tmp_path: Path) -> None:
    read = image_folder(filled(tmp_path / "Übung 数据", "train/caf\u00e9", "train/ża ba", "val/cafe\u0301"))
    assert read.held is not None
    assert (read.train.targets.tolist(), read.held.targets.tolist()) == ([0] * 3 + [1] * 3, [0] * 3)


@pytest.mark.parametrize(
    ("places", "empty", "said"),
    [
        ((), (), "found nothing"),
        ((), ("a",), "found a"),
        (("a",), (), "at least two sub-folders of pictures"),
        ((), ("a", "b", "c"), "no pictures in the class 'a', 'b', 'c'"),
        (("a", "c"), ("b",), "no pictures in the class 'b'; put some there, or take the folder away"),
        (("train/a",), ("train/b", "val/a"), "no pictures in the class 'b'"),
        (("train",), ("val",), "at least two sub-folders of pictures"),
    ],
)
def test_empty_folders_are_said(tmp_path: Path, places: tuple[str, ...], empty: tuple[str, ...], said: str) -> None:
    filled(tmp_path, *places)
    for name in empty:
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(DataError, match=said):
        data.load(str(tmp_path))


@pytest.mark.parametrize(("largest", "white"), [(65535, 65535), (4095, 4095), (1023, 1023), (200, 255)])
@pytest.mark.parametrize(("kind", "end"), [("uint16", "png"), ("uint16", "tiff"), (">u2", "tiff"), ("int32", "tiff")])
def test_deep_grey_is_scaled_by_its_own_range_and_stays_grey(
    tmp_path: Path, largest: int, white: int, kind: str, end: str
) -> None:
    every = RANDOM.integers(0, largest + 1, (6, 5, 6))
    every[0, 0, 0] = largest
    for i, pixels in enumerate(every):
        path = tmp_path / "ab"[i % 2] / f"{i}.{end}"
        path.parent.mkdir(exist_ok=True)
        mode = "I;16B" if kind == ">u2" else None
        image = (
            Image.frombytes(mode, (6, 5), pixels.astype(kind).tobytes())
            if mode
            else Image.fromarray(pixels.astype(kind))
        )
        image.save(path)
    read = image_folder(tmp_path)
    samples = read.train[:]
    assert samples.shape == (1, 5, 6)
    assert np.allclose(samples.inputs[:, 0], every[[0, 2, 4, 1, 3, 5]] / white, atol=1e-6)
    assert read.notes == (f"16-bit grey up to {largest}: divided by {white}",)


def floats(root: Path, low: float, high: float) -> Path:
    for place in ("a/0.tiff", "b/0.tiff"):
        (root / place).parent.mkdir()
        Image.fromarray(np.linspace(low, high, 30, dtype=np.float32).reshape(5, 6)).save(root / place)
    return root


def test_float_pictures_in_0_1_are_read_as_they_are(tmp_path: Path) -> None:
    samples = image_folder(floats(tmp_path, 0, 1)).train[:]
    assert (samples.shape, samples.inputs.min(), samples.inputs.max()) == ((1, 5, 6), 0, 1)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-1, 1), (0, np.nan), (0, np.inf)])
def test_other_float_pictures_are_refused(tmp_path: Path, low: float, high: float) -> None:
    with np.errstate(invalid="ignore"):
        floats(tmp_path, low, high)
    with pytest.raises(DataError, match="expected pixels from 0 to 1, got"):
        image_folder(tmp_path)


@pytest.mark.parametrize(("values", "said"), [((-1, 5), "got -1 to 5"), ((0, 70_000), "got 0 to 70000")])
def test_integers_beyond_16_bits_are_refused(tmp_path: Path, values: tuple[int, int], said: str) -> None:
    for place in ("a/0.tiff", "b/0.tiff"):
        (tmp_path / place).parent.mkdir()
        Image.fromarray(np.array([values] * 3, dtype=np.int32)).save(tmp_path / place)
    with pytest.raises(DataError, match=f"expected pixels from 0 to 65535, {said}"):
        image_folder(tmp_path)


@pytest.mark.parametrize(
    ("mode", "end", "shape"),
    [
        ("L", "png", (1, 5, 6)),
        ("1", "png", (1, 5, 6)),
        ("LA", "png", (1, 5, 6)),
        ("RGBA", "png", (3, 5, 6)),
        ("P", "png", (3, 5, 6)),
        ("P", "gif", (3, 5, 6)),
        ("CMYK", "jpg", (3, 5, 6)),
        ("CMYK", "tiff", (3, 5, 6)),
        ("YCbCr", "jpg", (3, 5, 6)),
        ("L", "bmp", (1, 5, 6)),
        ("L", "gif", (1, 5, 6)),
        ("RGB", "webp", (3, 5, 6)),
        ("L", "jpg", (1, 5, 6)),
        ("L", "pgm", (1, 5, 6)),
    ],
)
def test_modes(tmp_path: Path, mode: str, end: str, shape: tuple[int, ...]) -> None:
    for place in ("a", "b"):
        picture(tmp_path / place / f"0.{end}", mode=mode)
    read = image_folder(tmp_path)
    samples = read.train[:]
    assert samples.shape == shape
    assert 0 <= samples.inputs.min() < samples.inputs.max() <= 1
    assert bool(read.notes) == (mode == "CMYK")


def test_grey_among_coloured_ones_is_said(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "0.png", mode="L")
    picture(tmp_path / "b" / "0.png")
    read = image_folder(tmp_path)
    grey = read.train[:].inputs[0]
    assert grey.shape == (3, 5, 6)
    assert (grey[0] == grey[1]).all()
    assert read.notes == ("grey pictures, 0.png first, lie among coloured ones: grey in three channels",)


def test_unlike_kinds_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "0.png")
    (tmp_path / "b").mkdir()
    Image.fromarray(np.zeros((5, 6), np.uint16)).save(tmp_path / "b" / "1.png")
    with pytest.raises(
        DataError, match=r"1\.png: expected pixels like 0\.png's \(mode RGB\), got mode I; save them alike"
    ):
        image_folder(tmp_path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_refused(tmp_path: Path, mode: str) -> None:
    filled(tmp_path, "a", "b", n=1, mode="L" if mode == "LA" else "RGB")
    image = Image.open(tmp_path / "b" / "0.png").convert(mode)
    if mode == "P":
        image.save(tmp_path / "b" / "0.png", transparency=image.getpixel((1, 1)))
    else:
        image.putalpha(Image.fromarray(np.full((5, 6), 200, np.uint8)))
        image.save(tmp_path / "b" / "0.png")
    with pytest.raises(DataError, match=r"0\.png: has transparent pixels"):
        image_folder(tmp_path)


@pytest.mark.parametrize("tag", range(1, 9))
def test_pictures_are_turned_as_exif_says(tmp_path: Path, tag: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[0, :] = 255
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        Image.fromarray(wide).save(tmp_path / place / "0.png", exif=exif)
    read = image_folder(tmp_path)
    image = read.train[:].inputs[0, 0]
    assert image.shape == ((4, 8) if tag < 5 else (8, 4))
    lit = {
        1: image[0],
        2: image[0],
        3: image[-1],
        4: image[-1],
        5: image[:, 0],
        6: image[:, -1],
        7: image[:, -1],
        8: image[:, 0],
    }
    assert (lit[tag] == 1).all()
    assert image.sum() == 8
    assert read.notes == (() if tag == 1 else ("2 of 2 pictures were turned as their EXIF tag says",))


def test_other_sizes_and_several_pictures_in_one_are_refused(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b")
    picture(tmp_path / "b" / "9.png", size=(5, 6))
    with pytest.raises(DataError, match=r"9\.png: expected a picture of 6x5 pixels as the first one, got 5x6"):
        image_folder(tmp_path)
    pages = [Image.fromarray(RANDOM.integers(0, 256, (5, 6), dtype=np.uint8)) for _ in range(3)]
    (tmp_path / "b" / "9.png").unlink()
    pages[0].save(tmp_path / "b" / "9.tiff", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"9\.tiff: holds several pictures"):
        image_folder(tmp_path)


def test_damaged_pictures_are_one_line(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b", n=1, size=(40, 30))
    path = tmp_path / "b" / "0.png"
    whole = path.read_bytes()
    for end in range(0, len(whole) - 20, 211):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"0\.png: (not an image|expected)") as caught:
            image_folder(tmp_path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("blob", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 5\n", b"", b"<svg/>"])
def test_formats_that_run_programs_are_not_opened(tmp_path: Path, blob: bytes) -> None:
    filled(tmp_path, "a", "b", n=1)
    (tmp_path / "b" / "1.eps").write_bytes(blob)
    with pytest.raises(DataError, match=r"1\.eps: not an image"):
        image_folder(tmp_path)


def test_giant_pictures_are_refused_by_their_heads(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        Image.new("1", (20_000, 20_000)).save(tmp_path / place / "0.png")
    with pytest.raises(DataError, match=r"0\.png: not an image \(Image size"):
        image_folder(tmp_path)


def test_many_pictures_lie_on_disk_if_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("birthmark.data.stored.LAZY", 100)
    found = image_folder(filled(tmp_path, "a", "b")).train
    assert isinstance(found.inputs.base, np.memmap)
    assert isinstance(found[:].inputs, Scaled)

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(DataError, match=r"find no room .No space left on device.; set TMPDIR"):
        image_folder(tmp_path)


def test_pictures_without_class_folders_have_no_targets(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}.png")
    assert image_folder(tmp_path).train.classes == UNKNOWN


def test_pictures_are_held_once_as_bytes_and_once_as_samples(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b", n=100, size=(64, 64))
    raw = 200 * 64 * 64 * 3
    tracemalloc.start()
    found = data.load(str(tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found["owner"]) == 42
    assert peak < 7 * raw, f"{peak / raw:.1f} times the pixels"


@pytest.mark.parametrize("name", ["no/such/place", "x" * 5000, "a\0b", "digts"])
def test_no_such_data(name: str) -> None:
    with pytest.raises(BirthmarkError) as caught:
        data.load(name)
    assert "\n" not in str(caught.value)
