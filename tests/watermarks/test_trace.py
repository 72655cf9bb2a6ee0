"""Tracing names the right client, nobody for honest models, and the pair that mixed its answers."""

import numpy as np
import pytest
from torch import nn

from birthmark import data, stats
from birthmark.errors import SettingError
from birthmark.evidence import Verdict
from birthmark.marks.keyring import ClientKey, Keyring
from birthmark.oracle import Probabilities
from birthmark.report.pages import tracing
from birthmark.trace import ranked, trace
from birthmark.types import Samples
from birthmark.watermarks.dynamarks import DynaMarks
from birthmark.workshop.training import probabilities
from birthmark.workshop.utility import plot, utility
from birthmark.workshop.whitebox import Open
from watermarks.conftest import MASTER, trained

CLIENTS = ["alice", *(f"client-{i}" for i in range(9))]


def test_names_the_client_whose_answers_were_learned(
    ring: Keyring, alice: ClientKey, source: nn.Module, digits: data.Data
) -> None:
    x = np.concatenate([digits["attacker"].inputs, digits["innocent"].inputs])
    rows = DynaMarks(strength="strong", key=alice).mark(x, probabilities(source, x))
    student = trained(Samples(x, rows.argmax(axis=1).astype(np.int64), 10), seed=30, epochs=50, soft=rows, rate=3e-3)
    # 679 learned answers and ten clients: the corrected p is about .02 (.01 was within reach only while strong marks
    # changed more answers)
    found = trace(ring, MASTER, CLIENTS, Probabilities(Open(student)), alpha=0.05)
    assert [s.client for s in found.clients if s.named] == ["alice"]
    assert (found.verdict, found.reason) == (Verdict.SUPPORTED, "trained on answers that alice got")
    assert "supported" in tracing(found)
    honest = trace(ring, MASTER, CLIENTS, Probabilities(Open(trained(digits["innocent"], seed=31))), alpha=0.05)
    assert not any(s.named for s in honest.clients)
    assert honest.pair == ()
    assert (honest.verdict, honest.reason) == (Verdict.NOT_SUPPORTED, "no client is named")


def test_colluding_pair_is_named_together(ring: Keyring) -> None:
    """Two clients' marked answers averaged, with so much noise that neither is named alone."""
    rows = [
        DynaMarks(strength="strong", key=ring.client(MASTER, name)).mark(ring.queries, ring.source)
        for name in ("alice", "client-3")
    ]
    random = np.random.default_rng(4)
    mixed = np.log(np.mean(rows, axis=0)) + random.normal(scale=14.0, size=ring.source.shape)
    answers = np.exp(mixed) / np.exp(mixed).sum(axis=1, keepdims=True)
    keep = np.where(ring.source.argmax(axis=1)[:, None] == np.arange(10), 10.0, answers)  # same top class
    found = ranked(ring, MASTER, CLIENTS, keep / keep.sum(axis=1, keepdims=True), alpha=0.02, placebos=2000)
    assert {found.clients[0].client, found.clients[1].client} == {"alice", "client-3"}
    assert not any(suspicion.named for suspicion in found.clients)
    assert set(found.pair) == {"alice", "client-3"}


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e308])
def test_answers_that_are_none_name_nobody(ring: Keyring, alice: ClientKey, odd: float) -> None:
    answers = DynaMarks(strength="strong", key=alice).mark(ring.queries, ring.source)
    assert ranked(ring, MASTER, CLIENTS, answers, alpha=0.05).clients[0].named
    answers[3, 2] = odd
    with np.errstate(all="ignore"):
        found = ranked(ring, MASTER, CLIENTS, answers, alpha=0.05)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert not found.pair
    assert not any(s.named for s in found.clients)


def test_a_client_below_the_margin_of_one_key_is_not_named(
    ring: Keyring, alice: ClientKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = DynaMarks(strength="strong", key=alice).mark(ring.queries, ring.source)
    monkeypatch.setattr(stats, "margin", lambda alpha, _: 99.0 if alpha == 0.05 / len(CLIENTS) else 0.0)
    assert not any(s.named for s in ranked(ring, MASTER, CLIENTS, answers, alpha=0.05).clients)


def test_too_few_placebos_are_told(ring: Keyring) -> None:
    found = ranked(ring, MASTER, CLIENTS, ring.source, alpha=0.01, placebos=99)
    assert not any(s.named for s in found.clients)
    assert "it takes 1000" in found.reach
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.as_dict()["reason"].startswith("no client is named: 99 placebo keys cannot")
    with pytest.raises(SettingError, match="each once"):
        ranked(ring, MASTER, ["a", "a"], ring.source)


def test_utility_by_strength(
    ring: Keyring, alice: ClientKey, source: nn.Module, digits: data.Data, tmp_path: object
) -> None:
    x = digits["test"]
    found = {
        u.strength: u for u in utility([alice], x.inputs, probabilities(source, x.inputs), x.targets.astype(np.int64))
    }
    assert found["default"].top1_agreement == 1
    assert found["default"].accuracy_change == 0
    assert 0 < found["light"].l1 < found["default"].l1 <= 0.1
    assert found["strong"].top1_agreement < 1
    evidence = list(found["default"].evidence.values())
    assert evidence[-1] > evidence[0] > 3
    plot(list(found.values()), tmp_path / "utility.png")  # type: ignore[operator]
    assert (tmp_path / "utility.png").stat().st_size > 5000  # type: ignore[operator]


def test_calibration_error_by_hand() -> None:
    answers = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    targets = np.array([0, 1, 0, 0])
    assert stats.ece(answers, targets) == pytest.approx(0.5 * abs(0.5 - 0.9) + 0.5 * abs(1 - 0.6))
