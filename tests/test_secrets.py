"""Nothing of a secret leaves in any form, whole or in pieces; nothing that steers a terminal does either."""

import base64
import html
import json
import logging
import re
from urllib.parse import quote

import pytest

from birthmark.errors import BirthmarkError
from birthmark.secrets import Redacting, keep, keep_password, printable, redacted

TOKENS = ('sk-Zq8/w+4Gt"Lm9\\xR2', "пароль-Ünïcode-42", "0123456789abcdef" * 4, "a b%2Fc%20d&e<f>'g")


@pytest.fixture(autouse=True)
def _known(_no_secrets: None) -> None:
    keep(*TOKENS)


def forms(token: str) -> list[str]:
    raw = token.encode()
    return [
        token,
        json.dumps(token),
        json.dumps(json.dumps(token)),
        json.dumps(token, ensure_ascii=False),
        "".join(f"\\u{ord(c):04x}" for c in token),
        repr(token),
        repr(raw),
        quote(token),
        quote(token, safe=""),
        re.sub("%..", lambda m: m[0].lower(), quote(token, safe="")),
        html.escape(token),
        raw.hex(),
        *(
            code(prefix + raw + b"tail").decode()
            for prefix in (b"", b"u:", b"user:", b"Bearer ")
            for code in (base64.b64encode, base64.urlsafe_b64encode)
        ),
    ]


def pieces(token: str, n: int) -> set[str]:
    return {token[i : i + n] for i in range(len(token) - n + 1)}


@pytest.mark.parametrize("token", TOKENS)
def test_no_form_of_a_secret_leaves(token: str) -> None:
    for form in forms(token):
        said = redacted(f"invalid key <<{form}>>, sorry")
        assert len(said) <= len("invalid key <<'******'>>, sorry") + 24  # what stands around it in base64
        assert said.startswith("invalid key <<")
        assert said.endswith(">>, sorry")


@pytest.mark.parametrize("token", TOKENS)
def test_a_secret_that_straddles_any_cut_leaves_nothing(token: str) -> None:
    for form in forms(token):
        for offset in range(60 + len(form)):
            ours = printable("." * offset + form + "." * 80, 60)
            assert len(ours.replace(".", "").replace("*", "")) <= 24, ours  # what stood around it in base64
            theirs = printable(("." * offset + form)[:60], 200)  # cut before it came here
            assert len(theirs.replace(".", "").replace("*", "")) <= 24, theirs  # three characters, six in an escape


@pytest.mark.parametrize("token", TOKENS)
def test_no_piece_of_four_characters_is_left_at_a_cut(token: str) -> None:
    for offset in range(60 + len(token)):
        for text in ("." * offset + token, ("." * offset + token)[:60], (token + "." * 60)[offset:]):
            assert not pieces(token, 4) & pieces(printable(text, 60), 4)


def test_what_is_no_secret_stays() -> None:
    text = "answers 9 classes, the source has 10; 100 % of C:\\path & more \\u00e9 %20"
    assert redacted(text) == text
    assert printable("naïve — π 漢字") == "naïve — π 漢字"
    digest = "0123456789abcdef" * 3 + "0" * 16
    assert redacted(digest) == digest
    keep("abc")
    assert redacted("abc") == "abc"


def test_passwords_of_urls_and_basic_credentials_are_secrets() -> None:
    keep_password("https://user:p%40ssw0rd!@proxy:8080/")
    keep(base64.b64encode(b"alice:open-sesame").decode())
    said = redacted("https://user:p%40ssw0rd!@proxy p@ssw0rd! alice:open-sesame")
    assert said == "https://user:***@proxy *** ***"
    keep_password("http://[::1")


HOSTILE = (
    "\x1b]0;owned\x07name",
    "\x1b]8;;http://evil\x1b\\name\x1b]8;;\x1b\\",
    "\x1b[2J\x1b[1;1Hname",
    "\x9b31mname",
    "\x9d0;owned\x9cname",
    "\x1bP1;1|payload\x1b\\name",
    "\x1bcname",
    "na\x00me\r\n\x08\x7f",
    "\u202ename\u202c\u2066\u200f",
    "na\u2028me\u2029",
    "\ud800name",
    "\x1b[",
    "\x1b",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_steers_a_terminal_leaves(text: str) -> None:
    said = printable(text)
    assert said.isprintable()
    assert not {"owned", "evil", "payload"} & set(said.replace("name", " ").split())
    said.encode()
    assert str(BirthmarkError(f"{text}: no such model")).isprintable()


def test_an_escape_sequence_does_not_hide_a_secret() -> None:
    assert printable("0123456789\x1b[0mabcdef0123456789abcdef") == "***"


def test_errors_and_logs_are_redacted() -> None:
    assert str(BirthmarkError(f"the server says {TOKENS[0]}")) == "the server says ***"
    try:
        raise ValueError(TOKENS[0])
    except ValueError:
        import sys

        record = logging.LogRecord("x", logging.ERROR, "", 0, "key %s", (TOKENS[0],), sys.exc_info())
    said = Redacting("%(message)s").format(record)
    assert said.startswith("key ***\nTraceback")
    assert "Zq8/w+" not in said
