"""The model server: requests sent to it, whole or as they come, and its answers."""

import logging
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache

from birthmark.errors import SettingError
from birthmark.gateway.admission import overrides
from birthmark.gateway.asgi import Headers, Held, Refused, Request, Send
from birthmark.gateway.config import Config

try:
    import aiohttp
    from multidict import CIMultiDict
    from yarl import URL
except ImportError:
    raise SettingError("the gateway needs aiohttp; pip install 'birthmark[serve]'") from None

HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade".split()
)
NOT_PASSED = HOP | {b"host", b"expect"}
WHOLE = {b"content-length", b"accept-encoding"}  # of predictions: they are sent whole, and must be readable
MOST_HEADER = 1 << 16  # bytes of one header of an answer
logger = logging.getLogger("birthmark.gateway")


class Upstream:
    """The connections to the model server; made where the event loop runs."""

    def __init__(self, config: Config) -> None:
        self.config, self.base = config, config.upstream.rstrip("/")
        self.plain = config.policy == "closed" and config.strength != "none"
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """aiohttp's session."""
        if self._session is None:
            seconds = self.config.timeout
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.config.connections, keepalive_timeout=20),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=seconds, sock_connect=min(5.0, seconds), sock_read=seconds
                ),
                cookie_jar=aiohttp.DummyCookieJar(),  # one caller's cookies must not go with the next one's requests
                auto_decompress=False,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
                max_line_size=MOST_HEADER,
                max_field_size=MOST_HEADER,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def ready(self) -> bool:
        """Whether it answers anything within two seconds."""
        try:
            async with self.session.get(self.base + "/", allow_redirects=False, timeout=aiohttp.ClientTimeout(2.0)):
                return True
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def ask(self, request: Request, body: bytes, held: Held) -> tuple[int, Headers, bytes]:
        """Status, headers and body of the whole answer to a prediction.

        Raises:
            Refused: no answer, a broken one, or one that is too large.
        """
        headers = self._headers(request, NOT_PASSED | WHOLE)
        headers["accept-encoding"] = "identity"
        answer = await self._send(request, headers, body)
        try:
            found = bytearray()
            async for part in answer.content.iter_any():
                found += part
                if len(found) > self.config.most_body:
                    raise Refused(502, "upstream-too-large", "the model server's answer is too large")
                held.take(part, len(found))
        except (aiohttp.ClientError, TimeoutError):
            raise Refused(502, "upstream-broke", "the model server broke off its answer") from None
        finally:
            answer.release()
        return answer.status, _kept(answer.raw_headers, HOP | {b"content-length"}), bytes(found)

    async def stream(self, request: Request, send: Send) -> None:
        """Pass a request on as it comes, and its answer.

        Raises:
            Refused: no answer.
        """
        headers = self._headers(request, NOT_PASSED)
        headers.setdefault("accept-encoding", "identity")
        body = request.body() if request.has_body else None
        answer = await self._send(request, headers, body)
        try:
            raw = _kept(answer.raw_headers, HOP)
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            async for part in answer.content.iter_any():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (aiohttp.ClientError, TimeoutError):  # the head is out: all that is left is to break off
            logger.warning("the model server broke off its answer")
        finally:
            answer.release()

    def _headers(self, request: Request, left_out: frozenset[bytes]) -> CIMultiDict[str]:
        kept = ((name, value) for name, value in request.headers if name not in left_out)
        return CIMultiDict((_text(n), _text(v)) for n, v in kept if not (self.plain and overrides(n)))

    async def _send(
        self, request: Request, headers: CIMultiDict[str], body: bytes | AsyncIterator[bytes] | None
    ) -> aiohttp.ClientResponse:
        """The client's request, sent to the upstream; its answer, of which the head is there."""
        if not request.raw.startswith("/") or "#" in request.raw:  # behind "@" would stand another server
            raise Refused(400, "bad-url", "this address cannot be passed on")
        try:
            url = _url(self.base + request.raw + (f"?{request.query}" if request.query else ""))
            return await self.session.request(request.method, url, headers=headers, data=body, allow_redirects=False)
        except TimeoutError:
            raise Refused(504, "upstream-timeout", "the model server did not answer in time") from None
        except ValueError:  # before ClientError: aiohttp's InvalidURL is both
            raise Refused(400, "bad-url", "this request cannot be passed on") from None
        except aiohttp.ClientError as error:
            if isinstance(error.__cause__, Refused):  # of the client's own body
                raise error.__cause__ from None
            raise Refused(502, "upstream-down", "the model server cannot be reached") from None


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _kept(raw: Sequence[tuple[bytes, bytes]], left_out: frozenset[bytes]) -> Headers:
    return [(n.lower(), v) for n, v in raw if n.lower() not in left_out]
