"""What may be said of a shared origin, and what takes more; bad input never ends supported."""

import numpy as np
import pytest

from birthmark.compare.origin import Terms, compare
from birthmark.errors import SettingError
from birthmark.evidence import Verdict

SECRET = Terms(orders=1999, start="secret")


def test_a_shared_origin_alone_is_inconclusive(made) -> None:
    source = made.network(1, 1)
    for suspect in (made.copied(source), made.network(1, 2)):
        found = compare(source, suspect, terms=made.quick)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "share an origin" in found.reason
        assert "a public seed such as 0 or 42" in found.reason
        assert found.shared == ("0.weight", "1.weight", "2.weight")
    assert compare(source, made.copied(source), terms=SECRET).verdict is Verdict.SUPPORTED
    assert compare(source, made.network(2, 1), terms=SECRET).verdict is Verdict.NOT_SUPPORTED


def test_disguised_copies_are_seen_by_the_match_which_says_what_it_rests_on(made) -> None:
    source = made.network(1, 1)
    found = compare(source, made.disguised(made.copied(source)), terms=SECRET)
    assert found.verdict is Verdict.SUPPORTED
    assert "the order of the units says nothing" in found.reason
    assert "measured, not exact" in found.reason
    assert found.null[0] == "measured pairs"


@pytest.mark.parametrize("kind", ["quantised", "pruned", "half", "merged", "reordered layers", "new head"])
def test_modified_copies(made, kind: str) -> None:
    source = made.transformer(1)
    random = np.random.default_rng(3)
    suspect = dict(source)
    for name, value in source.items():
        if kind == "quantised":
            scale = np.abs(value).max(axis=1, keepdims=True) / 127
            suspect[name] = np.round(value / scale).astype(np.int8)
        elif kind == "pruned":
            suspect[name] = np.where(np.abs(value) > np.quantile(np.abs(value), 0.9), value, 0)
        elif kind == "half":
            suspect[name] = value.astype(np.float16)
        elif kind == "merged":  # low-rank updates, merged
            suspect[name] = value + 0.2 * random.normal(size=(len(value), 2)) @ random.normal(size=(2, value.shape[1]))
    if kind == "reordered layers":
        suspect = {n.replace("layers.2", "layers.1"): v for n, v in source.items() if "layers.1" not in n}
    if kind == "new head":
        suspect["lm_head.weight"] = random.normal(size=(20, 32))
        del suspect["model.embed_tokens.weight"]
    found = compare(source, suspect, terms=Terms(start="secret"))
    assert found.verdict is Verdict.SUPPORTED
    assert found.p_order < 1e-3
    assert len(found.shared) >= 0.9 * len(found.layers)


def test_layers_that_are_not_shared_are_named(made) -> None:
    source = made.transformer(1)
    suspect = {name: made.transformer(2)[name] if ".2." in name else value for name, value in source.items()}
    found = compare(source, suspect, terms=made.quick)
    assert found.shared
    assert not any(".2." in name for name in found.shared)
    assert len(found.layers) - len(found.shared) == 7


def test_twins_of_the_same_start_tell_a_copy_from_a_stranger_who_shares_it(made) -> None:
    source, twins = made.network(1, 1), [made.network(1, course) for course in range(10, 29)]
    for suspect in (made.copied(source), made.disguised(made.copied(source))):
        found = compare(source, suspect, twins=twins, terms=made.quick)
        assert found.verdict is Verdict.SUPPORTED
        assert found.p_value == found.p_twins == 0.05
        assert found.null == ("twins", 19)
    accused = [
        compare(source, made.network(1, course), twins=twins, terms=Terms(orders=499)).verdict is Verdict.SUPPORTED
        for course in range(40, 70)
    ]
    assert sum(accused) <= 4  # P(more than 4 of 30 | .05) = .016
    few = compare(source, made.copied(source), twins=twins[:5], terms=made.quick)
    assert few.verdict is Verdict.INCONCLUSIVE


def test_an_ancestor_is_regressed_out(made) -> None:
    base = made.network(7)
    mine, theirs = made.copied(base, 1), made.copied(base, 2)
    assert compare(mine, theirs, terms=made.quick).verdict is Verdict.INCONCLUSIVE
    apart = compare(mine, {name: 3 * value for name, value in theirs.items()}, ancestor=base, terms=made.quick)
    assert apart.verdict is Verdict.NOT_SUPPORTED
    again = compare(mine, made.copied(mine, 3, 0.05), ancestor=base, terms=SECRET)
    assert again.verdict is Verdict.INCONCLUSIVE  # a secret start says nothing where both began with the ancestor
    twins = [made.copied(base, seed) for seed in range(20, 39)]
    copy = compare(mine, made.copied(mine, 3, 0.05), ancestor=base, twins=twins, terms=made.quick)
    assert copy.verdict is Verdict.SUPPORTED
    assert compare(mine, theirs, ancestor=base, twins=twins, terms=made.quick).verdict is Verdict.NOT_SUPPORTED


def test_an_ancestor_that_is_one_of_them_leaves_nothing(made) -> None:
    base = made.network(7)
    mine = made.copied(base, 1)
    for a, b, who in (
        (mine, base, "the suspect"),
        (base, mine, "the source"),
        (mine, {"x": np.ones((9, 9))}, "the suspect"),
    ):
        found = compare(a, b, ancestor=base, terms=SECRET)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.reason.startswith(who)
        assert "nothing is left" in found.reason


def test_other_architectures_are_said_to_have_nothing_in_common(made) -> None:
    for other in (
        {"other.weight": np.ones((9, 7))},
        made.network(1, 1, sizes=(20, 30, 12, 10)),
        {"w": np.ones((0, 9))},
    ):
        found = compare(made.network(1, 1), other, terms=SECRET)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "nothing was compared" in found.reason
        assert found.p_value == 1.0


def test_equal_tables_alone_accuse_nobody(made) -> None:
    table = {"positions": np.random.default_rng(0).normal(size=(64, 32))}
    found = compare(made.transformer(1) | table, made.transformer(2) | table, terms=Terms(start="secret"))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "positions" in found.reason
    assert "tables" in found.reason


def test_units_with_an_order_of_their_own_are_said(made) -> None:
    a, b = ({"w": np.eye(32) + 0.1 * np.random.default_rng(seed).normal(size=(32, 32))} for seed in (1, 2))
    found = compare(a, b, terms=SECRET)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.notes == ("w: left out, near the identity",)


def test_terms_are_checked() -> None:
    for wrong in ({"start": "elsewhere"}, {"orders": 0}, {"alpha": 0.0}):
        with pytest.raises(SettingError):
            Terms(**wrong)
