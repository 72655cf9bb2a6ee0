"""Networks made up for these tests: a start, a course that moves it, copies of every kind, a thief who permutes."""

import itertools
from collections.abc import Mapping

import numpy as np
import pytest

from birthmark.compare.origin import Terms
from birthmark.compare.reading import Weights

SIZES = (20, 48, 40, 10)


class Made:
    """What the tests are made of; `sizes` are inputs, hidden layers and outputs."""

    quick = Terms(orders=1999)

    @staticmethod
    def network(seed: int, course: int | None = None, moved: float = 0.6, sizes: tuple[int, ...] = SIZES) -> Weights:
        """Dense layers from a start, moved by a course."""
        start = np.random.default_rng(seed)
        found = {f"{i}.weight": start.normal(size=(b, a)) for i, (a, b) in enumerate(itertools.pairwise(sizes))}
        if course is None:
            return found
        step = np.random.default_rng([seed, course])
        return {name: value + moved * step.normal(size=value.shape) for name, value in found.items()}

    @staticmethod
    def copied(source: Weights, seed: int = 5, noise: float = 0.2) -> Weights:
        random = np.random.default_rng(seed)
        return {name: value + noise * random.normal(size=value.shape) for name, value in source.items()}

    @staticmethod
    def disguised(source: Weights, seed: int = 9) -> Weights:
        """The same function with hidden units permuted and re-scaled."""
        random, found = np.random.default_rng(seed), {name: np.array(value) for name, value in source.items()}
        for i in range(len(found) - 1):
            size = len(found[f"{i}.weight"])
            order, scale = random.permutation(size), np.exp(random.normal(0, 0.5, size))
            found[f"{i}.weight"] = found[f"{i}.weight"][order] * scale[:, None]
            found[f"{i + 1}.weight"] = found[f"{i + 1}.weight"][:, order] / scale
        return found

    @staticmethod
    def transformer(seed: int, layers: int = 3, width: int = 32) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
        """The tensors of a language model with rotary positions, tied embeddings and gated units."""
        random = np.random.default_rng(seed)
        found = {"model.embed_tokens.weight": random.normal(size=(500, width))}
        for i in range(layers):
            for part in "qkvo":
                found[f"model.layers.{i}.self_attn.{part}_proj.weight"] = random.normal(size=(width, width))
            for part in ("gate", "up"):
                found[f"model.layers.{i}.mlp.{part}_proj.weight"] = random.normal(size=(3 * width, width))
            found[f"model.layers.{i}.mlp.down_proj.weight"] = random.normal(size=(width, 3 * width))
        found["lm_head.weight"] = found["model.embed_tokens.weight"]
        return {name: value.astype(np.float32) for name, value in found.items()}

    @classmethod
    def disguised_transformer(cls, source: Mapping[str, np.ndarray], seed: int) -> Weights:  # type: ignore[type-arg]
        """One joint order of the stream, heads of 8 and their inner units, gated units: all change places."""
        random, found = np.random.default_rng(seed), dict(source)
        stream = random.permutation(source["lm_head.weight"].shape[1])
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            found[name] = found[name][:, stream]
        layers = {name.rsplit(".", 3)[0] for name in source if ".layers." in name}
        for one in sorted(layers):
            width = len(stream)
            heads = np.concatenate([8 * h + random.permutation(8) for h in random.permutation(width // 8)])
            units = random.permutation(3 * width)
            for part, rows in (("q", heads), ("k", heads), ("v", heads)):
                name = f"{one}.self_attn.{part}_proj.weight"
                found[name] = found[name][rows][:, stream]
            found[f"{one}.self_attn.o_proj.weight"] = found[f"{one}.self_attn.o_proj.weight"][stream][:, heads]
            for part in ("gate", "up"):
                found[f"{one}.mlp.{part}_proj.weight"] = found[f"{one}.mlp.{part}_proj.weight"][units][:, stream]
            found[f"{one}.mlp.down_proj.weight"] = found[f"{one}.mlp.down_proj.weight"][stream][:, units]
        return found


@pytest.fixture
def made() -> type[Made]:
    return Made
