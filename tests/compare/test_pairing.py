"""Which tensors are held against each other, under prefixes, other numbers, ties and transposes."""

import numpy as np

from birthmark.compare.pairing import paired, realigned


def names(pairs):
    return [(pair.name, pair.other) for pair in pairs]


def test_names_may_carry_another_prefix(made) -> None:
    source = made.network(1)
    for other in (
        {f"model.{name}": value for name, value in source.items()},
        {f"a.b.{name}": value for name, value in source.items()},
    ):
        assert names(paired(source, other)) == list(zip(source, other, strict=True))
        assert names(paired(other, source)) == list(zip(other, source, strict=True))


def test_tied_tensors_count_once_and_tables_and_gates_not_at_all() -> None:
    random = np.random.default_rng(0)
    embed = random.normal(size=(50, 16))
    one = {
        "embed.weight": embed,
        "head.weight": embed.copy(),
        "stft.forward_basis_buffer": random.normal(size=(32, 16)),
        "rnn.weight_hh": random.normal(size=(64, 16)),
        "bias": random.normal(size=16),
        "small": random.normal(size=(4, 4)),
        "flags": np.ones((16, 16), dtype=bool),
        "fc.weight": random.normal(size=(1, 1, 16, 16)),
    }
    pairs = paired(one, one)
    assert names(pairs) == [("embed.weight", "embed.weight"), ("fc.weight", "fc.weight")]
    assert pairs[1].a.shape == (16, 16, 1)


def test_dropped_layers_are_found_by_likeness_and_the_choice_is_counted(made) -> None:
    source = made.transformer(1)
    kept = {name.replace("layers.2", "layers.1"): value for name, value in source.items() if "layers.1" not in name}
    found = {pair.other: pair for pair in realigned(source, kept)}
    assert found["model.layers.1.mlp.up_proj.weight"].name == "model.layers.2.mlp.up_proj.weight"
    assert found["model.layers.1.mlp.up_proj.weight"].choices == 3
    turned = {"onnx::MatMul_7": np.ascontiguousarray(source["model.layers.2.mlp.down_proj.weight"].T)}
    (pair,) = realigned({"model.layers.2.mlp.down_proj.weight": source["model.layers.2.mlp.down_proj.weight"]}, turned)
    assert np.array_equal(pair.a, pair.b)
