"""A well-behaved HTTP client: it asks slowly enough, gives up in time, and tells nobody's secret.

One `Client` serves one server: connections are kept, requests to a host are paced (`Retry-After` holds everybody back),
what a server puts off is sent again with back-off, a request has one deadline for everything from connecting to its
last byte (slow drips included), bodies are bounded before they are read, and redirects stay on the server.
"""

import random
import re
import ssl
import threading
import time
import weakref
import zlib
from collections.abc import Callable
from dataclasses import replace
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import httpx2

from birthmark import __version__
from birthmark.errors import OracleError, SettingError
from birthmark.secrets import keep, keep_password, printable
from birthmark.suspects.address import is_loopback, origin, printable_url, refers_to_secret, secret, split_url
from birthmark.suspects.address import without_secret as address
from birthmark.suspects.deadline import Deadlines, until
from birthmark.suspects.description import Transport
from birthmark.suspects.dialect import Request, Response, said

GENTLE = 10.0  # requests a second to another machine, unless declared
PUT_OFF = frozenset({408, 425, 429, 502, 503, 504})  # the server did not do it: sending again is what it asks for
SECRET_HEADER = re.compile("auth|key|token|secret|cookie|password", re.IGNORECASE)
UNSURE = 2  # resends after 500, a timeout or a cut connection: it may have been done, and it may fail for ever
LONGEST_WAIT = 120.0  # seconds that a server may ask to wait before we rather stop and resume later


