"""Which suspects a server may ask: not itself and its neighbours, unless whoever runs it allows them by name."""

import ipaddress
import socket
from collections.abc import Sequence

from birthmark.errors import SettingError
from birthmark.suspects.address import printable_url, without_secret


def allowed(url: str, hosts: Sequence[str]) -> str:
    """The URL, if a suspect there may be asked.

    Args:
        hosts: names or addresses that are allowed although they are private.

    Raises:
        SettingError: no http(s) URL, a host that has no address, or one with an address that is not public.
    """
    parts = without_secret(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if host in hosts:
        return url
    for address in _addresses(host, url):
        if not address.is_global or address.is_multicast:
            raise SettingError(
                f"{printable_url(url)}: {host} is {address}, which is not a public address; start the server with "
                f"--host-allowed {host} if suspects may be asked there"
            )
    return url


def _addresses(host: str, url: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        raise SettingError(f"{printable_url(url)}: {host} has no address") from None
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    mapped = [getattr(address, "ipv4_mapped", None) for address in addresses]
    return [inner or address for inner, address in zip(mapped, addresses, strict=True)]
