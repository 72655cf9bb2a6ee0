"""Containers taken apart and put together again, with digests, checksums and lengths that fit what is inside."""

import json
import struct
import tomllib
import zlib
from hashlib import sha256
from io import BytesIO
from zipfile import BadZipFile, ZipFile, ZipInfo

from birthmark.artifact import canonical
from birthmark.gateway.log import chained
from birthmark.transcript import _link
from fuzz.mutations import Files

CHAIN = b', "chain": "'


def split_tensors(blob: bytes) -> tuple[bytes, bytes]:
    """A safetensors file's head and data."""
    size = int.from_bytes(blob[:8], "little")
    return blob[8 : 8 + size], blob[8 + size :]


def joined_tensors(head: bytes, data: bytes) -> bytes:
    return len(head).to_bytes(8, "little") + head + data


def artefact_parts(files: Files) -> Files:
    """A folder with a manifest as its parts, the manifest aside."""
    head, data = split_tensors(files["tensors.safetensors"])
    form = json.loads(files["manifest.json"])["format"]
    return {"format": form.encode(), "data.json": files["data.json"], "head.json": head, "data": data}


def artefact(parts: Files) -> Files:
    """The folder of these parts, with a manifest that fits; of another file, if that is what there is."""
    files = {name: blob for name, blob in parts.items() if name not in ("format", "head.json", "data")}
    files["tensors.safetensors"] = joined_tensors(parts.get("head.json", b""), parts.get("data", b""))
    listed = {name: {"sha256": sha256(blob).hexdigest(), "bytes": len(blob)} for name, blob in files.items()}
    manifest = {"format": parts.get("format", b"").decode("latin-1"), "files": listed}
    return {**files, "manifest.json": canonical(manifest)}


def lines_of(files: Files) -> Files:
    """JSON lines that end with a chain, without it."""
    return {
        name: b"".join(line.rpartition(CHAIN)[0] + b"}\n" for line in blob.splitlines()) for name, blob in files.items()
    }


def chained_lines(parts: Files) -> Files:
    found = {}
    for name, blob in parts.items():
        chain, made = "", b""
        for line in blob.splitlines():
            chain = _link(chain, line[:-1])
            made += line[:-1] + CHAIN + chain.encode() + b'"}\n'
        found[name] = made
    return found


def log_parts(files: Files) -> Files:
    """A query log's segments without the hash of each line."""
    found = {}
    for name, blob in files.items():
        first, *rest = blob.splitlines()
        found[name] = b"\n".join([first, *[line[65:] for line in rest]]) + b"\n"
    return found


def log_of(parts: Files) -> Files:
    found = {}
    for name, blob in parts.items():
        first, *rest = blob.split(b"\n")[:-1] or [b""]
        made = first + b"\n"
        try:
            last = json.loads(first)["after"]
            assert isinstance(last, str)
            last.encode()
        except (ValueError, LookupError, TypeError, AssertionError, RecursionError):
            last = "0" * 64
        for line in rest:
            last = chained(last, line)
            made += last.encode() + b" " + line + b"\n"
        found[name] = made
    return found


def members(files: Files) -> Files:
    """The members of the one archive among the files, and the rest."""
    found = {}
    for name, blob in files.items():
        try:
            with ZipFile(BytesIO(blob)) as file:
                found |= {f"{name}!{entry.filename}": file.read(entry) for entry in file.infolist()}
        except BadZipFile:
            found[name] = blob
    return found


def archive(parts: Files) -> Files:
    found, archives = {}, dict[str, Files]()
    for name, blob in parts.items():
        outer, inside, inner = name.partition("!")
        if inside:
            archives.setdefault(outer, {})[inner] = blob
        else:
            found[name] = blob
    for outer, inner in archives.items():
        whole = BytesIO()
        with ZipFile(whole, "w") as file:
            for name, blob in inner.items():
                file.writestr(ZipInfo(name or "x"), blob)
        found[outer] = whole.getvalue()
    return found


def chunks(files: Files) -> Files:
    """PNG pictures without the checksums of their chunks, which are `name!number.type`; pixels unpacked."""
    found = {}
    for name, blob in files.items():
        if not blob.startswith(b"\x89PNG"):
            found[name] = blob
            continue
        at, number = 8, 0
        while at + 8 <= len(blob):
            size, kind = struct.unpack(">I4s", blob[at : at + 8])
            data = blob[at + 8 : at + 8 + size]
            found[f"{name}!{number:03d}.{kind.decode()}"] = zlib.decompress(data) if kind == b"IDAT" else data
            at, number = at + 12 + size, number + 1
    return found


def pictures(parts: Files) -> Files:
    found = dict[str, bytes]()
    for name, data in sorted(parts.items()):
        outer, inside, inner = name.partition("!")
        if not inside:
            found[name] = data
            continue
        kind = inner.encode("latin-1", "replace")[-4:].rjust(4, b"x")
        body = zlib.compress(data) if kind == b"IDAT" else data
        whole = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        found[outer] = found.get(outer, b"\x89PNG\r\n\x1a\n") + whole
    return found


def values_of(files: Files) -> Files:
    """TOML files as JSON."""
    return {n: json.dumps(tomllib.loads(b.decode())).encode() if n.endswith(".toml") else b for n, b in files.items()}


def toml_of(parts: Files) -> Files:
    return {name: _toml(blob) if name.endswith(".toml") else blob for name, blob in parts.items()}


def _toml(blob: bytes) -> bytes:
    """A JSON object as TOML, in inline tables; what is none stays as it is."""
    try:
        found = json.loads(blob)
        assert isinstance(found, dict)
        return "".join(f"{json.dumps(key)} = {_inline(value)}\n" for key, value in found.items()).encode()
    except (ValueError, RecursionError, AssertionError):
        return blob


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf", "null": '""'}.get(text := json.dumps(value), text)
