"""A transport whose sockets obey one deadline: httpx2's own timeouts start anew with every byte."""

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore2
import httpx2

_deadline = threading.local()


@contextmanager
def until(moment: float) -> Iterator[None]:
    """Everything this thread reads or writes inside ends by then."""
    _deadline.moment = moment
    try:
        yield
    finally:
        del _deadline.moment


def _left(timeout: float | None) -> float:
    left = float(getattr(_deadline, "moment", float("inf")) - time.monotonic())
    if left <= 0:
        raise httpcore2.ReadTimeout("the deadline of the whole request has passed")
    return left if timeout is None else min(left, timeout)


class Deadlines(httpx2.HTTPTransport):
    """Obeys the thread's deadline; a proxy's own connections keep httpx2's timeouts."""

    def __init__(self, verify: ssl.SSLContext | bool, limits: httpx2.Limits, proxy: str | None) -> None:
        super().__init__(trust_env=False, verify=verify, limits=limits, proxy=proxy)
        self._pool._network_backend = _Backend()


class _Backend(httpcore2.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        return _Stream(super().connect_tcp(host, port, _left(timeout), local_address, socket_options))


class _Stream(httpcore2.NetworkStream):
    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self.inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.inner.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), 1 << 16):
            self.inner.write(buffer[start : start + (1 << 16)], _left(timeout))

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self.inner.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> object:
        return self.inner.get_extra_info(info)
