"""Evidence under one seal: a folder, or a zip of it, of which no bit can change unnoticed.

The seal is an in-toto statement that names every other file with its SHA-256, signed by whoever presents the evidence
(docs/evidence-format.md). What is opened is bounded, holds known names alone, and no links.
"""

import os
import platform
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

from birthmark.artifact import canonical, disk_errors, write_atomically
from birthmark.errors import ArtifactError, BirthmarkError, must
from birthmark.notary import signing
from birthmark.notary.signing import Private, key_id, public_key, public_pem
from birthmark.notary.strict import moment, now, parse_canonical
from birthmark.types import Plain

KIND, ENVIRONMENT = "urn:birthmark:evidence:1", "birthmark/environment/1"
SEAL, KEY = "seal.dsse.json", "key.pem"
EVIDENCE, DRAW = "evidence.json", "drawn.json"
COMMITMENT, ENVELOPE, STAMP = "commitment.json", "commitment.dsse.json", "commitment.tsr"
OF_COMMITMENT = "urn:birthmark:commitment:1"
CLAIM = ("claim/data.json", "claim/manifest.json", "claim/tensors.safetensors")
NEEDED = (EVIDENCE, "transcript.jsonl", "environment.json", KEY, *CLAIM)
COMMITTED = (COMMITMENT, ENVELOPE, STAMP, DRAW)
KNOWN = {SEAL, *NEEDED, *COMMITTED}
LARGEST = 2 << 30  # bytes of all files together
SAFE = re.compile(r"[^A-Za-z0-9._/ -]")


@dataclass(frozen=True)
class Sealed:
    """Evidence whose seal holds.

    Attributes:
        files: content by name. signer: id of the key that sealed it. sealed: when, by that signer's clock.
    """

    files: Mapping[str, bytes]
    signer: str
    sealed: str

    @contextmanager
    def laid_out(self) -> Iterator[Path]:
        """The files in a folder of our own, where nobody else can change them."""
        with tempfile.TemporaryDirectory(prefix="birthmark-") as place:
            _write(self.files, Path(place))
            yield Path(place)


def gather(evidence: Path, claim: Path, commitment: Path | None = None) -> dict[str, bytes]:
    """The files of an evidence folder, from where `verify --out`, `enroll` and `commit` wrote them.

    Raises:
        ArtifactError: one is missing, is a link, or too large.
    """
    places = {name: evidence / name for name in (EVIDENCE, "transcript.jsonl")}
    places |= {name: claim / Path(name).name for name in CLAIM}
    if commitment is not None:
        places |= {name: commitment / name for name in COMMITTED if (commitment / name).exists()}
    return {name: _read(path, LARGEST) for name, path in places.items()}


def seal(files: Mapping[str, bytes], key: Private) -> dict[str, bytes]:
    """The files under a seal, with what they were made on and the public key."""
    made = {name: version(name) for name in ("birthmark", "numpy", "torch", "cryptography")}
    about = {"format": ENVIRONMENT, "versions": made, "python": platform.python_version(), "on": platform.platform()}
    whole = {**files, "environment.json": canonical(about), KEY: public_pem(key.public_key())}
    if missing := [name for name in NEEDED if name not in whole]:
        raise ArtifactError(f"evidence without {', '.join(missing)} cannot be sealed")
    digests = {name: sha256(blob).hexdigest() for name, blob in whole.items()}
    return {**whole, SEAL: signing.sign(signing.statement(digests, KIND, {"sealed": now()}), key)}


