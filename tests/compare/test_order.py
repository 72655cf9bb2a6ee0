"""The order-sensitive test: exact for strangers, on either axis, and blind where units have an order of their own."""

import numpy as np
import pytest

from birthmark.compare.order import combined, layers
from birthmark.compare.pairing import Pair, paired


def p_of(a, b, orders=1999, seed=0):
    return combined(layers(paired(a, b), orders=orders, seed=seed))


def test_a_copy_is_seen_and_a_disguised_one_is_not(made) -> None:
    source = made.network(1, 1)
    floor = 1 / 2000 * (1 + 1 / 2 + 1 / 3)  # Hommel's rule of three equal p
    assert p_of(source, made.copied(source)) == pytest.approx(floor)
    assert p_of(source, {name: 3 * value for name, value in source.items()}) == pytest.approx(floor)
    assert p_of(source, made.disguised(made.copied(source))) > 0.05


def test_its_p_is_uniform_over_strangers(made) -> None:
    """200 pairs: P(more than 20 of 200 below .05 | uniform) is below .003."""
    found = [p_of(made.network(2 * i, 1), made.network(2 * i + 1, 1), 199, i) for i in range(1_000, 1_200)]
    assert sum(p <= 0.05 for p in found) <= 20
    single = [
        layers(paired(made.network(2 * i, 1), made.network(2 * i + 1, 1)), orders=199, seed=i)[0].p
        for i in range(1_000, 1_200)
    ]
    assert sum(p <= 0.05 for p in single) <= 20


def test_words_in_one_order_accuse_nobody() -> None:
    """Rows of an embedding have the vocabulary's order, and common words are alike everywhere: its columns decide."""
    accused = 0
    for i in range(100):
        a, b = np.random.default_rng(2 * i), np.random.default_rng(2 * i + 1)
        often = np.linspace(-2, 2, 64)[:, None] * np.ones(32)  # the same in both: rows alone would accuse every time
        one, two = ({"embed.weight": often + r.normal(size=(64, 32))} for r in (a, b))
        accused += p_of(one, two, 199) <= 0.05
    assert accused <= 12  # P(more than 12 of 100 | .05) = .0015


@pytest.mark.parametrize("how", ["sorted", "identity"])
def test_units_with_an_order_of_their_own_are_left_out(how: str) -> None:
    def one(seed: int) -> np.ndarray:
        value = np.random.default_rng(seed).normal(size=(32, 32))
        if how == "identity":
            return value * 0.1 + np.eye(32)
        return value[np.argsort(np.linalg.norm(value, axis=1))]

    assert layers(paired({"w": one(1)}, {"w": one(2)}), orders=99, seed=0) == []


def test_depthwise_and_single_row_tensors_have_one_axis() -> None:
    random = np.random.default_rng(0)
    a = {"depthwise": random.normal(size=(24, 1, 3, 3)), "head": random.normal(size=(1, 24))}
    found = layers(paired(a, a), orders=999, seed=0)
    assert [(layer.name, layer.units, layer.p) for layer in found] == [("depthwise", 24, 0.001), ("head", 24, 0.001)]


def test_hommels_rule_and_choices() -> None:
    value = np.random.default_rng(0).normal(size=(16, 16, 1))
    (layer,) = layers([Pair("a", "b", value, value, choices=5)], orders=999, seed=0)
    assert layer.p == pytest.approx(5 / 1000)
    assert combined([]) == 1.0
    assert combined([layer]) == layer.p


def test_dead_units_and_constant_tensors_say_nothing() -> None:
    assert layers(paired({"w": np.ones((9, 9))}, {"w": np.ones((9, 9))}), orders=99, seed=0) == []
