"""Exported programs: sound ones are read, hostile ones run nothing."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from birthmark.errors import ArtifactError
from birthmark.suspects import programs
from birthmark.suspects.programs import is_size, open_program


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    ).eval()
    path = tmp_path_factory.mktemp("pt2") / "sound.pt2"
    torch.export.save(
        torch.export.export(module, (torch.rand(2, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)), path
    )
    return path


def rewritten(sound: Path, place: Path, change: Callable[[str, bytes], bytes]) -> Path:
    with zipfile.ZipFile(sound) as old, zipfile.ZipFile(place, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return place


def test_a_sound_program_is_read(sound: Path) -> None:
    assert open_program(sound)(torch.rand(5, 1, 8, 8)).shape == (5, 3)


def test_a_program_that_calls_python_is_refused(sound: Path, tmp_path: Path) -> None:
    for target in ("torch.serialization.os.system", "_operator.attrgetter", "torch.load"):

        def swap(name: str, blob: bytes, to: str = target) -> bytes:
            return blob.replace(b"torch.ops.aten.relu.default", to.encode()) if name.endswith(".json") else blob

        path = rewritten(sound, tmp_path / "p.pt2", swap)
        with pytest.raises(ArtifactError, match=f"calls '{target}', which is no operator"):
            open_program(path)


def test_an_expression_that_is_python_is_refused(sound: Path, tmp_path: Path) -> None:
    assert all(
        is_size(text)
        for text in (
            "s77",
            "2*s0 + 1",
            "Add(Symbol('s31', positive=True, integer=True), Integer(-1))",
            "FloorDiv(s0, 2)",
            "Max(1, s0 - 3)",
            "s0 >= 2",
            "1.5",
        )
    )
    assert not any(
        is_size(text)
        for text in (
            "__import__('os')",
            "exec(chr(1))",
            "s0.__class__",
            "[s0]",
            "lambda: 1",
            "E.free_symbols",
            "Symbol('s0' + exec)",
            "Function('f')",
        )
    )

    def change(name: str, blob: bytes) -> bytes:
        return (
            blob.replace(b'"expr_str": "Symbol(', b'"expr_str": "print(1)+Symbol(') if name.endswith(".json") else blob
        )

    with pytest.raises(ArtifactError, match="which is no size"):
        open_program(rewritten(sound, tmp_path / "e.pt2", change))


class Bomb:
    """Unpickling it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_pickles_inside_are_never_run(sound: Path, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    bomb = io.BytesIO()
    torch.save(Bomb(mark), bomb)
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()  # the bomb works
    mark.unlink()

    def change(name: str, blob: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            config = json.loads(blob)
            for entry in config["config"].values():
                entry["use_pickle"] = True
            return json.dumps(config).encode()
        return blob if name.endswith((".json", "archive_format", "version", "byteorder")) else bomb.getvalue()

    with pytest.raises(ArtifactError):
        open_program(rewritten(sound, tmp_path / "b.pt2", change))
    assert not mark.exists()


def test_what_is_no_program_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: Path) -> None:
    (tmp_path / "torn.pt2").write_bytes(sound.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="not an exported program"):
        open_program(tmp_path / "torn.pt2")
    monkeypatch.setattr(programs, "LARGEST", 1000)
    with pytest.raises(ArtifactError, match="larger than 1000 bytes when unpacked"):
        open_program(sound)
