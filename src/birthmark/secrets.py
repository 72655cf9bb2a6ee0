"""What may leave: text without secrets in it, and without what could steer a terminal.

Whoever reads a secret tells `keep` of it. From then on `redacted` finds it in any text, as it is, in base64, hex,
percent-encoded, or escaped as JSON, HTML or Python do; whole, or a piece of it that somebody else's cut has left.
`printable` is the edge to people: redact, then drop escape sequences, control characters and bidirectional overrides,
and only then cut.
"""

import base64
import html
import logging
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import unquote_to_bytes, urlsplit

SHORTEST = 4  # characters of a secret; shorter ones would redact half of every text
PIECE = 8  # characters in a row that give a piece of a secret away
AT_A_CUT = 4  # the same at either end of a text that was cut
LEVELS = 3  # of escapes within escapes that are undone, the text itself included
MOST_READ = 1 << 16  # characters of a text that are looked at before it is cut

_kept: set[bytes] = set()

ESCAPE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC with their payload
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*(?:[@-~]|$)"  # CSI
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
CODED = re.compile(
    r"%[0-9a-fA-F]{2}|(?:\\u[0-9a-fA-F]{4})+|\\x[0-9a-fA-F]{2}|\\[^ux]"
    r"|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-z]{2,6});"
)
BROKEN = re.compile(r"(?:%[0-9a-fA-F]?|\\(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|&[#a-zA-Z0-9]{0,7})$")  # an escape, cut
DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


def keep(*secrets: str | bytes) -> None:
    """From now on no text that leaves shows these; a password in a URL's authority or in Basic credentials counts."""
    for secret in secrets:
        value = secret.encode("utf-8", "surrogateescape") if isinstance(secret, str) else secret
        _kept.update(one for one in (value, _decoded(value)) if len(one) >= SHORTEST)


def keep_password(url: str) -> None:
    """Keep the password that a URL holds, as `keep` does."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return
    if password:
        keep(password, unquote_to_bytes(password))


def _decoded(value: bytes) -> bytes:
    """What a secret says if it is base64 of text, such as Basic credentials."""
    try:
        text = base64.b64decode(value, validate=True)
    except ValueError:
        return b""
    return text if text.isascii() and text.decode("ascii").isprintable() else b""


def redacted(text: str, *, cut: bool = False) -> str:
    """The text with "***" for every secret in it, and for every piece of one.

    Args:
        cut: the text was cut, so that what is left of a secret at either end may be short.
    """
    if not _kept or (DIGEST.fullmatch(text) and text.encode() not in _kept):
        return text  # eight digits of a digest may be a secret's by chance
    hidden = _hidden(text, cut)
    return "".join(c if i not in hidden else "" if i - 1 in hidden else "***" for i, c in enumerate(text))


def _hidden(text: str, cut: bool) -> set[int]:
    """Places of the characters that say a secret, or a piece of one, escaped or not."""
    hidden = set[int]()
    plain = "".join(c.encode("utf-8", "surrogatepass").decode("latin-1") for c in text)
    places = [(i, i + 1) for i, c in enumerate(text) for _ in c.encode("utf-8", "surrogatepass")]
    for _ in range(LEVELS):
        for start, end in _found(plain, cut):
            hidden.update(range(places[start][0], places[end - 1][1]))
        if not CODED.search(plain):
            break
        plain, places = _unescaped(plain, places)
    return hidden


def _unescaped(plain: str, places: list[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Bytes (as Latin-1) with every escape replaced by what it stands for, and where in the text each came from."""
    parts, kept, last = list[str](), list[tuple[int, int]](), 0
    for found in CODED.finditer(plain):
        start, end = found.span()
        meant = _meant(found[0])
        parts += [plain[last:start], meant]
        kept += [*places[last:start], *[(places[start][0], places[end - 1][1])] * len(meant)]
        last = end
    return "".join([*parts, plain[last:]]), [*kept, *places[last:]]


def _meant(code: str) -> str:
    if code[0] == "%":
        return unquote_to_bytes(code).decode("latin-1")
    if code[0] == "&":
        return html.unescape(code).encode("utf-8", "surrogatepass").decode("latin-1")
    if code[1] == "u":
        return bytes.fromhex(code.replace("\\u", "")).decode("utf-16-be", "replace").encode().decode("latin-1")
    return chr(int(code[2:], 16)) if code[1] == "x" else code[1:]


def _found(plain: str, cut: bool) -> Iterator[tuple[int, int]]:
    """Spans that are a form of a secret, or a piece of one."""
    ends = {plain, BROKEN.sub("", plain)} if cut else set[str]()
    for form in _forms(frozenset(_kept)):
        size = min(PIECE, len(form))
        pieces = {form[i : i + size] for i in range(len(form) - size + 1)}
        for i in range(len(plain) - size + 1):
            if plain[i : i + size] in pieces:
                yield i, i + size
        for n in range(size, AT_A_CUT - 1, -1):
            yield from ((len(end) - n, len(plain)) for end in ends if end.endswith(form[:n]))
            if cut and plain.startswith(form[-n:]):
                yield 0, n


@lru_cache(maxsize=8)
def _forms(secrets: Iterable[bytes]) -> tuple[str, ...]:
    """Every form that secrets travel in, escapes aside: themselves, hex, base64 at any place of a longer text."""
    found = dict[bytes, None]()
    for secret in secrets:
        found[secret] = None
        if len(secret) < PIECE:
            continue
        for text in (secret.hex(), secret.hex().upper()):
            found[text.encode()] = None
        for before in range(3):
            code = base64.b64encode(b"\0" * before + secret)
            inner = code[(0, 2, 3)[before] : len(code.rstrip(b"=")) - (1 if (before + len(secret)) % 3 else 0)]
            found[inner] = found[inner.replace(b"+", b"-").replace(b"/", b"_")] = None
    return tuple(form.decode("latin-1") for form in found)


def printable(text: object, most: int = 0) -> str:
    """Text from elsewhere, fit for a message: no secrets, no escape sequences, one line; cut to `most` characters."""
    whole = str(text)
    clean = redacted(ESCAPE.sub("", whole[:MOST_READ]), cut=most > 0 or len(whole) > MOST_READ)
    if not clean.isprintable():
        clean = "".join(c if c.isprintable() else " " for c in clean)
    return clean[:most] if most else clean


class Redacting(logging.Formatter):
    """Log lines without secrets; a traceback keeps its lines, everything else is one."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(printable(line) for line in super().format(record).splitlines())
