"""Signatures: DSSE envelopes around in-toto statements, by Ed25519 or ECDSA on P-256.

An envelope is canonical JSON with one signature, so that no bit of it is free; `keyid` is the SHA-256 of the public
key's SubjectPublicKeyInfo. https://github.com/secure-systems-lab/dsse, https://in-toto.io/Statement/v1
"""

import base64
import binascii
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from birthmark.artifact import canonical, disk_errors
from birthmark.errors import ArtifactError, must, nearest
from birthmark.notary.strict import parse_canonical
from birthmark.types import Plain

PAYLOAD, STATEMENT = "application/vnd.in-toto+json", "https://in-toto.io/Statement/v1"
LARGEST_KEY = 1 << 16
Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
Public = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
KINDS = ("ed25519", "p256")


def new_key(path: Path, kind: str = "ed25519") -> Private:
    """Make a private key, kept as PKCS 8 in a new file of mode 600.

    Raises:
        ArtifactError: the file is there already: a key is never overwritten.
    """
    if kind not in KINDS:
        raise nearest("kind of key", kind, KINDS)
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ArtifactError(f"{path}: is there already, and a key is never overwritten; name a new file") from None
        with os.fdopen(handle, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def private_key(path: Path) -> Private:
    """Read a private key.

    Raises:
        ArtifactError: no key, one with a password, or one of another kind.
    """
    try:
        key = load_pem_private_key(_small(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ArtifactError(f"{path}: expected a private key in PEM form without a password") from None
    if isinstance(key, ed25519.Ed25519PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return key
    raise ArtifactError(f"{path}: expected an Ed25519 or ECDSA P-256 key, got another kind; make one with --new-key")


def public_key(blob: bytes, name: str) -> Public:
    """A public key from its PEM form, in the one spelling that `public_pem` writes.

    Raises:
        ArtifactError: no key, one of another kind, or another spelling.
    """
    try:
        key = load_pem_public_key(blob)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ArtifactError(f"{name}: expected a public key in PEM form") from None
    if not isinstance(key, ed25519.Ed25519PublicKey) and not (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        raise ArtifactError(f"{name}: expected an Ed25519 or ECDSA P-256 key, got another kind")
    if public_pem(key) != blob.replace(b"\r\n", b"\n").strip() + b"\n":
        raise ArtifactError(f"{name}: not in the one spelling that birthmark writes; it was altered")
    return key


def read_public_key(path: Path) -> Public:
    """The public key in a file."""
    return public_key(_small(path), str(path))


def _small(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size > LARGEST_KEY:
        raise ArtifactError(f"{path}: expected a file that holds a key in PEM form")
    return path.read_bytes()


def public_pem(key: Public) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_id(key: Public) -> str:
    """SHA-256, in hex, of the key's SubjectPublicKeyInfo."""
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def statement(subjects: Mapping[str, str], kind: str, predicate: Plain) -> bytes:
    """An in-toto statement about files, by name and SHA-256."""
    return canonical(
        {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(subjects.items())],
            "predicateType": kind,
            "predicate": predicate,
        }
    )


def _message(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def sign(payload: bytes, key: Private) -> bytes:
    """The envelope around a payload."""
    message = _message(payload)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(message)
    else:
        signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
    return canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD,
            "signatures": [{"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}],
        }
    )


def unopened(envelope: bytes, name: str) -> tuple[bytes, str, bytes]:
    """Payload, key id and signature of an envelope, nothing verified.

    Raises:
        ArtifactError: no envelope, or not in the one spelling that `sign` writes.
    """
    data = parse_canonical(envelope, name)
    try:
        (one,) = data["signatures"]
        must(set(data) == {"payload", "payloadType", "signatures"}, set(one) == {"keyid", "sig"})
        must(data["payloadType"] == PAYLOAD, isinstance(one["keyid"], str))
        payload, signature = _decoded(data["payload"]), _decoded(one["sig"])
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(
            f"{name}: expected a DSSE envelope with one signature around an in-toto statement"
        ) from None
    return payload, one["keyid"], signature


def _decoded(text: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError from None
    if base64.b64encode(found).decode() != text:
        raise ValueError("bits to spare")
    return found


def opened(envelope: bytes, key: Public, name: str) -> bytes:
    """The payload of an envelope that this key signed.

    Raises:
        ArtifactError: no envelope, or not signed by this key.
    """
    payload, named, signature = unopened(envelope, name)
    if named != key_id(key):
        raise ArtifactError(f"{name}: signed by another key (it names {named[:16]}, this one is {key_id(key)[:16]})")
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, _message(payload))
        else:
            key.verify(signature, _message(payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise ArtifactError(f"{name}: the signature does not fit; it was altered, or another key signed it") from None
    return payload
