"""Keyed targets are soft labels that follow the key, and what is no input, label or key is refused in one line."""

from typing import Any

import numpy as np
import pytest

from birthmark import data, imprint
from birthmark.errors import BirthmarkError, SettingError, ShapeError
from birthmark.marks.keyring import ClientKey, Keyring
from birthmark.marks.keys import Secret


def test_targets_are_smoothed_labels_whose_rest_follows_the_key(key: ClientKey, digits: data.Data) -> None:
    own = digits["owner"]
    rows = imprint.targets(key, own.inputs, own.targets, eps=0.1)
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    np.testing.assert_allclose(rows[np.arange(len(rows)), own.targets], 0.9)
    h = key.field(own.inputs)
    h[np.arange(len(h)), own.targets] = -np.inf
    expected = 0.1 * np.exp(5 * h) / np.exp(5 * h).sum(axis=1, keepdims=True)
    wrong = np.isfinite(h)
    np.testing.assert_allclose(rows[wrong], expected[wrong], atol=1e-9)


def test_labels_of_any_integer_kind_and_one_input_serve(key: ClientKey, digits: data.Data) -> None:
    own = digits["owner"][:5]
    rows = imprint.targets(key, own.inputs, own.targets.astype(np.uint8))
    for i in range(5):
        alone = imprint.targets(key, own.inputs[i : i + 1], own.targets[i : i + 1])
        np.testing.assert_allclose(rows[i], alone[0], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"eps": 0.0}, SettingError, "eps between 0 and 1"),
        ({"eps": 1.0}, SettingError, "eps between 0 and 1"),
        ({"eps": float("nan")}, SettingError, "eps between 0 and 1"),
        ({"key": Secret(b"x" * 32)}, SettingError, "expected a key of a keyring"),
        ({"labels": np.full(20, 10)}, ShapeError, "class numbers from 0 to 9, got 10"),
        ({"labels": np.full(20, -1)}, ShapeError, "class numbers from 0 to 9, got -1"),
        ({"labels": np.array(["seven"] * 20)}, ShapeError, "number the classes first"),
        ({"labels": np.full(20, 1.0)}, ShapeError, "class numbers"),
        ({"labels": np.zeros(19, int)}, ShapeError, "19 inputs"),
        ({"inputs": np.zeros((20, 1, 14, 14), np.float32)}, ShapeError, "as the key was made for"),
        ({"inputs": np.full((20, 1, 8, 8), np.nan, np.float32)}, ShapeError, "NaN"),
    ],
)
def test_bad_input(
    key: ClientKey, digits: data.Data, change: dict[str, Any], error: type[BirthmarkError], message: str
) -> None:
    own = digits["owner"][:20]
    given = {"key": key, "inputs": own.inputs, "labels": own.targets, "eps": 0.1, **change}
    with pytest.raises(error, match=message):
        imprint.targets(**given)


def values_key() -> ClientKey:
    random = np.random.default_rng(0)
    x = random.standard_normal((300, 6)).astype(np.float32)
    rows = np.stack([x[:, :2] * 3 + 0.1 * random.standard_normal((300, 2)) for _ in range(4)])
    return imprint.keyring(x, x, rows, seed=0, values=True, placebos=99).client(Secret(b"v" * 32), "v")


def test_values_move_within_the_tolerance() -> None:
    key = values_key()
    y = key.ring.source
    rows = imprint.targets(key, key.ring.queries, y, eps=0.05)
    assert (np.abs(rows - y) <= 0.05 * key.ring.spread).all()
    assert np.abs(rows - y).max() > 0
    with pytest.raises(ShapeError, match="finite values"):
        imprint.targets(key, key.ring.queries, np.full_like(y, np.nan))
    with pytest.raises(ShapeError, match="real values"):
        imprint.targets(key, key.ring.queries, np.array([["a", "b"]] * 300))


def test_mixtures_lie_between_two_inputs_and_lean_by_the_tilt(key: ClientKey, ring: Keyring) -> None:
    x = imprint.mixtures(ring.queries, 50, seed=1)
    assert x.shape == (50, 1, 8, 8)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, imprint.mixtures(ring.queries, 50, seed=1))
    even = np.full((50, 10), 0.1)
    rows = imprint.tilted(key, x, even, 2.0)
    np.testing.assert_array_equal(rows.argmax(axis=1), key.field(x).argmax(axis=1))
    np.testing.assert_allclose(imprint.tilted(key, x, even, 0.0), even)
    with pytest.raises(ShapeError, match="finite probabilities"):
        imprint.tilted(key, x, np.full((50, 10), np.nan), 1.0)
