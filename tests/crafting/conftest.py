"""The workshop of the methods' tests."""

from methods.conftest import bench

__all__ = ["bench"]
