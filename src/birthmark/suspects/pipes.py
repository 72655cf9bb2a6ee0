"""Messages between the child process of a stranger's file and its starter: JSON and raw bytes, over pipes."""

import json
import struct
from typing import IO


def send(pipe: IO[bytes], head: dict[str, object], blob: bytes = b"") -> None:
    """A message: its JSON and raw bytes, each after its length."""
    text = json.dumps(head).encode()
    pipe.write(struct.pack("<IQ", len(text), len(blob)) + text)
    pipe.write(blob)
    pipe.flush()


def receive(pipe: IO[bytes], head: int = 1 << 24, blob: int = 1 << 34) -> tuple[dict[str, object], bytes]:
    """The next message, of at most so many bytes.

    Raises:
        EOFError: the other side has gone.
        ValueError: not a message, or a larger one.
    """
    sizes = pipe.read(12)
    if len(sizes) < 12:
        raise EOFError
    text, rest = struct.unpack("<IQ", sizes)
    if text > head or rest > blob:
        raise ValueError(f"a message of {text} and {rest} bytes")
    said, data = pipe.read(text), pipe.read(rest)
    if len(said) < text or len(data) < rest:
        raise EOFError
    value = json.loads(said)
    if not isinstance(value, dict):
        raise ValueError("a message without a head")
    return value, data
