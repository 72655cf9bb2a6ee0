"""Sealed evidence: every bit counts, and what is no evidence is refused before anything is written."""

import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from birthmark.errors import ArtifactError, BirthmarkError
from birthmark.notary import folders
from birthmark.notary.cases import read_case
from birthmark.notary.folders import Sealed, load
from birthmark.notary.signing import new_key
from notary.cases import Accuser, committed_claim, table_claim


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    place = tmp_path_factory.mktemp("accuser")
    accuser = Accuser(place, new_key(place / "key.pem"), table_claim(25))
    return accuser.sealed(accuser.commit(*committed_claim(accuser.claim)))


@pytest.fixture
def folder(files: dict[str, bytes], tmp_path: Path) -> Path:
    folders.save(files, tmp_path / "evidence")
    return tmp_path / "evidence"


def test_folder_and_zip_open_alike(files: dict[str, bytes], folder: Path, tmp_path: Path) -> None:
    folders.save(files, tmp_path / "e.zip")
    assert load(folder) == load(tmp_path / "e.zip") == Sealed(files, load(folder).signer, load(folder).sealed)
    with zipfile.ZipFile(tmp_path / "e.zip") as file:
        assert file.testzip() is None
    with pytest.raises(BirthmarkError, match="never overwritten"):
        folders.save(files, folder)


def test_a_flipped_bit_of_any_file_is_found_and_the_file_named(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit of every byte of key and seal, 50 of every other file; benchmarks/notary/mutations.py flips them all."""
    draws = random.Random(0)
    for name, blob in files.items():
        places = range(len(blob)) if name in (folders.SEAL, folders.KEY) else draws.choices(range(len(blob)), k=50)
        for place in places:
            altered = bytearray(blob)
            altered[place] ^= 1 << draws.randrange(8)
            monkeypatch.setattr(folders, "_folder", lambda _, n=name, b=bytes(altered): {**files, n: b})
            with pytest.raises(ArtifactError, match=f"^{name}: "):
                load(Path("nowhere"))


def test_mutations_of_a_zip_are_never_accepted(files: dict[str, bytes], tmp_path: Path) -> None:
    """The ten-thousand-mutation run is benchmarks/notary/mutations.py."""
    blob, draws, place = folders.zipped(files), random.Random(1), tmp_path / "e.zip"
    for _ in range(300):
        place.write_bytes(mutated(blob, draws))
        with pytest.raises(ArtifactError):
            load(place)


def mutated(blob: bytes, draws: random.Random) -> bytes:
    """A flipped bit, a run of bytes overwritten, dropped, doubled or swapped, or the end cut off."""
    start, n = draws.randrange(len(blob)), draws.randint(1, 64)
    kind = draws.randrange(5)
    if kind == 0:
        return blob[:start] + bytes([blob[start] ^ 1 << draws.randrange(8)]) + blob[start + 1 :]
    other = {
        1: blob[:start] + draws.randbytes(n) + blob[start + n :],
        2: blob[:start] + blob[start + n :],
        3: blob[: start + n] + blob[start:],
        4: blob[:start],
    }[kind]
    return other if other != blob else blob[:-1]


def test_missing_added_swapped(folder: Path, files: dict[str, bytes]) -> None:
    (folder / "drawn.json").unlink()
    with pytest.raises(ArtifactError, match=r"drawn\.json: named by the seal but missing"):
        load(folder)
    (folder / "drawn.json").write_bytes(files["drawn.json"])
    (folder / "commitment.tsr").write_bytes(b"stamp")
    with pytest.raises(ArtifactError, match=r"commitment\.tsr: is not the file that was sealed"):
        load(folder)
    (folder / "commitment.tsr").unlink()
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(ArtifactError, match=r"notes\.txt: no part"):
        load(folder)
    (folder / "notes.txt").unlink()
    (folder / folders.SEAL).unlink()
    with pytest.raises(ArtifactError, match="birthmark sign"):
        load(folder)


def _link(folder: Path) -> None:
    os.replace(folder / "evidence.json", folder.parent / "elsewhere")
    (folder / "evidence.json").symlink_to(folder.parent / "elsewhere")


def _linked_claim(folder: Path) -> None:
    os.replace(folder / "claim", folder.parent / "elsewhere")
    (folder / "claim").symlink_to(folder.parent / "elsewhere")


def _pipe(folder: Path) -> None:
    (folder / "evidence.json").unlink()
    os.mkfifo(folder / "evidence.json")


def _huge(folder: Path) -> None:
    os.truncate(folder / "evidence.json", 3 << 30)


@pytest.mark.parametrize("spoil", [_link, _linked_claim, _pipe, _huge])
def test_links_pipes_and_giants_are_refused(spoil: Callable[[Path], None], folder: Path) -> None:
    spoil(folder)
    with pytest.raises(ArtifactError, match=r"expected a file|no part of"):
        load(folder)


def test_a_linked_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ArtifactError, match="expected a folder"):
        load(tmp_path / "link")


def _zip(path: Path, files: dict[str, bytes], **more: int) -> Path:
    with zipfile.ZipFile(path, "w", more.get("how", zipfile.ZIP_STORED)) as file:
        for name, blob in files.items():
            file.writestr(name, blob)
    return path


def test_strange_zips(files: dict[str, bytes], tmp_path: Path) -> None:
    place = tmp_path / "e.zip"
    with pytest.raises(ArtifactError, match="etc/passwd: no part"):
        load(_zip(place, {"../../etc/passwd": b"x"}))
    with pytest.raises(ArtifactError, match="no part"):
        load(_zip(place, {"/evidence.json": b"x"}))
    with pytest.raises(ArtifactError, match="compressed"):
        load(_zip(place, {"evidence.json": b"\0" * (1 << 24)}, how=zipfile.ZIP_DEFLATED))
    with pytest.raises(ArtifactError, match="another tool packed it"):
        load(_zip(place, files))
    place.write_bytes(b"PK\5\6" + b"\0" * 18)
    with pytest.raises(ArtifactError, match="lacks"):
        load(place)
    place.write_bytes(b"no zip")
    with pytest.raises(ArtifactError, match="not a zip"):
        load(place)


def test_a_zip_whose_parts_overlap_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    """A bomb of stored parts: every entry of the directory points at the same large one."""
    blob = bytearray(_zip(tmp_path / "e.zip", dict.fromkeys(files, b"x" * 5000)).read_bytes())
    end = blob.rindex(b"PK\5\6")
    (start,) = struct.unpack_from("<I", blob, end + 16)
    place = start
    while blob[place : place + 4] == b"PK\1\2":
        struct.pack_into("<I", blob, place + 42, 0)
        place += 46 + sum(struct.unpack_from("<HHH", blob, place + 28))
    (tmp_path / "e.zip").write_bytes(bytes(blob))
    with pytest.raises(ArtifactError):
        load(tmp_path / "e.zip")


def test_clocks_in_the_future_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1.7e9)
    with pytest.raises(ArtifactError, match=r"seal.*future"):
        load(folder)


def test_sealed_evidence_reads_as_a_case(folder: Path) -> None:
    case = read_case(load(folder))
    assert case.replayed.verdict.value == "supported"
    assert case.commitment is not None
    assert case.dated is None
