"""Folders under one digest: whole, or refused with the reason."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from birthmark.artifact import digest_of, load_folder, save_folder, write_atomically
from birthmark.errors import ArtifactError, BirthmarkError

FORMAT = "birthmark/thing/2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_folder(tmp_path / "a", FORMAT, {"b": [1, 0.5], "a": "x"}, {"t": np.arange(6.0).reshape(2, 3)})
    return tmp_path / "a"


def test_round_trip_and_a_digest_that_pins_every_byte(folder: Path, tmp_path: Path) -> None:
    read = load_folder(folder, FORMAT)
    assert read.data == {"a": "x", "b": [1, 0.5]}
    assert np.array_equal(read.tensors["t"], np.arange(6.0).reshape(2, 3))
    assert read.digest == save_folder(
        tmp_path / "b", FORMAT, {"a": "x", "b": [1, 0.5]}, {"t": np.arange(6.0).reshape(2, 3)}
    )
    assert read.digest != save_folder(tmp_path / "c", FORMAT, {"a": "y"}, {"t": np.arange(6.0).reshape(2, 3)})


@pytest.mark.parametrize("name", ["data.json", "tensors.safetensors"])
@pytest.mark.parametrize("place", [0, 10, -1])
def test_one_flipped_byte_is_refused(folder: Path, name: str, place: int) -> None:
    data = bytearray((folder / name).read_bytes())
    data[place] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ArtifactError, match="edited or damaged"):
        load_folder(folder, FORMAT)


def test_truncated_missing_foreign_and_newer_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="expected a birthmark/other, got a birthmark/thing"):
        load_folder(folder, "birthmark/other/1")
    with pytest.raises(ArtifactError, match="made by a newer birthmark"):
        load_folder(folder, "birthmark/thing/1")
    (folder / "data.json").write_bytes((folder / "data.json").read_bytes()[:-2])
    with pytest.raises(ArtifactError, match="truncated or edited"):
        load_folder(folder, FORMAT)
    (folder / "data.json").unlink()
    with pytest.raises(ArtifactError, match="missing"):
        load_folder(folder, FORMAT)
    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        load_folder(tmp_path / "nowhere", FORMAT)


def test_a_manifest_cannot_reach_outside_its_folder(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../secret"] = {"sha256": "0", "bytes": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="not a birthmark manifest"):
        load_folder(folder, FORMAT)


def test_other_peoples_folders_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    with pytest.raises(BirthmarkError, match="is no birthmark artefact"):
        save_folder(tmp_path / "precious", FORMAT, {}, {"t": np.zeros(1)})
    assert (tmp_path / "precious" / "thesis.tex").exists()


def test_a_full_disk_is_one_clear_line_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BirthmarkError, match=r"cannot write .*No space left on device; free some space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_more_than_can_be_read_again_is_refused_before_it_is_written(tmp_path: Path) -> None:
    huge = np.broadcast_to(np.zeros(1), (1 << 29, 2))  # 8 GiB that take no memory
    with pytest.raises(
        BirthmarkError, match=r"8\.0 GiB of answers and queries, and at most 4 GiB can be read; .* fewer queries"
    ):
        save_folder(tmp_path / "a", FORMAT, {}, {"t": huge})
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_while_tensors_are_written_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: object, path: Path) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("birthmark.artifact.save_file", full)
    with pytest.raises(BirthmarkError, match=r"cannot write .*No space left on device; free some space"):
        save_folder(tmp_path / "a", FORMAT, {}, {"t": np.zeros(1)})
    assert not list(tmp_path.iterdir())


def test_digest_does_not_depend_on_key_order() -> None:
    assert digest_of({"a": 1, "b": (2, 3)}) == digest_of({"b": [2, 3], "a": 1})
