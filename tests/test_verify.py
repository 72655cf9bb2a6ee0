"""The placebo test: verdicts, their reasons, and that nothing breaks its error rate."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from birthmark.claim import Claim, Task
from birthmark.errors import AccessError, ArtifactError, BudgetError, NullError, OracleError
from birthmark.evidence import Verdict
from birthmark.methods.kinship import Kinship
from birthmark.oracle import Function, HardLabels, Metered, Oracle, Rounded, TopK, Wrapper
from birthmark.transcript import Replay
from birthmark.types import Access, Answers, Array, Floats
from birthmark.verdict import conclude
from birthmark.verify import Terms, fitting, verify
from birthmark.workshop.owner import Owner
from birthmark.workshop.whitebox import Open
from cards import theft_card


def test_a_stolen_copy_is_supported_and_an_innocent_is_not(
    digits_claim: Claim, stolen: nn.Module, innocent: nn.Module
) -> None:
    guilty = verify(digits_claim, Open(stolen), alpha=0.05)
    assert guilty.verdict is Verdict.SUPPORTED
    assert guilty.p_value == 1 / 20
    assert guilty.exit_code == 10
    free = verify(digits_claim, Open(innocent), alpha=0.05)
    assert free.verdict is Verdict.NOT_SUPPORTED
    assert free.exit_code == 0
    assert guilty.z > free.z


@pytest.mark.parametrize("wrap", [lambda o: TopK(o, 3), lambda o: Rounded(o, 2)])
def test_degraded_answers_still_convict_a_copy(digits_claim: Claim, owner: Owner, wrap) -> None:
    copy = owner.make([theft_card(owner.card, "quantise", bits=8)])[0]
    evidence = verify(digits_claim, wrap(Open(copy)), alpha=0.05)
    assert evidence.verdict is Verdict.SUPPORTED, evidence.reason


def test_labels_still_convict_a_copy_of_a_secret_start(secret_owner: Owner) -> None:
    """Same-start twins of so small a network hardly differ in labels: p is .3 among them, .05 among these."""
    claim = Kinship(queries=60, placebos=19, references=4).fit(secret_owner, seed=0)
    copy = secret_owner.make([theft_card(secret_owner.card, "quantise", bits=8)])[0]
    evidence = verify(claim, HardLabels(Open(copy)), alpha=0.05)
    assert evidence.verdict is Verdict.SUPPORTED, evidence.reason


def test_too_few_placebos_are_inconclusive_never_no(digits_claim: Claim, stolen: nn.Module) -> None:
    evidence = verify(digits_claim, Open(stolen), alpha=0.01)
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert "enrol with at least 99 placebos" in evidence.reason
    assert evidence.exit_code == 3


def test_the_null_of_references_ranks_raw_scores(digits_claim: Claim, stolen: nn.Module) -> None:
    evidence = verify(digits_claim, Open(stolen), alpha=0.2, null="references")
    assert (evidence.null, evidence.n_placebos) == ("references", 4)
    assert evidence.p_value == 1 / 5
    assert evidence.verdict is Verdict.SUPPORTED


def test_no_null_no_verdict(owner, stolen: nn.Module) -> None:
    claim = Kinship(queries=20, placebos=2, references=0).fit(owner, seed=0)
    with pytest.raises(NullError, match="no references to rank against"):
        verify(claim, Open(stolen), null="references")


def test_a_budget_makes_a_smaller_test_and_is_never_overspent(digits_claim: Claim, stolen: nn.Module) -> None:
    metered = Metered(Open(stolen))
    evidence = verify(digits_claim, metered, alpha=0.05, budget=30)
    assert metered.spent <= 30
    assert evidence.queries == 30
    with pytest.raises(BudgetError, match="allows no test"):
        verify(digits_claim, Open(stolen), budget=0)


class Flaky(Wrapper):
    """Fails on every second call or so, by seed."""

    def __init__(self, inner: Oracle, seed: int) -> None:
        super().__init__(inner)
        self.random = np.random.default_rng(seed)

    def __call__(self, inputs: Array) -> Floats:
        if self.random.random() < 0.5:
            raise OracleError("injected failure")
        return self.inner(inputs)


def test_an_interrupted_verification_continues_and_agrees(
    digits_claim: Claim, stolen: nn.Module, tmp_path: Path
) -> None:
    big = replace(
        digits_claim,
        tensors={
            key: np.concatenate([value] * 4, axis={"queries": 0, "treated": 2}.get(key, 1))
            for key, value in digits_claim.tensors.items()
        },
    )
    whole = verify(big, Open(stolen), alpha=0.05)
    metered = Metered(Open(stolen))
    path = tmp_path / "t.jsonl"
    for seed in range(20):
        try:
            found = verify(big, Flaky(metered, seed), alpha=0.05, transcript=path, terms=Terms(repeats=0))
            break
        except OracleError:
            continue
    assert (found.verdict, found.p_value, found.score) == (whole.verdict, whole.p_value, pytest.approx(whole.score))
    assert metered.spent == len({row.tobytes() for row in big.queries})


def test_replay_reaches_the_same_evidence(digits_claim: Claim, stolen: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    live = verify(digits_claim, Open(stolen, name="m"), alpha=0.05, transcript=path, terms=Terms(repeats=0))
    again = verify(digits_claim, Replay(path), alpha=0.05, terms=Terms(repeats=0))
    assert (again.score, again.placebos, again.p_value, again.verdict) == (
        live.score,
        live.placebos,
        live.p_value,
        live.verdict,
    )


def test_randomised_answers_are_noticed(digits_claim: Claim, stolen: nn.Module) -> None:
    random, inner = np.random.default_rng(0), Open(stolen)
    noisy = Function(lambda x: inner(x) + random.normal(size=(len(x), 10)), Answers.LOGITS)
    assert "repeated queries were answered differently" in verify(digits_claim, noisy, alpha=0.05).notes[0]


def test_what_does_not_fit_is_refused_with_the_reason(digits_claim: Claim, stolen: nn.Module) -> None:
    inner = Open(stolen)
    with pytest.raises(OracleError, match="look like logits; declare"):
        verify(digits_claim, Function(inner, Answers.PROBABILITIES, "api"))
    with pytest.raises(OracleError, match="answers 9 classes, the source has 10"):
        verify(digits_claim, Function(lambda x: inner(x)[:, :9], Answers.LOGITS, "api"))
    with pytest.raises(OracleError, match="NaN"):
        verify(digits_claim, Function(lambda x: inner(x) * np.nan, Answers.LOGITS, "api"))
    with pytest.raises(OracleError, match="declared to answer values"):
        verify(digits_claim, Function(inner, Answers.VALUES, "api"))


def test_access_too_weak_is_named(digits_claim: Claim, stolen: nn.Module) -> None:
    with pytest.raises(AccessError, match="needs PROBS, but model grants LABELS"):
        fitting(digits_claim, HardLabels(Open(stolen)), Access.PROBS)


def test_an_innocent_is_accused_no_more_often_than_alpha() -> None:
    """Owners, twins and suspect drawn alike: the rank test must hold its level whatever the suspect answers."""
    random = np.random.default_rng(5)
    accused = 0
    for _ in range(400):
        common = random.normal(size=(40, 4))
        owners = np.exp(common + random.normal(size=(26, 40, 4)))
        owners /= owners.sum(2, keepdims=True)
        claim = Claim(
            "kinship",
            {"placebos": 19},
            Task((2,), 4),
            0,
            {"queries": random.random((40, 2), dtype=np.float32), "owners": owners[:20], "references": owners[20:]},
        )
        suspect = common + random.normal(size=(40, 4)) * random.random() * 2
        accused += (
            verify(
                claim, Function(lambda x, s=suspect: s[: len(x)], Answers.LOGITS), alpha=0.05, terms=Terms(repeats=0)
            ).verdict
            is Verdict.SUPPORTED
        )
    assert accused <= 36  # binomial(400, .05) exceeds 36 once in 2,000


def test_claims_survive_the_disk(digits_claim: Claim, stolen: nn.Module, tmp_path: Path) -> None:
    digest = digits_claim.save(tmp_path / "claim")
    read, same = Claim.load(str(tmp_path / "claim"))
    assert digest == same
    assert verify(read, Open(stolen), alpha=0.05).as_dict() == verify(digits_claim, Open(stolen), alpha=0.05).as_dict()


@pytest.mark.parametrize(
    ("name", "cut"), [("references", np.s_[:, :59]), ("references", np.s_[..., :9]), ("treated", np.s_[:3])]
)
def test_answers_that_fit_no_query_are_refused(digits_claim: Claim, tmp_path: Path, name: str, cut: slice) -> None:
    odd = {**digits_claim.tensors, name: digits_claim.tensors[name][cut].copy()}
    replace(digits_claim, tensors=odd).save(tmp_path / "claim")
    with pytest.raises(ArtifactError, match=r"expected references of shape \(r, 60, 10\)"):
        Claim.load(tmp_path / "claim")


def test_nothing_prints_arrays(digits_claim: Claim, stolen: nn.Module) -> None:
    evidence = verify(digits_claim, Open(stolen, name="m"), alpha=0.05)
    found = conclude(digits_claim, digits_claim.tensors["owners"][0], 0.05)
    assert repr(evidence) == f"Evidence(supported: 'm', kinship, {evidence.reason})"
    assert repr(found) == f"Conclusion(supported: {found.reason})"
    assert repr(digits_claim).startswith(
        "Claim(kinship, Task(shape=(1, 8, 8), outputs=10, values=False), queries (60, 1"
    )
    assert max(map(len, map(repr, (evidence, found, digits_claim)))) < 300
