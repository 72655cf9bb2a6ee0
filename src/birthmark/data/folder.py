"""Pictures of the owner's own: one sub-folder a class, perhaps inside train and val (or test) folders.

Hidden folders and those of the system (`.ipynb_checkpoints`, `__MACOSX`, `Thumbs.db` ...) are no classes. Pictures may
lie deeper inside their class. Pictures without any class folder are inputs without targets.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np

from birthmark.data.pictures import read_pictures
from birthmark.data.stored import UNKNOWN, Read, Stored
from birthmark.errors import DataError

JUNK = {"__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "lost+found"}
JUNK |= {"@eadir", "@recycle", "#recycle", "$recycle.bin", "system volume information"}
TRAIN, HELD = {"train", "training"}, {"val", "valid", "validation", "test", "testing"}
Labelled = list[tuple[Path, int]]


def image_folder(path: Path) -> Read:
    """Read a folder of pictures of one size, classes sorted by name.

    Raises:
        DataError: no classes, an empty one, too many pictures, or a file that is no picture like the others.
    """
    root, trains, helds = _layout(path)
    if not _folders(path) and (files := _walk(path)):
        return _unlabelled(path, files)
    names = _classes(path, trains)
    train, held = _files(trains, names), _files(helds, names)
    empty = sorted(set(range(len(names))) - {label for _, label in train})
    if empty:
        listed = ", ".join(repr(names[i]) for i in empty[:8])
        raise DataError(f"{path}: no pictures in the class {listed}; put some there, or take the folder away")
    pixels, scale, seen = read_pictures([file for file, _ in train + held], str(path))
    labels = np.array([label for _, label in train + held], dtype=np.int64)
    n, notes = len(train), (*_said(path, root, trains, helds, train + held), *seen)
    stored = [Stored(pixels[part], labels[part], len(names), scale) for part in (slice(n), slice(n, None))]
    return Read(stored[0], stored[1] if held else None, notes, tuple(names))


def _unlabelled(path: Path, files: list[Path]) -> Read:
    """Pictures without classes, for a pool."""
    pixels, scale, notes = read_pictures(files, str(path))
    return Read(Stored(pixels, np.full(len(files), UNKNOWN), UNKNOWN, scale), None, tuple(notes))


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
    root = _unpacked(path)
    parts = {name.casefold(): p for name, p in _folders(root).items()}
    if parts.keys() & TRAIN and parts.keys() <= TRAIN | HELD:
        return root, [parts[n] for n in sorted(TRAIN & parts.keys())], [parts[n] for n in sorted(HELD & parts.keys())]
    return root, [root], []


def _unpacked(root: Path) -> Path:
    """The folder inside, where an archive was unpacked to a folder in a folder."""
    for _ in range(3):
        inside = list(_folders(root).values())
        if len(inside) != 1 or inside[0].name.casefold() in TRAIN or len(_folders(inside[0])) < 2:
            break
        root = inside[0]
    return root


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
    return [*notes, *_deeper(trains[0], root, files), *_beside((*trains, *helds))]


def _deeper(train: Path, root: Path, files: Labelled) -> list[str]:
    usual = len(train.relative_to(root).parts) + 2  # then the class, then the picture
    deep = sum(len(file.relative_to(root).parts) > usual for file, _ in files)
    said = f"{deep} of {len(files)} pictures lie deeper inside their class folder; they belong to it"
    return [said] if deep else []


def _beside(folders: Sequence[Path]) -> list[str]:
    found = [p for folder in folders for p in folder.iterdir() if p.is_file() and not _hidden(p.name)]
    return [f"{len(found)} files lie beside the class folders, {found[0].name} first: left out"] if found else []
