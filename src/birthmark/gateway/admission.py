"""What may pass a closed gateway unmarked: what is declared, in its plain spelling, and nothing else.

Model servers differ in how they read a path (double slashes, dot segments, percent encodings, case, parameters) and
whether a header may name another method or path. So a closed gateway passes paths in one spelling alone, and none of
those headers ever reaches the model server.
"""

import re

from birthmark.gateway.asgi import Refused, Request
from birthmark.gateway.codec import Codec

PLAIN = re.compile(r"/|(?:/(?!\.\.?(?:/|$))[\w.~@:!$&'()*+,=-]+)+/?", re.ASCII)
OVERRIDES = frozenset(  # headers by which a request claims another method or path; "_" counts as "-"
    f"x-{name}".encode()
    for name in (
        *("http-method-override", "http-method", "method-override", "original-method", "forwarded-method"),
        *("original-url", "original-uri", "rewrite-url", "override-url", "forwarded-uri", "forwarded-path"),
    )
)
READS = ("GET", "HEAD")


def overrides(name: bytes) -> bool:
    """Whether a header (lower case) claims another method or path."""
    return name.replace(b"_", b"-") in OVERRIDES


def check(request: Request, codec: Codec, declared: list[re.Pattern[str]]) -> None:
    """Nothing, if a request that is no prediction may pass.

    Args:
        declared: paths that the operator lets pass, whatever the method.

    Raises:
        Refused: its path could be read as another, is near one that predicts, or is not declared.
    """
    if request.path != request.raw or not PLAIN.fullmatch(request.raw) or "_method" in request.query.lower():
        raise Refused(400, "odd-address", "this gateway passes on addresses in their plain spelling alone")
    if not codec.near(request.path) and (
        any(pattern.fullmatch(request.path) for pattern in declared)
        or (request.method in READS and not request.has_body and codec.reads.fullmatch(request.path))
    ):
        return
    said = f"{request.method} {request.path[:100]}"
    raise Refused(403, "not-declared", f"{said} is no prediction this gateway knows, and its policy is closed")
