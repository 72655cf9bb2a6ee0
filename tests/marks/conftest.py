"""The keyring of the watermarks' tests."""

from watermarks.conftest import alice, ring, source, unmarked

__all__ = ["alice", "ring", "source", "unmarked"]
