"""Time stamps (RFC 3161): an authority's word that something existed at a time. Needs the extra `timestamp`.

What is stamped is a signed envelope, so that the stamp dates the signature too. A stamp is kept as the authority's
whole answer, which `openssl ts -verify -data FILE -in STAMP -CAfile ROOTS` reads.
"""

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
from cryptography.x509 import Certificate, load_pem_x509_certificates

from birthmark.errors import ArtifactError, BirthmarkError, must
from birthmark.notary.strict import past

if TYPE_CHECKING:
    import rfc3161_client

LARGEST, QUERY, REPLY = 1 << 20, "application/timestamp-query", "application/timestamp-reply"


def _library() -> Any:
    try:
        import rfc3161_client
    except ImportError:
        raise BirthmarkError('time stamps need the extra: pip install "birthmark[timestamp]"') from None
    return rfc3161_client


def request(data: bytes) -> bytes:
    """What to send to an authority: the SHA-256 of `data`, with a nonce, asking for its certificate."""
    library = _library()
    built = library.TimestampRequestBuilder().data(data).hash_algorithm(library.HashAlgorithm.SHA256).build()
    return bytes(built.as_bytes())


def ask(url: str, data: bytes) -> bytes:
    """An authority's stamp on `data`; not verified yet.

    Raises:
        BirthmarkError: no answer, or one that is no stamp.
    """
    body = request(data)
    try:
        answer = httpx2.post(url, content=body, headers={"Content-Type": QUERY}, timeout=30)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise BirthmarkError(f"{url}: the time-stamp authority did not answer ({error}); try another") from None
    if answer.status_code != 200 or not answer.content or len(answer.content) > LARGEST:
        raise BirthmarkError(
            f"{url}: answered {answer.status_code}, {len(answer.content)} bytes: no stamp; try another"
        )
    _decoded(answer.content, url)
    return bytes(answer.content)


def _decoded(stamp: bytes, name: str) -> "rfc3161_client.TimeStampResponse":
    library = _library()
    if len(stamp) > LARGEST:
        raise ArtifactError(f"{name}: {len(stamp)} bytes are no time stamp")
    try:
        found: rfc3161_client.TimeStampResponse = library.decode_timestamp_response(stamp)
        must(library.PKIStatus(found.status) == library.PKIStatus.GRANTED, found.tst_info.gen_time)
    except ValueError as error:
        raise ArtifactError(f"{name}: expected a granted time stamp (RFC 3161) ({str(error)[:80]})") from None
    return found


def roots(path: Path) -> list[Certificate]:
    """Certificates (PEM) of authorities that the reader trusts.

    Raises:
        ArtifactError: none in there.
    """
    try:
        return load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: expected certificates in PEM form ({error})") from None


def said(stamp: bytes, data: bytes, name: str) -> datetime:
    """The time that a stamp on `data` states, whoever made it.

    Raises:
        ArtifactError: no stamp, or on something else.
    """
    found = _decoded(stamp, name).tst_info
    if bytes(found.message_imprint.message) != sha256(data).digest():
        raise ArtifactError(f"{name}: this time stamp is not one on this file")
    when: datetime = found.gen_time
    return when


def stamped(stamp: bytes, data: bytes, trusted: Iterable[Certificate], name: str) -> datetime:
    """When an authority that the reader trusts stamped `data`.

    Raises:
        ArtifactError: a stamp on something else, by somebody else, altered, or from the future.
    """
    library, found = _library(), _decoded(stamp, name)
    builder = library.VerifierBuilder()
    for certificate in trusted:
        builder = builder.add_root_certificate(certificate)
    try:
        builder.build().verify_message(found, data)
    except (library.VerificationError, ValueError) as error:
        raise ArtifactError(
            f"{name}: this time stamp is not one on this file by an authority that you trust ({str(error)[:120]})"
        ) from None
    when: datetime = found.tst_info.gen_time
    past(when.timestamp(), name)
    return when