class Failed(OracleError):
    """A request that failed for good.

    Attributes:
        status: of the last answer, 0 if there was none.
        tries: how often it was sent.
    """

    def __init__(self, message: str, status: int = 0, tries: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.tries = tries


class Pace:
    """When the next request to a host may leave; shared by all clients of that host."""

    _hosts: dict[str, "Pace"] = {}  # noqa: RUF012
    _lock = threading.Lock()

    def __init__(self) -> None:
        self.next = 0.0
        self.lock = threading.Lock()

    @classmethod
    def of(cls, host: str) -> "Pace":
        with cls._lock:
            return cls._hosts.setdefault(host, cls())

    def wait(self, rate: float) -> None:
        """Sleep until it is this request's turn."""
        while True:
            with self.lock:
                now = time.monotonic()
                if now >= self.next:
                    self.next = now + (1 / rate if rate > 0 else 0)
                    return
                pause = self.next - now
            time.sleep(pause)

    def hold(self, seconds: float) -> None:
        """Nobody asks this host for so long."""
        with self.lock:
            self.next = max(self.next, time.monotonic() + seconds)


class Client:
    """One server and how to ask it; safe to use from several threads.

    Attributes:
        base: URL without query, name or password; what messages and evidence call the server.
        query: the URL's query, if it has one, with its question mark.
        requests: requests sent so far, those sent again included.
        trouble: why the last probe that failed did so.

    Raises:
        SettingError: not an http(s) URL, a password inside it, a secret that is missing or would travel in the clear.
    """

    def __init__(self, url: str, spec: Transport, network: httpx2.BaseTransport | None = None) -> None:
        parts = address(url)
        self.base = parts._replace(query="").geturl().rstrip("/")
        self.query = f"?{parts.query}" if parts.query else ""
        self.origin = origin(parts)
        self.local = is_loopback(self.origin[1])
        self.spec = spec
        self.rate = spec.rate if spec.rate >= 0 else 0.0 if self.local else GENTLE
        self.pace = Pace.of("{1}:{2}".format(*self.origin))
        self.requests = 0
        self.trouble = ""
        headers, secret_ones = _headers(spec)
        keep_password(spec.proxy)
        if secret_ones and parts.scheme == "http" and not self.local:
            raise SettingError(f"{self.base}: a secret must not travel unencrypted; use https")
        limits = httpx2.Limits(
            max_connections=spec.concurrency, max_keepalive_connections=spec.concurrency, keepalive_expiry=30
        )
        self._client = httpx2.Client(
            transport=network or Deadlines(verify=_trusted(spec), limits=limits, proxy=spec.proxy or None),
            headers={"User-Agent": f"birthmark/{__version__}", "Accept-Encoding": "identity", **headers},
            timeout=httpx2.Timeout(spec.timeout, connect=min(10.0, spec.timeout)),
            follow_redirects=False,
            trust_env=False,
        )
        self._count = threading.Lock()
        self.close = weakref.finalize(self, self._client.close)  # connections end with their owner, or at exit

    def send(self, request: Request, leaving: Callable[[int], None] = lambda _: None) -> Response:
        """Send until it is answered, with back-off where the server put it off.

        Args:
            leaving: called with 1 before every try, and with -1 if no connection took it.

        Raises:
            Failed: refused, redirected to another host, too large, too slow, or still failing after all retries.
        """
        tries, unsure = 0, 0
        while True:
            tries += 1
            self.pace.wait(self.rate)
            leaving(1)
            try:
                response = self._once(request)
            except httpx2.HTTPError as error:
                reason, never_arrived, asked = (
                    _reason(error),
                    isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout),
                    0.0,
                )
                status = 0
                if never_arrived:
                    leaving(-1)
            else:
                status = response.status
                if 200 <= status < 300:
                    return replace(response, tries=tries)
                reason = f"HTTP {status}: {said(response)}"
                never_arrived, asked = status in PUT_OFF, _retry_after(response.headers.get("retry-after", ""))
                if status < 500 and status not in PUT_OFF:
                    raise Failed(f"{self.base}: {reason}{_advice(status)}", status, tries)
            unsure += not never_arrived
            if tries > self.spec.retries or unsure > UNSURE or asked > LONGEST_WAIT:
                wait = f"; it asks to wait {asked:.0f} s" if asked else ""
                again = "run again later, what was answered is not asked twice"
                raise Failed(f"{self.base}: {reason}, after {tries} tries{wait}; {again}", status, tries)
            self._put_off(asked, tries)

    def _put_off(self, asked: float, tries: int) -> None:
        """Wait as long as the server asks, or longer after every try."""
        if asked:
            self.pace.hold(asked)
        else:
            time.sleep(min(30.0, 0.1 * 2**tries) * random.uniform(0.5, 1.0))

    def get(self, path: str) -> Response | None:
        """One GET for a probe; None if the server does not answer it, and `trouble` says why."""
        self.pace.wait(self.rate)
        try:
            response = self._once(Request("GET", path))
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Failed(f"{self.base}: {_reason(error)}; is the server running?") from None
        except httpx2.HTTPError as error:
            self.trouble = _reason(error)
        except OracleError as error:
            self.trouble = str(error)
        else:
            if 200 <= response.status < 300:
                return response
            if response.status != 404:
                self.trouble = f"HTTP {response.status}: {said(response)}{_advice(response.status)}"
        return None

    def _once(self, request: Request) -> Response:
        """One answer, redirects on this server followed; what httpx2 cannot read is an error like any other."""
        try:
            return self._followed(request)
        except (httpx2.InvalidURL, ValueError) as error:
            raise Failed(f"{self.base}: answers what is no HTTP ({type(error).__name__})", 0, 1) from None

    def _followed(self, request: Request) -> Response:
        where, hops = self.base + request.path + self.query, 0
        with until(time.monotonic() + self.spec.timeout):
            while True:
                with self._count:
                    self.requests += 1
                with self._client.stream(
                    request.method, where, content=request.body or None, headers=dict(request.headers)
                ) as answer:
                    if not answer.is_redirect:
                        headers = {key.lower(): value for key, value in answer.headers.items()}
                        return Response(
                            answer.status_code,
                            headers,
                            bytes(self._body(answer, request)),
                            values=self._values(request),
                        )
                    hops += 1
                    where = self._redirected(request, answer, hops)

    def _values(self, request: Request) -> int:
        """Values that the answer may hold: by what was asked, or by what `largest` lets in."""
        return max(request.values, self.spec.largest // 32)

    def _redirected(self, request: Request, answer: httpx2.Response, hops: int) -> str:
        where = answer.headers.get("location", "")
        try:
            target = split_url(urljoin(str(answer.url), where))
        except ValueError:
            raise Failed(
                f"{self.base}: redirects to {printable_url(where)[:80]!r}, which is no address", answer.status_code, 1
            ) from None
        if origin(target) != self.origin:
            raise Failed(
                f"{self.base}: redirects to {target.scheme}://{target.hostname}, which was not authorised and is not "
                "followed; give that address as the suspect if it is meant",
                answer.status_code,
                1,
            )
        if answer.status_code not in (307, 308) and request.method != "GET":
            raise Failed(
                f"{self.base}: redirects (HTTP {answer.status_code}) to {printable_url(target.path)}, which would drop "
                "the query; give that path",
                answer.status_code,
                1,
            )
        if hops > 3:
            raise Failed(f"{self.base}: redirects in a circle", answer.status_code, 1)
        return target.geturl()

    def _body(self, answer: httpx2.Response, request: Request) -> bytearray:
        limit = self.spec.largest or request.largest
        too_large = Failed(
            (
                f"{self.base}: the answer is larger than {limit} bytes; ask for fewer queries at a time (batch) or "
                "raise "
                "largest"
            ),
            answer.status_code,
            1,
        )
        announced = answer.headers.get("content-length", "")
        if re.fullmatch(r"[0-9]{1,18}", announced) and int(announced) > limit:
            raise too_large
        coding = answer.headers.get("content-encoding", "identity").lower()
        if coding not in ("identity", "gzip", "deflate", ""):
            raise Failed(
                f"{self.base}: the answer is encoded as {coding!r}, which was not asked for", answer.status_code, 1
            )
        inflate = zlib.decompressobj(47) if coding in ("gzip", "deflate") else None
        body = bytearray()
        for chunk in answer.iter_raw():
            try:
                body += inflate.decompress(chunk, limit + 1 - len(body)) if inflate else chunk
            except zlib.error:
                raise Failed(f"{self.base}: the answer's compression is damaged", answer.status_code, 1) from None
            if len(body) > limit:
                raise too_large
        return body


def _headers(spec: Transport) -> tuple[dict[str, str], bool]:
    """The declared headers with their secrets in place, and whether there are any."""
    refers = {key: value for key, value in spec.headers.items() if refers_to_secret(value)}
    keep(*(value for key, value in spec.headers.items() if SECRET_HEADER.search(key)))
    headers = {**spec.headers, **{key: secret(value) for key, value in refers.items()}}
    if spec.auth:
        headers[spec.auth_header] = spec.auth_prefix + secret(spec.auth)
    return headers, bool(refers or spec.auth)


def _trusted(spec: Transport) -> ssl.SSLContext | bool:
    if not spec.ca:
        return True
    try:
        return ssl.create_default_context(cafile=spec.ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingError(f"ca {spec.ca!r}: not a file of certificates ({error})") from None


def _retry_after(text: str) -> float:
    """Seconds that a Retry-After header asks for: a number, or a date."""
    if re.fullmatch(r"\s*[0-9]{1,15}(\.[0-9]{1,9})?\s*", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text[:100]).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def _reason(error: httpx2.HTTPError) -> str:
    kinds = {
        httpx2.ConnectTimeout: "no connection in time",
        httpx2.ConnectError: "no connection",
        httpx2.TimeoutException: "no whole answer in time",
        httpx2.NetworkError: "the connection broke",
        httpx2.RemoteProtocolError: "the connection broke, or the answer is no HTTP",
    }
    text = next((text for kind, text in kinds.items() if isinstance(error, kind)), type(error).__name__)
    detail = str(error)
    told = "CERTIFICATE" in detail or "resolve" in detail or "known" in detail
    return f"{text} ({printable(detail, 120)})" if told else text


def _advice(status: int) -> str:
    return {
        401: "; give --auth env:NAME or file:PATH",
        403: "; the secret does not grant this",
        404: "; check the address and the model's name",
        405: "; this address does not take predictions: give the server's base URL or the right path",
        413: "; lower batch",
        422: "; check dialect, layout and input_name",
    }.get(status, "")
