"""What the notary reads: sealed evidence, commitments, draws, envelopes, keys, time stamps."""

import base64
import json
import tempfile
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from birthmark.marks.keys import read_secret
from birthmark.notary import cases, folders, signing, stamps
from birthmark.notary.commitments import Commitment, Drawn
from birthmark.notary.commitments import read_secret as read_committed
from fuzz import packing
from fuzz.harness import CORPUS, Reader, content
from fuzz.mutations import Files
from notary.cases import Accuser, committed_claim, table_claim

SIGNER = ed25519.Ed25519PrivateKey.from_private_bytes(b"s" * 32)


@cache
def _accused() -> Mapping[str, Files]:
    with tempfile.TemporaryDirectory() as place:
        folder, claim = Path(place), table_claim(24)
        accuser = Accuser(folder, SIGNER, claim)
        commitment, drawn = committed_claim(claim)
        sealed = accuser.sealed(accuser.commit(commitment, drawn))
    return {"sealed": sealed, "plain": folders.seal({n: b for n, b in sealed.items() if n in folders.NEEDED}, SIGNER)}


def _sealed() -> list[Files]:
    zips = [{"e.zip": folders.zipped(one)} for one in _accused().values()]
    return [*_accused().values(), *zips]


def _read_sealed(folder: Path) -> folders.Sealed:
    place = folder / "e.zip"
    return folders.load(place if place.exists() else folder)


def _unsealed(files: Files) -> Files:
    """The parts of evidence without its seal; claim and transcript without digests and chains."""
    if "e.zip" in files:
        files = {name.partition("!")[2]: blob for name, blob in packing.members(files).items()}
    claim = {name.removeprefix("claim/"): blob for name, blob in files.items() if name.startswith("claim/")}
    parts = {f"claim/{name}": blob for name, blob in packing.artefact_parts(claim).items()}
    lines = packing.lines_of({"transcript.jsonl": files["transcript.jsonl"]})
    return {**{n: b for n, b in files.items() if n != folders.SEAL and not n.startswith("claim/")}, **parts, **lines}


def _resealed(parts: Files) -> Files:
    claim = {name.removeprefix("claim/"): blob for name, blob in parts.items() if name.startswith("claim/")}
    files = {f"claim/{name}": blob for name, blob in packing.artefact(claim).items()}
    files |= {name: blob for name, blob in parts.items() if not name.startswith("claim/")}
    files |= packing.chained_lines({"transcript.jsonl": parts.get("transcript.jsonl", b"")})
    digests = {name: sha256(blob).hexdigest() for name, blob in files.items() if name.isprintable()}
    about = signing.statement(digests, folders.KIND, {"sealed": "2026-01-01T00:00:00Z"})
    return {**files, folders.SEAL: signing.sign(about, SIGNER)}


def _read_case(folder: Path) -> object:
    case = cases.read_case(_read_sealed(folder))
    return json.dumps(case.replayed.as_dict(), allow_nan=False), case.alpha


def _documents() -> list[Files]:
    commitment, drawn = committed_claim(table_claim(24))
    return [{"commitment.json": commitment.blob, "drawn.json": drawn.blob}]


def _read_documents(folder: Path) -> object:
    commitment = Commitment.read(content(folder, "commitment.json"), "commitment.json")
    drawn = Drawn.read(content(folder, "drawn.json"), "drawn.json")
    return commitment.digest, drawn.seed("twins"), len(drawn.part(20, 0.8))


def _envelopes() -> list[Files]:
    return [{"e.json": signing.sign(signing.statement({name: "0" * 64}, "k", {}), SIGNER)} for name in ("a", "b")]


def _read_envelope(folder: Path) -> bytes:
    return signing.opened(content(folder, "e.json"), SIGNER.public_key(), "e.json")


def _pem() -> list[Files]:
    made = []
    for key in (SIGNER, ec.derive_private_key(7, ec.SECP256R1())):
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        made.append(
            {"key.pem": signing.public_pem(key.public_key()), "private.pem": private, "secret": b"ab" * 32 + b"\n"}
        )
    return made


def _read_pem(folder: Path) -> object:
    for name in ("secret", "private.pem"):
        if (folder / name).exists():
            (folder / name).chmod(0o600)
    read_committed(folder / "secret"), read_secret(folder / "secret")
    signing.private_key(folder / "private.pem")
    return signing.key_id(signing.read_public_key(folder / "key.pem"))


def _der(files: Files) -> Files:
    return {n: base64.b64decode(b"".join(b.splitlines()[1:-1])) if n.endswith(".pem") else b for n, b in files.items()}


def _armoured(parts: Files) -> Files:
    def pem(name: str, blob: bytes) -> bytes:
        kind = b"PRIVATE KEY" if name == "private.pem" else b"PUBLIC KEY"
        return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (kind, base64.encodebytes(blob), kind)

    return {n: pem(n, b) if n.endswith(".pem") else b for n, b in parts.items()}


def _stamps() -> list[Files]:
    return [{"stamp.tsr": (CORPUS / "stamp" / "good" / "stamp.tsr").read_bytes()}]


def _read_stamp(folder: Path) -> object:
    return stamps.said(content(folder, "stamp.tsr"), b"stamped", "stamp.tsr")


READERS = (
    Reader("sealed", _sealed, _read_sealed, kept=lambda sealed: dict(sealed.files)),
    Reader("case", _sealed, _read_case, _unsealed, _resealed),
    Reader("documents", _documents, _read_documents),
    Reader("envelope", _envelopes, _read_envelope, kept=lambda payload: payload),
    Reader("keys", _pem, _read_pem, _der, _armoured),
    Reader("stamp", _stamps, _read_stamp),
)
