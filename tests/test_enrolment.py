"""Claims from models that are there: functions and arrays; what fits no claim is refused in one line."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from birthmark import Also, BirthmarkError, Samples, Verdict, enroll, verify
from birthmark.errors import AccessError, OracleError, SettingError, ShapeError
from families import CLASSES, family, labels, member, pool

SECRET = 2**127 + 5
METHODS = ("kinship", "akh", "random-queries", "sac-normal", "sac-source")


@pytest.mark.parametrize("method", METHODS)
def test_functions_make_a_claim_that_tells_a_copy_from_innocents(method: str) -> None:
    source, twins, references = family()
    claim = enroll(source, twins, references, pool(), start=SECRET, method=method)
    assert claim.settings["placebos"] == 19
    assert claim.twins == "other-start"
    assert claim.facts["reach"]["smallest_p"] == 0.05
    assert claim.facts["reruns"]["numbers"]["accuracy"]["p"] > 0.001
    assert not claim.facts["warnings"]
    assert verify(claim, source).verdict is Verdict.SUPPORTED
    assert verify(claim, labels(source)).verdict is Verdict.SUPPORTED
    accused = [verify(claim, member(seed)).verdict is Verdict.SUPPORTED for seed in range(300, 312)]
    assert sum(accused) <= 2


def test_arrays_of_answers_make_the_same_claim_as_functions() -> None:
    source, twins, references = family()
    samples = pool()
    made = enroll(source, twins, references, samples, start="same")
    rows = [[one(samples.inputs) for one in some] for some in ([source], twins, references)]
    again = enroll(rows[0][0], rows[1], rows[2], samples, start="same")
    assert all(np.array_equal(made.tensors[key], again.tensors[key]) for key in made.tensors)
    assert verify(made, source(made.queries)).verdict is Verdict.SUPPORTED


def test_an_unlabelled_pool_serves_and_akh_names_what_it_lacks() -> None:
    source, twins, references = family()
    inputs = pool().inputs
    claim = enroll(source, twins, references, inputs, start="same")
    assert claim.facts["source"]["accuracy"] is None
    assert "margin" in claim.facts["reruns"]["numbers"]
    assert verify(claim, source).verdict is Verdict.SUPPORTED
    with pytest.raises(BirthmarkError, match="akh needs a pool whose inputs have class labels"):
        enroll(source, twins, references, inputs, start="same", method="akh")


def test_treated_references_are_held_against_a_suspect() -> None:
    source, twins, references = family()
    treated = [member(200 + i // 2, 0.8, sharp=0.9 + 0.2 * (i % 2)) for i in range(8)]
    claim = enroll(source, twins, references, pool(), start="same", also=Also(treated=treated))
    assert claim.treated.shape[:2] == (4, 2)
    assert claim.settings["treated"] == 2
    assert "and the 8 copies and students" in verify(claim, source).reason
    with pytest.raises(SettingError, match="expected equally many treated models of each of 4 references"):
        enroll(source, twins, references, pool(), start="same", also=Also(treated=treated[:7]))


def test_a_source_that_shows_labels_is_held_against_twins_that_show_them() -> None:
    source, twins, references = family()
    claim = enroll(labels(source), twins, references, pool(), start="same")
    owners = claim.tensors["owners"]
    assert set(np.unique(owners)) == {0.0, 1.0}
    assert "shows labels alone" in claim.facts["warnings"][0]
    assert verify(claim, source).verdict is Verdict.SUPPORTED
    with pytest.raises(
        AccessError, match=r"sac-normal makes claims from probabilities, and here are labels alone; akh"
    ):
        enroll(labels(source), twins, references, pool(), start="same", method="sac-normal")


def test_a_source_that_rounds_is_not_told_from_its_twins_by_that() -> None:
    source, twins, references = family()
    claim = enroll(lambda x: source(x).round(2), twins, references, pool(), start="same")
    owners = claim.tensors["owners"]
    assert np.array_equal(owners, owners.round(2))
    assert "multiples of 0.01" in claim.facts["warnings"][0]


def test_a_pool_with_copies_counts_each_once() -> None:
    source, twins, references = family()
    one = pool(300)
    twice = Samples(np.concatenate([one.inputs, one.inputs]), np.concatenate([one.targets] * 2), CLASSES)
    rows = [[model(twice.inputs) for model in some] for some in ([source], twins, references)]
    claim = enroll(rows[0][0], rows[1], rows[2], twice, start="same")
    assert claim.facts["warnings"] == ["300 of 600 inputs of the pool are copies: left out"]
    assert len(np.unique(claim.queries, axis=0)) == len(claim.queries)


def test_a_function_that_changes_its_inputs_changes_a_copy() -> None:
    source, twins, references = family()

    def careless(inputs: Any) -> Any:
        rows = source(inputs)
        inputs *= 0
        return rows

    samples = pool()
    before = samples.inputs.copy()
    enroll(careless, twins, references, samples, start="same")
    assert np.array_equal(before, samples.inputs)


def _twins(change: Callable[[list[Any]], list[Any]]) -> Callable[[], object]:
    def call() -> object:
        source, twins, references = family()
        return enroll(source, change(twins), references, pool(), start="same")

    return call


def _models(**changed: Any) -> Callable[[], object]:
    def call() -> object:
        source, twins, references = family()
        given: dict[str, Any] = {"source": source, "twins": twins, "references": references, "pool": pool()}
        return enroll(**{**given, "start": "same", **changed})

    return call


samples = pool()
REFUSED: dict[str, tuple[Callable[[], object], type[BirthmarkError], str]] = {
    "same twin twice": (_twins(lambda t: [*t[:-1], t[0]]), BirthmarkError, "twin 1 and twin 19 answer all 500 inputs"),
    "source as a twin": (_twins(lambda t: [member(1), *t[1:]]), BirthmarkError, "source and twin 1 answer"),
    "a twin in half precision": (
        _twins(lambda t: [lambda x: member(1)(x).astype(np.float16).astype(float), *t[1:]]),
        BirthmarkError,
        "source and twin 1 answer",
    ),
    "source as a reference": (
        _models(references=[member(1), *family()[2]]),
        BirthmarkError,
        "source and reference 1 answer",
    ),
    "twins of another recipe": (
        _twins(lambda t: [member(100 + i, sharp=1.5) for i in range(19)]),
        BirthmarkError,
        "the source is no rerun of its twins' recipe: ",
    ),
    "twins of other accuracy": (
        _twins(lambda t: [member(100 + i, 2.5) for i in range(19)]),
        BirthmarkError,
        "the source is no rerun of its twins' recipe: ",
    ),
    "one twin": (_twins(lambda t: t[:1]), SettingError, "kinship takes at least 2 twins, got 1; 19 reach p = .05"),
    "nothing said of the start": (_models(start=""), SettingError, "where do the twins start"),
    "a start that is a habit": (_models(start=42), SettingError, "a secret seed of 128 bits"),
    "NaN": (_models(source=lambda x: np.full((len(x), CLASSES), np.nan)), OracleError, "expected finite answers"),
    "other lengths": (
        _models(source=member(1)(samples.inputs)[:590]),
        SettingError,
        "source: expected answers to 600 inputs, got 590",
    ),
    "other classes": (
        _twins(lambda t: [lambda x: np.full((len(x), 4), 0.25), *t[1:]]),
        SettingError,
        r"twin 1: expected answers of shape \(64, 5\) as the source's are, got \(64, 4\)",
    ),
    "a row too few": (
        _twins(lambda t: [lambda x: member(100)(x)[1:], *t[1:]]),
        SettingError,
        r"twin 1: expected answers of shape \(64, 5\)",
    ),
    "logits": (_models(source=lambda x: np.log(member(1)(x)) * 3), OracleError, "declare answers logits"),
    "text": (_models(source=lambda x: np.array(["cat"] * len(x))), OracleError, "expected probabilities"),
    "ragged": (_models(source=lambda x: [[1.0], [0.5, 0.5]]), OracleError, "expected one row of numbers an input"),
    "one number": (_models(source=lambda x: member(1)(x)[:, 0]), SettingError, "of two classes give both"),
    "labels of an unknown number of classes": (
        _models(source=labels(member(1)), pool=samples.inputs),
        SettingError,
        "of how many classes nobody says",
    ),
    "labels beyond the classes": (_models(source=lambda x: np.full(len(x), 9)), OracleError, "expected classes 0 to 4"),
    "fewer outputs than classes": (
        _models(source=lambda x: np.full((len(x), 4), 0.25)),
        ShapeError,
        "the source answers 4 outputs, the pool has 5 classes",
    ),
    "a pool of one input": (
        _models(pool=Samples(np.ones((50, 12), np.float32), np.zeros(50, np.int64), CLASSES)),
        SettingError,
        "expected a pool of different inputs, got 50 of which 1 differ",
    ),
    "a method that takes weights": (_models(method="tafa"), AccessError, "kinship, .*serve, or give --recipe"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_fits_no_claim_is_refused(name: str) -> None:
    call, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def test_arrays_cannot_answer_queries_that_are_made() -> None:
    source, twins, references = family()
    samples = pool()
    images = Samples(samples.inputs.reshape(-1, 1, 3, 4), samples.targets, CLASSES)
    rows = [[one(samples.inputs) for one in some] for some in ([source], twins, references)]
    with pytest.raises(SettingError, match="source: answers to the pool's inputs are known, and 100 of 100 queries"):
        enroll(rows[0][0], rows[1], rows[2], images, start="same", method="sac-m")


def test_few_models_are_said_at_once() -> None:
    source, twins, references = family(7, 0)
    claim = enroll(source, twins, references, pool(), start="same")
    assert claim.facts["warnings"] == [
        "0 references: with fewer than 4 every verdict is inconclusive (--references)",
        "7 twins: every verdict at alpha 0.05 is inconclusive; it takes 19",
    ]
    assert verify(claim, source).verdict is Verdict.INCONCLUSIVE


def test_values_make_claims_too() -> None:
    def regressor(seed: int) -> Any:
        return lambda x: member(seed)(x)[:, :2] * 3 - 1

    samples = pool()
    truth = Samples(samples.inputs, regressor(10_000)(samples.inputs).astype(np.float32), 0)
    twins, references = [regressor(100 + i) for i in range(19)], [regressor(200 + i) for i in range(4)]
    claim = enroll(regressor(1), twins, references, truth, start="same")
    assert claim.task.values
    assert verify(claim, regressor(1)).verdict is Verdict.SUPPORTED
    assert verify(claim, regressor(300)).verdict is not Verdict.SUPPORTED


def test_networks_and_estimators_are_taken_as_they_are() -> None:
    torch = pytest.importorskip("torch")

    class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, inputs: Any) -> Any:
            return torch.log(torch.from_numpy(member(1)(inputs.numpy()))).float()

    class Estimator:
        def predict_proba(self, inputs: Any) -> Any:
            return member(1)(inputs)

    _, twins, references = family()
    claims = [enroll(one, twins, references, pool(), start="same") for one in (Network(), Estimator())]
    for claim in claims:
        assert verify(claim, Estimator()).verdict is Verdict.SUPPORTED
