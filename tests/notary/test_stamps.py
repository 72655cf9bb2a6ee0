"""Time stamps against an authority of our own."""

import time
from pathlib import Path

import pytest

from birthmark.errors import ArtifactError, BirthmarkError
from birthmark.notary import stamps
from notary.conftest import Authority

DATA = b'{"commitment": 1}'


def test_openssl_accepts_what_we_accept_and_refuses_what_we_refuse(authority: Authority) -> None:
    stamp, trusted = authority.stamp(DATA), stamps.roots(authority.roots)
    assert abs(stamps.stamped(stamp, DATA, trusted, "s").timestamp() - time.time()) < 60
    assert authority.accepts(stamp, DATA)
    with pytest.raises(ArtifactError, match="not one on this file"):
        stamps.stamped(stamp, DATA + b" ", trusted, "s")
    assert not authority.accepts(stamp, DATA + b" ")


def test_a_stamp_by_somebody_else_is_refused(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with pytest.raises(ArtifactError, match="authority that you trust"):
        stamps.stamped(other.stamp(DATA), DATA, stamps.roots(authority.roots), "s")


def test_a_clock_in_the_future_is_refused(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = authority.stamp(DATA)
    monkeypatch.setattr(time, "time", lambda: 1.7e9)
    with pytest.raises(ArtifactError, match="future"):
        stamps.stamped(stamp, DATA, stamps.roots(authority.roots), "s")


@pytest.mark.parametrize("stamp", [b"", b"hello", b"0" * (2 << 20)])
def test_no_stamp(stamp: bytes, authority: Authority) -> None:
    with pytest.raises(ArtifactError, match="time stamp"):
        stamps.stamped(stamp, DATA, stamps.roots(authority.roots), "s")


def test_an_authority_that_does_not_answer() -> None:
    with pytest.raises(BirthmarkError, match="did not answer"):
        stamps.ask("http://127.0.0.1:9/tsa", DATA)


def test_no_certificates(tmp_path: Path) -> None:
    (tmp_path / "r.pem").write_text("none")
    with pytest.raises(ArtifactError, match="certificates"):
        stamps.roots(tmp_path / "r.pem")
