"""Weights against weights, on networks made up for it: a copy in every disguise, strangers, and a shared start."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from birthmark.compare.match import aligned, match
from birthmark.compare.order import combined, layers
from birthmark.compare.origin import Terms, closeness, compare, usual_seed
from birthmark.compare.reading import Weights, weights
from birthmark.errors import ArtifactError, SettingError
from birthmark.evidence import Verdict

SIZES = (20, 48, 40, 10)
QUICK = Terms(orders=1999)


def network(seed: int, course: int | None = None, moved: float = 0.6) -> Weights:
    """Dense layers from a start, moved by a course."""
    start = np.random.default_rng(seed)
    found = {f"{i}.weight": start.normal(size=(b, a)) for i, (a, b) in enumerate(itertools.pairwise(SIZES))}
    if course is None:
        return found
    step = np.random.default_rng([seed, course])
    return {name: value + moved * step.normal(size=value.shape) for name, value in found.items()}


def copied(source: Weights, seed: int = 5, noise: float = 0.2) -> Weights:
    random = np.random.default_rng(seed)
    return {name: value + noise * random.normal(size=value.shape) for name, value in source.items()}


def disguised(source: Weights, seed: int = 9) -> Weights:
    """The same function with hidden units permuted and re-scaled."""
    random, found = np.random.default_rng(seed), {name: np.array(value) for name, value in source.items()}
    for i, size in enumerate(SIZES[1:-1]):
        order, scale = random.permutation(size), np.exp(random.normal(0, 0.5, size))
        found[f"{i}.weight"] = found[f"{i}.weight"][order] * scale[:, None]
        found[f"{i + 1}.weight"] = found[f"{i + 1}.weight"][:, order] / scale
    return found


def test_a_copy_is_seen_by_both_tests_and_a_stranger_by_none() -> None:
    source = network(1, 1)
    for suspect, share in ((copied(source), 0.9), (disguised(copied(source)), 0.9)):
        found = match(source, suspect)
        assert found is not None
        assert found.share > share
    assert combined(layers(source, copied(source), orders=1999, seed=0)) == pytest.approx(2 / 2000)
    assert combined(layers(source, disguised(copied(source)), orders=1999, seed=0)) > 0.05
    stranger = network(2, 1)
    assert match(source, stranger).share < 0.2  # type: ignore[union-attr]
    assert compare(source, stranger, terms=QUICK).verdict is Verdict.NOT_SUPPORTED


def test_the_order_sensitive_p_is_uniform_over_strangers() -> None:
    """200 pairs: P(at most 20 of 200 below .05 | uniform) is above .997, and the mean lies near .5."""
    found = [layers(network(2 * i, 1), network(2 * i + 1, 1), orders=199, seed=i)[0].p for i in range(1_000, 1_200)]
    assert sum(p <= 0.05 for p in found) <= 20
    assert abs(np.mean(found) - 0.5) < 0.08


def test_a_shared_origin_alone_is_inconclusive() -> None:
    source = network(1, 1)
    for suspect in (copied(source), disguised(copied(source)), network(1, 2)):
        found = compare(source, suspect, terms=QUICK)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "share an origin" in found.reason
    assert compare(source, copied(source), terms=Terms(orders=1999, start="secret")).verdict is Verdict.SUPPORTED


def test_twins_of_the_same_start_tell_a_copy_from_a_stranger_who_shares_it() -> None:
    source, twins = network(1, 1), [network(1, course) for course in range(10, 29)]
    for suspect in (copied(source), disguised(copied(source))):
        found = compare(source, suspect, twins=twins, terms=QUICK)
        assert found.verdict is Verdict.SUPPORTED
        assert found.p_twins == 0.05
    accused = [
        compare(source, network(1, course), twins=twins, terms=QUICK).verdict is Verdict.SUPPORTED
        for course in range(40, 70)
    ]
    assert sum(accused) <= 4  # P(more than 4 of 30 | .05) = .016
    few = compare(source, copied(source), twins=twins[:5], terms=QUICK)
    assert few.verdict is Verdict.INCONCLUSIVE


def test_an_ancestor_is_taken_away() -> None:
    base = network(7)
    mine, theirs = copied(base, 1), copied(base, 2)
    assert compare(mine, theirs, terms=Terms(orders=1999, start="secret")).verdict is Verdict.SUPPORTED
    apart = compare(mine, theirs, ancestor=base, terms=QUICK)
    assert apart.verdict is Verdict.NOT_SUPPORTED
    assert compare(mine, copied(mine, 3, 0.05), ancestor=base, terms=QUICK).verdict is Verdict.INCONCLUSIVE
    assert not compare(mine, base, ancestor=base, terms=QUICK).layers  # the ancestor itself: nothing is left


def test_usual_seeds_are_recognised() -> None:
    assert usual_seed(network(42, 3), network, range(100)) == 42
    assert usual_seed(network(1_000_003, 3), network, range(100)) is None


def test_matched_units_are_brought_into_order() -> None:
    source = network(3, 1)
    assert closeness(source, disguised(source)) == pytest.approx(1, abs=0.2)
    back = aligned(source, disguised(source))
    assert np.corrcoef(back["1.weight"].ravel(), source["1.weight"].ravel())[0, 1] > 0.8
    assert match(source, {"0.weight": source["0.weight"]}) is None


def test_files_of_every_kind_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    source = {name: value.astype(np.float32) for name, value in network(1, 1).items()}
    save_file(source, tmp_path / "a.safetensors")
    save_file(
        {f"module.{name}": value.astype(np.float16) for name, value in source.items()}, tmp_path / "h.safetensors"
    )
    assert list(weights(tmp_path / "h.safetensors")) == list(source)
    halves = list(source.items())
    save_file(dict(halves[:1]), tmp_path / "one.safetensors")
    save_file(dict(halves[1:]), tmp_path / "two.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {n: ("one" if n == "0.weight" else "two") + ".safetensors" for n in source}})
    )
    assert all(np.array_equal(value, source[name]) for name, value in weights(tmp_path).items())
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"shard two\.safetensors is missing"):
        weights(tmp_path)
    blob = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(blob[:-10])
    (tmp_path / "odd.safetensors").write_bytes(b"\x08" + bytes(7) + b'{"a":3} ')
    for name in ("cut", "odd"):
        with pytest.raises(ArtifactError, match="not a whole safetensors file"):
            weights(tmp_path / f"{name}.safetensors")
    save_file({"0.weight": np.full((9, 9), np.nan, np.float32)}, tmp_path / "nan.safetensors")
    with pytest.raises(ArtifactError, match="holds NaN"):
        weights(tmp_path / "nan.safetensors")
    with pytest.raises(SettingError, match="expected a start"):
        Terms(start="elsewhere")


def test_nothing_in_common_is_inconclusive() -> None:
    found = compare(network(1, 1), {"other.weight": np.ones((9, 9))}, terms=QUICK)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "nothing was compared" in found.reason
