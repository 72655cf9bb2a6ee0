"""Keys: derived, never shown, and read only from where nobody else can read them."""

import os
from pathlib import Path

import pytest

from birthmark.errors import ArtifactError, SettingError
from birthmark.marks.keys import Secret, new_secret, read_secret, write_secret


def test_written_for_its_owner_only_and_read_back(tmp_path: Path) -> None:
    secret = new_secret()
    write_secret(tmp_path / "k", secret)
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert read_secret(tmp_path / "k") == secret
    with pytest.raises(ArtifactError, match="never overwritten"):
        write_secret(tmp_path / "k", secret)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    write_secret(tmp_path / "k", new_secret())
    os.chmod(tmp_path / "k", 0o640)
    with pytest.raises(ArtifactError, match="mode 640"):
        read_secret(tmp_path / "k")


def test_environment_and_damaged_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "ab" * 32)
    assert read_secret("env:A_KEY") == Secret(b"\xab" * 32)
    monkeypatch.setenv("A_KEY", "abc-not-a-key")
    with pytest.raises(ArtifactError, match="64 hex digits") as caught:
        read_secret("env:A_KEY")
    assert "abc-not" not in str(caught.value)
    with pytest.raises(ArtifactError, match="found nothing"):
        read_secret("env:NO_SUCH_KEY")
    with pytest.raises(ArtifactError, match="cannot read"):
        read_secret(tmp_path / "missing")
    with pytest.raises(SettingError, match="32 bytes"):
        Secret(b"short")


def test_derived_keys_differ_and_nothing_shows_them() -> None:
    secret = Secret(bytes(range(32)))
    assert secret.derive("client", "a", 1) == secret.derive("client", "a", 1)
    assert (
        len({secret.derive("client", *path).value for path in (("a", 1), ("a", 2), ("b", 1), ("a/1",), ("a", "1", ""))})
        == 5
    )
    for shown in (repr(secret), str(secret), f"{secret}"):
        assert secret.value.hex() not in shown
    assert secret.fingerprint != secret.value.hex()[:8]


def test_derivation_and_expansion_are_pinned() -> None:
    """Replicas and later versions must give the same marks, so these values may never change."""
    secret = Secret(bytes(32))
    assert (
        secret.derive("client", "alice", 0).value.hex()
        == "7aac87ac63cb1eef58c6e7f7b6b0910f448055ca0f27ce71ff9fb0aa593162fd"
    )
    assert [round(u, 12) for u in secret.uniforms(2)] == [0.38834121905, 0.308869907194]