def save(files: Mapping[str, bytes], out: Path) -> None:
    """Write a new folder, or a zip if that is what `out` ends in; whole or not at all.

    Raises:
        BirthmarkError: something is there already, the disk is full or the place is not writable.
    """
    if out.exists():
        raise BirthmarkError(f"{out} is there already; sealed evidence is never overwritten, name a new place")
    if out.suffix == ".zip":
        write_atomically(out, zipped(files))
        return
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        try:
            _write(files, fresh)
            os.chmod(fresh, 0o755)
            os.replace(fresh, out)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    for name, blob in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(blob)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """The one zip of these files: names in order, nothing compressed, no dates; so no byte of it is free."""
    blob = BytesIO()
    with zipfile.ZipFile(blob, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            file.writestr(entry, files[name])
    return blob.getvalue()


def load(path: Path) -> Sealed:
    """Open sealed evidence, a folder or a zip, checking every byte before any of it is used.

    Raises:
        ArtifactError: anything but what `save` wrote; names the file.
    """
    files = _unzipped(path) if path.is_file() else _folder(path)
    if missing := [name for name in (*NEEDED, SEAL) if name not in files]:
        hint = "; seal it first: birthmark sign" if SEAL in missing else ""
        raise ArtifactError(f"{path}: evidence lacks {', '.join(missing)}{hint}")
    payload, named, _ = signing.unopened(files[SEAL], SEAL)
    stated = _subjects(payload)
    key = _signer(files, named, stated)
    signing.opened(files[SEAL], key, SEAL)
    for name in sorted({*files, *stated} - {SEAL}):
        if name not in files:
            raise ArtifactError(f"{name}: named by the seal but missing; the evidence is incomplete")
        if stated.get(name) != sha256(files[name]).hexdigest():
            raise ArtifactError(f"{name}: is not the file that was sealed; it was altered, swapped or added")
    sealed = parse_canonical(payload, SEAL)["predicate"].get("sealed", "")
    moment(str(sealed), SEAL)
    return Sealed(files, key_id(key), str(sealed))


def _subjects(payload: bytes) -> dict[str, str]:
    data = parse_canonical(payload, SEAL)
    try:
        must((data["_type"], data["predicateType"]) == (signing.STATEMENT, KIND), isinstance(data["predicate"], dict))
        found = {one["name"]: one["digest"]["sha256"] for one in data["subject"]}
        must(len(found) == len(data["subject"]))
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(f"{SEAL}: expected birthmark's seal of evidence, version 1; it was altered") from None
    return found


def _signer(files: Mapping[str, bytes], named: str, stated: Plain) -> signing.Public:
    """The key that sealed it; where key and seal disagree, the seal's digest of the key tells which was altered."""
    try:
        key = public_key(files[KEY], KEY)
        if key_id(key) == named:
            return key
    except ArtifactError:
        key = None
    whose = SEAL if key and stated.get(KEY) == sha256(files[KEY]).hexdigest() else KEY
    raise ArtifactError(f"{whose}: key and seal do not belong together; it was altered") from None


def _folder(path: Path) -> dict[str, bytes]:
    if path.is_symlink() or not path.is_dir():
        raise ArtifactError(f"{path}: expected a folder of evidence, or a zip of one")
    found, total = dict[str, bytes](), 0
    for name in sorted(_names(path)):
        found[name] = _read(path / name, LARGEST - total)
        total += len(found[name])
    return found


def _names(path: Path) -> Iterator[str]:
    for entry in list(os.scandir(path)):
        if entry.name == "claim" and entry.is_dir(follow_symlinks=False):
            yield from (_known(f"claim/{one.name}") for one in list(os.scandir(entry.path)))
        else:
            yield _known(entry.name)


def _known(name: str) -> str:
    if name not in KNOWN:
        raise ArtifactError(
            f"{SAFE.sub('?', name)[:80]}: no part of birthmark's evidence; take it out, or ask who put it in"
        )
    return name


def _read(path: Path, most: int) -> bytes:
    """A regular file's bytes, without following a link or waiting for a pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ArtifactError(f"{path}: expected a file that is no link ({error.strerror})") from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise ArtifactError(f"{path}: expected a file of at most {most} bytes")
        return file.read(most)


def _unzipped(path: Path) -> dict[str, bytes]:
    """A zip's files; only the one zip of them that `zipped` writes is read, which is no larger than what is in it."""
    blob = _read(path, LARGEST)
    try:
        with zipfile.ZipFile(BytesIO(blob)) as file:
            entries = file.infolist()
            for entry in entries:
                _known(entry.filename)
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                    raise ArtifactError(f"{path}: compressed; unpack it and judge the folder")
            if len(entries) > len(KNOWN) or sum(entry.file_size for entry in entries) > len(blob):
                raise ArtifactError(f"{path}: its parts overlap; it was not written by birthmark")
            files = {entry.filename: _entry(file, entry) for entry in entries}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise ArtifactError(f"{path}: not a zip that can be read ({str(error)[:80]})") from None
    if zipped(files) != blob:
        raise ArtifactError(
            f"{path}: its directory was altered, or another tool packed it; unpack it and judge the folder"
        )
    return files


def _entry(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        return file.read(entry)
    except zipfile.BadZipFile:
        raise ArtifactError(f"{entry.filename}: was altered inside the zip") from None
