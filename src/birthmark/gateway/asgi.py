"""A request as the gateway reads it, and answers as it gives them: the words of ASGI, once."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from birthmark.errors import BirthmarkError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]  # names in lower case, in the order they came


class Refused(BirthmarkError):
    """A request that the gateway answers itself."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class Request(NamedTuple):
    """What a client sent.

    Attributes:
        path: percent-decoded. raw: as it came, without the query. query: without "?".
        peer: address of the connection.
    """

    method: str
    path: str
    raw: str
    query: str
    headers: Headers
    peer: str
    receive: Receive

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> "Request":
        """The request of an ASGI scope."""
        raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
        query, peer = scope.get("query_string", b"").decode("latin-1"), (scope.get("client") or ("",))[0]
        return cls(scope["method"], scope["path"], raw, query, list(scope["headers"]), peer, receive)

    def values(self, name: bytes) -> list[str]:
        """All values of a header."""
        return [value.decode("latin-1").strip() for found, value in self.headers if found == name]

    @property
    def has_body(self) -> bool:
        """Whether a body is announced."""
        return any(n == b"transfer-encoding" or (n == b"content-length" and v != b"0") for n, v in self.headers)

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            Refused: the client hung up, or took too long (`birthmark.gateway.server`).
        """
        more = True
        while more:
            part, more = await self._part()
            yield part

    async def whole(self, held: "Held") -> bytes:
        """The whole body; raises as `body` and `Held.take`."""
        part, more = await self._part()
        held.take(part, len(part))
        if not more:
            return part
        found = bytearray(part)
        while more:
            part, more = await self._part()
            found += part
            held.take(part, len(found))
        return bytes(found)

    async def _part(self) -> tuple[bytes, bool]:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise Refused(499, "client-gone", "the client hung up")
        return message.get("body", b""), message.get("more_body", False)


@dataclass
class Budget:
    """Bytes that one body may have, and those that are left for all bodies under way."""

    most: int
    left: int


@dataclass
class Held:
    """What one request takes of the budget; given back at the end of the `with` block."""

    budget: Budget
    size: int = 0

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self.budget.left += self.size

    def take(self, part: bytes, size: int) -> None:
        """Hold a part of a body that has so many bytes by now.

        Raises:
            Refused: 413 for a body that is too large, 503 if all requests under way hold too much.
        """
        if size > self.budget.most:
            raise Refused(413, "too-large", f"a request may have {self.budget.most} bytes")
        if len(part) > self.budget.left:
            raise Refused(503, "busy", "too many large requests are under way; try again")
        self.budget.left -= len(part)
        self.size += len(part)


async def say(send: Send, status: int, message: str) -> None:
    """Answer with an error as JSON."""
    await answer(send, status, [(b"content-type", b"application/json")], json.dumps({"error": message}).encode())


async def answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Answer with a whole body."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
