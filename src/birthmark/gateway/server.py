"""The server: connections that are bounded in number, in the size of their headers and in the time these take."""

from asyncio import TimerHandle, Transport
from collections import Counter
from typing import ClassVar

from birthmark.errors import SettingError
from birthmark.gateway.app import MOST_HEAD, Gateway
from birthmark.gateway.config import Config

try:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
except ImportError:
    raise SettingError("the gateway needs uvicorn and httptools; pip install 'birthmark[serve]'") from None


class Guarded(HttpToolsProtocol):
    """A connection of uvicorn's whose client cannot hold it: not by silence, nor slowly, nor by not reading.

    A head or body that is not whole in time is answered 408, a head that is too long 431, a connection too many 503.
    Who does not take an answer is cut off.
    """

    limits: ClassVar[Config]
    addresses: ClassVar[Counter[str]]
    _head = 0  # bytes of a head that is not whole yet
    _timer: TimerHandle | None = None
    _stuck = 0.0  # when the client ceased to read

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Count it, and close it if there are too many."""
        super().connection_made(transport)
        peer = self.client[0] if self.client else ""
        self._peer = "" if peer in self.limits.proxies else peer
        self.addresses[self._peer] += 1
        crowd = self._peer and self.addresses[self._peer] > self.limits.per_address
        if crowd or len(self.connections) > self.limits.most_connections:
            self._end(503)
        else:
            self._since = self.loop.time()  # when what we wait for, a head or a body, began
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it off."""
        self.addresses[self._peer] -= 1
        if not self.addresses[self._peer]:
            del self.addresses[self._peer]
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound what is no body."""
        before = self.cycle
        outside = before is None or not before.more_body
        super().data_received(data)
        self._head = self._head + len(data) if outside and self.cycle is before else 0
        if self._head > MOST_HEAD:
            self._end(431)

    def on_headers_complete(self) -> None:
        """What comes after a body is no header: uvicorn would add trailers to the request's own list."""
        super().on_headers_complete()
        self.headers, self._since = [], self.loop.time()

    def on_response_complete(self) -> None:
        """From now on the next head is waited for."""
        super().on_response_complete()
        self._since = self.loop.time()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._stuck = self.loop.time()

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._stuck = 0.0

    def _look(self) -> None:
        now, cycle, limits = self.loop.time(), self.cycle, self.limits
        if cycle is None or cycle.response_complete:
            late = now - self._since >= limits.head_timeout
        else:
            late = cycle.more_body and now - self._since >= limits.body_timeout
        if late or (self._stuck and now - self._stuck >= limits.timeout):
            self._end(408)
        else:
            self._timer = self.loop.call_later(min(1.0, limits.head_timeout / 4), self._look)

    def _end(self, status: int) -> None:
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if answering or self.transport.get_write_buffer_size():  # no writing into an answer, no waiting for a reader
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()


def server(config: Config, *, host: str, port: int) -> uvicorn.Server:
    """A server that was not started yet; port 0 takes a free one.

    Raises:
        BirthmarkError: keys, settings or log are not in order.
    """
    guarded = type("Guarded", (Guarded,), {"limits": config, "addresses": Counter()})
    return uvicorn.Server(
        uvicorn.Config(
            Gateway(config),
            host=host,
            port=port,
            http=guarded,
            ws="none",
            workers=1,
            log_level="warning",
            log_config=None,  # the handlers of the command, which redact
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=20,
            server_header=False,
            date_header=False,  # the model server sends its own
        )
    )


def serve(config: Config, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished, the log is closed.

    Raises:
        SettingError: the address cannot be listened on.
        BirthmarkError: keys, settings or log are not in order.
    """
    serving = server(config, host=host, port=port)
    try:
        serving.run()
    except SystemExit:
        raise SettingError(f"cannot listen on {host}:{port}; choose another --host or --port") from None
