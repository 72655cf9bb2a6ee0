"""All of the owner's innocents scored at once: the same scores as one by one, to 1e-9."""

from typing import Any

import numpy as np
import pytest

import formulas
from birthmark.claim import Claim, Scores, Task
from birthmark.registry import scorer
from birthmark.types import Floats
from birthmark.verdict import nulls_of

FORMS = ("full", "tenths", "hundredths", "thousandths", "top one", "top three", "top three of hundredths", "labels")


def claim(
    method: str, values: bool, *, m: int = 6, k: int = 5, treated: int = 1, seed: int = 0, **settings: Any
) -> Claim:
    """Owners with something in common, references, and what was made of those."""
    random = np.random.default_rng(seed)
    q, r = (12 * m, 4)
    common = random.normal(size=(q, k))

    def answers(*n: int) -> Floats:
        rows = common + random.normal(size=(*n, q, k))
        rows = rows if values else np.exp(2 * rows) / np.exp(2 * rows).sum(axis=-1, keepdims=True)
        return np.asarray(rows)

    tensors = {"queries": np.zeros((q, 2), np.float32), "owners": answers(m), "references": answers(r)}
    tensors |= {"treated": answers(r, treated)} if treated else {}
    if method == "lineage":
        tensors["kink"] = (np.arange(q) // (3 * m) % 2).astype(np.int8)
        tensors["clipped"] = answers(m)[:, : int(tensors["kink"].sum())]
    if method == "tafa":
        tensors["clipped"] = answers(m)
    if method.startswith("sac"):
        own = np.ones((m, q), dtype=bool) if method == "sac-m" else random.random((m, q)) < 0.6
        tensors["belongs"] = own
    return Claim(method, {"placebos": m - 1, **settings}, Task((2,), k, values), 0, tensors)


def shown(rows: Floats, form: str) -> Floats:
    if form == "labels":
        return formulas.labelled(rows)
    if "top" in form:
        shown = 1 if form == "top one" else 3
        rows = np.where(rows >= np.sort(rows, axis=1)[:, -shown][:, None], rows, 0.0)
    digits = {"tenths": 1, "hundredths": 2, "thousandths": 3}.get(form.split()[-1])
    return np.round(rows, digits) if digits else rows


def same(found: Scores, expected: Scores) -> bool:
    mine, theirs = ([one.source, *one.placebos, one.raw] for one in (found, expected))
    return len(mine) == len(theirs) and np.allclose(mine, theirs, rtol=1e-9, atol=1e-9)


def agree(made: Claim, suspect: Floats) -> None:
    assert same(scorer(made).score(made, suspect), formulas.score(made, suspect))
    found, expected = nulls_of(made, suspect), formulas.innocents(made, suspect)
    for mine, theirs in zip((found.references, found.treated), expected, strict=False):
        assert len(mine) == len(theirs)
        assert all(map(same, mine, theirs))
    assert np.allclose(found.reruns_z, expected[2], rtol=1e-9, atol=1e-9)


def mixture_of(made: Claim) -> Floats:
    """A suspect that holds some of the source."""
    owners = made.tensors["owners"]
    return np.asarray(0.4 * owners[0] + 0.6 * owners[2])


PAIRS = [(m, form) for m in ("kinship", "lineage", "tafa", "sac-m", "sac-source") for form in FORMS]
PAIRS.remove(("tafa", "labels"))  # labels say nothing about kinks


@pytest.mark.parametrize(("method", "form"), PAIRS)
def test_classifiers(method: str, form: str) -> None:
    for seed in range(3):
        made = claim(method, False, seed=seed, treated=seed if method in ("kinship", "lineage") else 0)
        suspect = shown(mixture_of(made), form)
        for q in (len(suspect), len(suspect) - 5):
            agree(made, suspect[:q])


@pytest.mark.parametrize("method", ["kinship", "lineage", "tafa"])
def test_values(method: str) -> None:
    for k in (1, 4):
        made = claim(method, True, k=k, treated=2 if method != "tafa" else 0)
        suspect = mixture_of(made)
        for q in (len(suspect), len(suspect) - 5, 40):
            agree(made, suspect[:q])


@pytest.mark.parametrize("form", ["labels", "full"])
def test_entries_on_which_all_owners_but_one_agree(form: str) -> None:
    """Saturated answers: an entry may tell owners apart only as long as one of them is among them."""
    made = claim("kinship", False)
    for rows in (made.tensors["owners"], made.references, made.treated):
        sure = np.random.default_rng(1).random((*rows.shape[:-1], 1)) < 0.7
        rows[...] = np.where(sure, np.eye(5)[0], rows)
    made.tensors["owners"][:, :20] = np.eye(5)[1]
    made.tensors["owners"][3, :10] = np.eye(5)[2]
    agree(made, shown(mixture_of(made), form))


def test_large_claims_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = claim("kinship", False, treated=2)
    suspect = mixture_of(made)
    whole = nulls_of(made, suspect)
    monkeypatch.setattr("birthmark.scoring.likeness.CHUNK", 100)
    assert all(map(same, nulls_of(made, suspect).references, whole.references))
    agree(made, shown(suspect, "top three"))


def test_sample_correlations_of_kinds() -> None:
    for settings in ({"outputs": "logits"}, {"kernel": "rbf"}, {"centring": 0.0}):
        made = claim("sac-m", False, treated=0, **settings)
        agree(made, mixture_of(made))


def test_numbers_of_single_precision_are_summed_in_double() -> None:
    made = claim("kinship", False)
    for key in ("owners", "references", "treated"):
        made.tensors[key] = made.tensors[key].astype(np.float32)
    double = claim("kinship", False)
    suspect = mixture_of(double)
    found, expected = (scorer(one).score(one, suspect) for one in (made, double))
    assert np.allclose(found.placebos, expected.placebos, atol=1e-5)
