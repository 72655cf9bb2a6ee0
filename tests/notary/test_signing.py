"""Envelopes: others verify ours, and no bit of them is free."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from birthmark.errors import ArtifactError, UnknownName
from birthmark.notary import signing
from birthmark.notary.signing import Private, key_id, new_key, opened, private_key, public_key, public_pem, sign

PAYLOAD = signing.statement({"a.json": "0" * 64}, "urn:birthmark:test:1", {"n": 1})


def test_securesystemslib_verifies_our_envelopes(key: Private) -> None:
    public = key.public_key()
    theirs = SSlibKey.from_crypto(public, keyid=key_id(public))
    envelope = Envelope.from_dict(json.loads(sign(PAYLOAD, key)))
    assert envelope.verify([theirs], 1)
    assert envelope.payload == PAYLOAD
    assert json.loads(PAYLOAD)["subject"] == [{"name": "a.json", "digest": {"sha256": "0" * 64}}]


def test_every_flipped_bit_is_found(key: Private) -> None:
    envelope = sign(PAYLOAD, key)
    assert opened(envelope, key.public_key(), "e") == PAYLOAD
    for place in range(len(envelope) * 8):
        altered = bytearray(envelope)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(ArtifactError, match=r"^e: "):
            opened(bytes(altered), key.public_key(), "e")


def test_keys_are_kept_for_their_owner_and_never_overwritten(tmp_path: Path) -> None:
    made = new_key(tmp_path / "k", "p256")
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert key_id(private_key(tmp_path / "k").public_key()) == key_id(made.public_key())
    with pytest.raises(ArtifactError, match="never overwritten"):
        new_key(tmp_path / "k")
    with pytest.raises(UnknownName, match="ed25519"):
        new_key(tmp_path / "n", "rsa")


@pytest.mark.parametrize("wrong", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())])
def test_keys_of_another_kind_are_refused(wrong: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(wrong.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ArtifactError, match="Ed25519 or ECDSA P-256"):
        private_key(tmp_path / "k")
    with pytest.raises(ArtifactError, match="Ed25519 or ECDSA P-256"):
        public_key(wrong.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "k")


def test_no_key_at_all(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("hello")
    with pytest.raises(ArtifactError, match="PEM"):
        private_key(tmp_path / "k")
    with pytest.raises(ArtifactError, match="PEM"):
        public_key(b"hello", "k")
    with pytest.raises(ArtifactError, match="holds a key"):
        private_key(tmp_path / "none")


def test_another_key_signed_it(key: Private, tmp_path: Path) -> None:
    other = new_key(tmp_path / "other").public_key()
    with pytest.raises(ArtifactError, match="another key"):
        opened(sign(PAYLOAD, key), other, "e")
    assert public_key(public_pem(other), "k")
