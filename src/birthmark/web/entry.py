"""Who may come in: a token once, then a cookie; forms carry a word that no other site knows."""

import hmac
from hashlib import sha256

from starlette.requests import HTTPConnection

COOKIE = "birthmark"
OPEN = ("/entry", "/static/")  # what is shown without a token


def word(token: str, purpose: str) -> str:
    """A word that only who knows the token can make, for one purpose."""
    return hmac.new(token.encode(), purpose.encode(), sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Whether two words are the same, in a time that does not tell where they part."""
    return hmac.compare_digest(given.encode(), expected.encode())


def known(request: HTTPConnection, token: str) -> bool:
    """Whether a request bears the cookie, or the token itself as a program would send it."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and same(given.strip(), token):
        return True
    return same(request.cookies.get(COOKIE, ""), word(token, "cookie"))
