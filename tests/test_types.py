"""Samples, and digests of queries."""

from hashlib import sha256

import numpy as np
import pytest

from birthmark.errors import ShapeError
from birthmark.inputs import query_digest
from birthmark.types import Samples

SAMPLES = Samples(np.arange(12, dtype=np.float32).reshape(4, 3), np.array([0, 1, 2, 1]), 3)


def test_a_query_s_digest_is_of_its_shape_and_its_bytes() -> None:
    row = np.array([[1.5, -2.0]], dtype=np.float32)
    assert query_digest(row) == sha256(b"(1, 2)" + np.array([1.5, -2.0], dtype="<f4").tobytes()).hexdigest()
    assert query_digest(row) == query_digest(row.astype(np.float64))
    assert query_digest(row.T) != query_digest(row)


@pytest.mark.parametrize(
    ("inputs", "said"), [(np.zeros((3, 3)), "got 3 inputs and 4 targets"), (np.full((4, 3), np.nan), "got NaN")]
)
def test_inputs_that_do_not_fit_are_refused(inputs: np.ndarray, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        Samples(inputs.astype(np.float32), SAMPLES.targets, 3)


def test_a_digest_changes_with_everything_in_it() -> None:
    others = [
        Samples(SAMPLES.inputs + 1, SAMPLES.targets, 3),
        Samples(SAMPLES.inputs, SAMPLES.targets[::-1], 3),
        Samples(SAMPLES.inputs, SAMPLES.targets, 4),
        Samples(SAMPLES.inputs.reshape(4, 3, 1), SAMPLES.targets, 3),
    ]
    assert len({SAMPLES.digest, *(other.digest for other in others)}) == 5
    assert SAMPLES[:].digest == SAMPLES.digest


def test_outputs_are_classes_or_the_width_of_the_targets() -> None:
    assert SAMPLES.outputs == 3
    assert Samples(SAMPLES.inputs, np.zeros((4, 2, 5), np.float32), 0).outputs == 10
    assert (SAMPLES[1:3].shape, len(SAMPLES[1:3])) == ((3,), 2)
