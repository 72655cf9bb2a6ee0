"""The only road to a verdict: what every number of a standing can do, and that each guard bites on every road."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from birthmark.answers import as_labels
from birthmark.bench.jobs import _Scored
from birthmark.claim import Claim, Scores, Task
from birthmark.errors import NullError, SettingError
from birthmark.evidence import Verdict
from birthmark.oracle import Function
from birthmark.scoring.sanity import Doubt
from birthmark.types import Access, Answers, Floats
from birthmark.verdict import Nulls, Standing, conclude, nulls_of, verdict_of
from birthmark.verify import Terms, verify
from birthmark.watermarks.dawn import DAWN

GUILTY = Standing(p=0.05, z=3.0, placebos=19, references=8, treated=16, p_references=1 / 25, p_reruns=0.05)


def by_verify(claim: Claim, answers: Floats, alpha: float) -> str:
    kind = Answers.VALUES if claim.task.values else Answers.PROBABILITIES
    known = {query.tobytes(): row for query, row in zip(claim.queries, answers, strict=True)}
    suspect = Function(lambda x: [known[query.tobytes()] for query in x], kind)
    return verify(claim, suspect, alpha=alpha, terms=Terms(repeats=0)).verdict.value


def by_bench(claim: Claim, answers: Floats, alpha: float) -> str:
    cell = _Scored(None, "", claim, Access.PROBS, (), alpha)._cell(answers, ())  # type: ignore[arg-type]
    assert cell is not None
    return str(cell["verdict"])


ROADS = pytest.mark.parametrize("road", [by_verify, by_bench])
Road = Callable[[Claim, Floats, float], str]


def agreeing(references: int = 4, seed: int = 0) -> tuple[Claim, Floats]:
    """A claim by agreement on 200 labels, with 19 twins; and a suspect that says nearly what the source says."""
    random = np.random.default_rng(seed)
    truth = random.integers(5, size=200)

    def said(like: np.ndarray, n: int, share: float) -> np.ndarray:
        return np.where(random.random((n, 200)) < share, like, random.integers(5, size=(n, 200)))

    owners, others = said(truth, 20, 0.7), said(truth, references, 0.7)
    queries = random.random((200, 2), dtype=np.float32)
    tensors = {"queries": queries, "labels": owners, "references": np.eye(5)[others]}
    return Claim("random-queries", {}, Task((2,), 5), 0, tensors), np.eye(5)[said(owners[0], 1, 0.7)[0]]


def mixed(seed: int) -> tuple[Claim, Floats]:
    """A claim by kinship on values, one of whose twins is almost the source; and a suspect that is half the source."""
    random = np.random.default_rng(seed)
    owners, references = random.normal(size=(20, 60, 4)), random.normal(size=(6, 60, 4))
    owners[7] = owners[0] + 0.2 * random.normal(size=(60, 4))
    tensors = {"queries": random.random((60, 2), dtype=np.float32), "owners": owners, "references": references}
    claim = Claim("kinship", {"placebos": 19}, Task((2,), 4, values=True), 0, tensors)
    return claim, owners[0] + random.normal(size=(60, 4))


def test_a_suspect_that_passes_every_guard_is_supported() -> None:
    verdict, reason = verdict_of(GUILTY, 0.05)
    assert verdict is Verdict.SUPPORTED
    assert reason == (
        "p = 0.05 among 19 placebos, and closer to the source than all 8 independent models and the 16 copies and "
        "students of them"
    )
    assert verdict_of(replace(GUILTY, treated=0), 0.05)[1].endswith("than all 8 independent models")
    assert GUILTY.missing == ()


P = "p = 0.05 among 19 placebos, but "
OTHERS = "8 independent models and the 16 copies and students of them"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"p_references": 2 / 25},
            f"{P}one of the owner's own {OTHERS} is as close to the source; enrol with more twins and queries, or look "
            "for other evidence",
        ),
        (
            {"p_reruns": 0.1},
            f"{P}reruns of the source's own recipe come as close to this source in 10% of cases; it lies close to "
            "innocents: enrol with more queries, or under another seed",
        ),
        (
            {"margin": 3.4},
            f"{P}z is 0.40 short of the margin that keeps an unlucky key from accusing all innocents of one kind; ask "
            "more queries",
        ),
        (
            {"references": 3, "treated": 6},
            f"{P}the claim holds 3 references: fewer than 4 cannot show whether the source lies close to everybody; "
            "enrol with more (--references)",
        ),
        (
            {"references": 0, "treated": 0, "p_references": None},
            f"{P}the claim holds 0 references: fewer than 4 cannot show whether the source lies close to everybody; "
            "enrol with more (--references)",
        ),
        (
            {"doubt": Doubt("its classes seem shuffled", shuffled=True)},
            f"p = 0.05 among 19 placebos, and closer to the source than all {OTHERS}; but its classes seem shuffled",
        ),
        (
            {"placebos": 18, "p": 1 / 19},
            "18 placebos cannot give a p below 0.0526, and alpha is 0.05; enrol with at least 19 placebos, or choose "
            "alpha 0.0526",
        ),
        ({"unsound": "an answer is NaN"}, "an answer is NaN"),
        ({"z": float("nan")}, "p = 0.05 and z = nan, and numbers must be finite"),
        ({"z": float("inf")}, "p = 0.05 and z = inf, and numbers must be finite"),
        ({"p": float("nan")}, "p = nan and z = 3.0, and numbers must be finite"),
    ],
)
def test_each_guard_alone_withholds_the_accusation(change: dict[str, object], said: str) -> None:
    assert verdict_of(replace(GUILTY, **change), 0.05) == (Verdict.INCONCLUSIVE, said)


@pytest.mark.parametrize("change", [{}, {"p_references": 1.0}, {"p_reruns": 1.0}, {"margin": 9.0}])
def test_guards_never_accuse(change: dict[str, float]) -> None:
    verdict, reason = verdict_of(replace(GUILTY, p=0.1, **change), 0.05)
    assert verdict is Verdict.NOT_SUPPORTED
    assert reason == "p = 0.1 among 19 placebos: such a score is what an innocent model would get in 10% of cases"


@pytest.mark.parametrize("change", [{"references": 3}, {"placebos": 18}])
def test_a_claim_that_can_support_nothing_acquits_nobody(change: dict[str, int]) -> None:
    assert verdict_of(replace(GUILTY, p=0.5, **change), 0.05)[0] is Verdict.INCONCLUSIVE


def test_a_doubt_spoils_an_acquittal_and_no_accusation() -> None:
    odd = Doubt("its input layout is probably not as declared")
    assert verdict_of(replace(GUILTY, doubt=odd), 0.05)[0] is Verdict.SUPPORTED
    verdict, reason = verdict_of(replace(GUILTY, p=0.1, doubt=odd), 0.05)
    assert verdict is Verdict.INCONCLUSIVE
    assert "input layout" in reason


def test_ranks_among_references_support_nothing_that_was_crafted_against_their_like() -> None:
    plain = Standing(p=0.05, z=3.0, null="references", references=19)
    verdict, reason = verdict_of(plain, 0.05)
    assert (verdict, reason) == (Verdict.SUPPORTED, "p = 0.05 among 19 references")
    assert "neither references nor left-out twins guard" in plain.missing[0]
    verdict, reason = verdict_of(replace(plain, crafted_against=True), 0.05)
    assert verdict is Verdict.INCONCLUSIVE
    assert reason == (
        "p = 0.05 among 19 references, but the claim was crafted against independents much like them, and an innocent "
        "model of another kind may score higher than all; enrol with placebos, or use a method that has them (kinship)"
    )
    assert verdict_of(replace(GUILTY, crafted_against=True), 0.05)[0] is Verdict.SUPPORTED
    assert verdict_of(replace(plain, p_references=1.0, p_reruns=1.0), 0.05)[0] is Verdict.SUPPORTED


def test_a_key_takes_its_margin_in_place_of_references() -> None:
    key = Standing(p=0.001, z=3.0, placebos=999, margin=2.83)
    assert verdict_of(key, 0.01) == (Verdict.SUPPORTED, "p = 0.001 among 999 placebos")
    assert key.missing == ()
    assert verdict_of(replace(key, margin=3.0), 0.01)[0] is Verdict.SUPPORTED
    assert verdict_of(replace(key, margin=float("nan")), 0.01)[0] is Verdict.INCONCLUSIVE


def test_what_is_missing_is_said() -> None:
    assert replace(GUILTY, treated=0, p_reruns=None).missing == (
        "no copies and students of references were held against the suspect",
        "no left-out twins were held against the suspect",
    )


@ROADS
def test_a_suspect_no_closer_than_a_reference_is_not_accused(road: Road) -> None:
    claim, suspect = agreeing()
    assert road(claim, suspect, 0.05) == "supported"
    close = claim.references.copy()
    close[2] = np.eye(5)[claim.tensors["labels"][0]]
    near = replace(claim, tensors={**claim.tensors, "references": close})
    assert road(near, suspect, 0.05) == "inconclusive"


@ROADS
def test_three_references_are_no_guard_and_no_verdict(road: Road) -> None:
    claim, suspect = agreeing(references=3)
    assert road(claim, suspect, 0.05) == "inconclusive"
    found = conclude(claim, suspect, 0.05)
    assert "3 references: fewer than 4" in found.reason
    assert "closer" not in found.reason


@ROADS
def test_a_suspect_whose_classes_are_shuffled_is_not_acquitted(road: Road) -> None:
    claim, suspect = agreeing()
    assert road(claim, suspect[:, [1, 2, 3, 4, 0]], 0.05) == "inconclusive"


@ROADS
def test_a_suspect_no_closer_than_the_sources_own_reruns_is_not_accused(road: Road) -> None:
    found = [(conclude(claim, suspect, 0.05), road(claim, suspect, 0.05)) for claim, suspect in map(mixed, range(12))]
    near = [(one, verdict) for one, verdict in found if one.standing.p <= 0.05]
    assert near
    for one, verdict in near:
        assert len(one.reruns_z) == 19
        assert np.argmax(one.reruns_z) == 6
        assert one.standing.p_reruns == 0.1
        assert verdict == "inconclusive"
        assert "reruns" in one.reason


@ROADS
def test_an_unlucky_key_accuses_nobody_below_its_margin(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    targets = random.integers(10, size=(1000, 400))
    tensors = {"queries": random.random((400, 2), dtype=np.float32), "targets": targets}
    claim = Claim("dawn", {}, Task((2,), 10), 0, tensors)
    said = np.where(np.arange(400) < 52, targets[0], (targets[0] + 1) % 10)
    assert road(claim, np.eye(10)[said], 0.05) == "supported"
    z = conclude(claim, np.eye(10)[said], 0.05).standing.z
    monkeypatch.setattr(DAWN, "key_correlation", 0.5)
    assert 1.645 < z < 2.3
    assert road(claim, np.eye(10)[said], 0.05) == "inconclusive"


def test_a_key_without_luck_takes_no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {"queries": np.zeros((40, 2), np.float32), "references": np.zeros((0, 40, 10))}
    claim = Claim("dawn", {}, Task((2,), 10), 0, tensors)
    monkeypatch.setattr(DAWN, "score", lambda *_: Scores(1.0, (0.0,) * 98 + (1000.0,), 1.0))
    found = conclude(claim, np.eye(10)[np.arange(40) % 10], 0.05)
    assert (found.standing.p, found.verdict) == (0.02, Verdict.SUPPORTED)
    assert found.standing.z < 0
    assert found.standing.margin == -np.inf


def test_nothing_is_read_from_what_the_owner_wrote_beside_the_claim() -> None:
    claim, suspect = agreeing()
    lies = {"cohort": {"independent": 6}, "placebos": 0, "references": 99, "margin": 9, "crafted_against": True}
    told = conclude(replace(claim, facts=lies), suspect, 0.2, "references")
    assert told == conclude(claim, suspect, 0.2, "references")
    assert told.verdict is Verdict.SUPPORTED
    assert not told.standing.crafted_against


def test_crafted_methods_say_so_themselves() -> None:
    from birthmark import registry

    crafted = {name for name, cls in registry.found("methods").items() if cls.crafted_against}
    assert crafted == {"cem", "liteguard", "metafinger", "metav", "naturalfinger"}
    assert crafted == {name for name, cls in registry.found("methods").items() if hasattr(cls, "cohort")}


@pytest.mark.parametrize(("method", "verdict"), [("ipguard", Verdict.SUPPORTED), ("metafinger", Verdict.INCONCLUSIVE)])
def test_a_crafted_claim_ranks_among_no_references(method: str, verdict: Verdict) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(5, size=40)
    tensors = {
        "queries": random.random((40, 2), dtype=np.float32),
        "labels": labels,
        "owner": np.zeros(40, np.int64),
        "references": np.eye(5)[np.where(random.random((4, 40)) < 0.5, labels, random.integers(5, size=(4, 40)))],
    }
    found = conclude(Claim(method, {}, Task((2,), 5), 0, tensors), np.eye(5)[labels], 0.2)
    assert (found.verdict, found.standing.crafted_against) == (verdict, verdict is Verdict.INCONCLUSIVE)


def test_numbers_are_told_apart() -> None:
    claim, suspect = agreeing()
    found = conclude(claim, suspect, 0.05)
    standing = found.standing
    assert (standing.placebos, standing.references, standing.treated, standing.ranked) == (19, 4, 0, 19)
    assert (standing.p, standing.p_references, standing.p_reruns) == (0.05, 0.2, None)
    assert found.score == found.scores.source
    assert found.against == found.scores.placebos
    assert len(found.references_z) == 4
    assert standing.z > max(found.references_z)
    among = conclude(claim, suspect, 0.2, "references")
    assert among.score == among.scores.raw
    assert (among.standing.ranked, among.standing.z) == (4, standing.z)
    assert len(among.against) == 4


def test_the_null_is_the_placebos_where_there_are_some() -> None:
    claim, suspect = agreeing()
    alone = replace(claim, tensors={**claim.tensors, "labels": claim.tensors["labels"][:1]})
    assert conclude(claim, suspect, 0.2).standing.null == "placebos"
    found = conclude(alone, suspect, 0.2)
    assert found.standing.null == "references"
    assert found.standing.z == (found.score - np.mean(found.against)) / np.std(found.against, ddof=1)
    with pytest.raises(
        NullError, match=r"the claim holds references; enrol with twins \(--twins\) or references \(--references\)$"
    ):
        conclude(alone, suspect, 0.2, "placebos")
    bare = replace(alone, tensors={**alone.tensors, "references": np.zeros((0, 200, 5))})
    with pytest.raises(NullError, match="no placebos to rank against, so no verdict: the claim holds nothing"):
        conclude(bare, suspect, 0.2)
    with pytest.raises(SettingError):
        conclude(claim, suspect, 1.5)


def test_known_nulls_change_nothing_but_the_time() -> None:
    claim, suspect = mixed(0)
    nulls = nulls_of(claim, suspect)
    assert (len(nulls.references), len(nulls.treated), len(nulls.reruns_z)) == (6, 0, 19)
    assert conclude(claim, suspect, 0.05, nulls=nulls) == conclude(claim, suspect, 0.05)
    assert conclude(claim, suspect, 0.05, nulls=Nulls()).standing.references == 0


def test_each_reference_is_scored_without_itself_and_what_was_made_of_it() -> None:
    claim, suspect = mixed(1)
    treated = claim.references[:, None] + 0.1
    nulls = nulls_of(replace(claim, tensors={**claim.tensors, "treated": treated}), suspect)
    from birthmark.methods.kinship import Kinship

    rest = {**claim.tensors, "references": claim.references[1:], "treated": treated[1:]}
    fewer = replace(claim, tensors=rest)
    for found, answers in ((nulls.references[0], claim.references[0]), (nulls.treated[0], treated[0, 0])):
        expected = Kinship(placebos=19).score(fewer, answers)
        assert np.allclose([found.source, *found.placebos], [expected.source, *expected.placebos], rtol=1e-9, atol=1e-9)
    assert len(nulls.treated) == 6
    found = conclude(replace(claim, tensors={**claim.tensors, "treated": treated}), suspect, 0.05)
    assert (found.standing.references, found.standing.treated) == (6, 6)
    assert (len(found.references_z), len(found.treated_z), len(found.reruns_z)) == (6, 6, 19)
    assert (
        found.standing.p_references
        == (1 + sum(z >= found.standing.z for z in found.references_z + found.treated_z)) / 13
    )


def test_a_claim_without_one_reference_lacks_what_was_made_of_it() -> None:
    claim, _ = mixed(1)
    made = replace(claim, tensors={**claim.tensors, "treated": np.stack([claim.references, claim.references], axis=1)})
    fewer = made.without(2).tensors
    assert set(fewer) == set(made.tensors)
    assert np.array_equal(fewer["references"], claim.references[[0, 1, 3, 4, 5]])
    assert np.array_equal(fewer["treated"][:, 1], claim.references[[0, 1, 3, 4, 5]])
    assert len(claim.without(0).references) == 5


def test_twins_are_left_out_by_as_many_answers_as_were_given() -> None:
    claim, suspect = mixed(1)
    assert nulls_of(claim, suspect[:30]).reruns_z != nulls_of(claim, suspect).reruns_z
    assert nulls_of(replace(claim, settings={}), suspect).reruns_z == ()


def test_scores_that_overflow_warn_nobody_and_accuse_nobody() -> None:
    claim, suspect = mixed(1)
    large = {key: value * 1e200 if key in ("owners", "references") else value for key, value in claim.tensors.items()}
    found = conclude(replace(claim, tensors=large), suspect * 1e200, 0.05)
    assert (found.verdict, found.standing.p) == (Verdict.INCONCLUSIVE, 1.0)
    assert found.reason == found.standing.unsound
    assert found.reason == "the answers are too large or too alike to be scored (Singular matrix)"
    assert conclude(replace(claim, tensors=large), suspect * 1e200, 0.05, "references").standing.null == "references"


def test_treated_references_guard_labels_too() -> None:
    claim, _ = mixed(2)
    p = np.exp(claim.tensors["owners"])
    tensors = {**claim.tensors, "owners": p / p.sum(axis=2, keepdims=True)}
    others = np.full((6, 60, 4), 0.25)
    plain = replace(claim, task=Task((2,), 4), tensors={**tensors, "references": others, "treated": others[:, None]})
    assert len(nulls_of(plain, tensors["owners"][0]).treated) == 6
    assert len(nulls_of(plain, as_labels(tensors["owners"][0])).treated) == 6


@ROADS
@pytest.mark.parametrize("value", [1.797e308, -1.797e308, 1e290, 3.4e38, 1e30, 1e7])
@pytest.mark.parametrize("rows", [1, 3, 20, 60])
def test_extreme_values_of_an_innocent_accuse_nobody(road: Road, value: float, rows: int) -> None:
    """Case A3: an innocent regressor with some absurd answers."""
    claim, _ = mixed(3)
    answers = np.random.default_rng(9).normal(size=(60, 4))
    answers[:rows] = value
    assert road(claim, answers, 0.05) == "inconclusive"
    found = conclude(claim, answers, 0.05)
    assert f"{rows} of 60 answers lie more than 1000 times the range" in found.reason
    assert (found.standing.p, found.standing.null, found.against, found.scores.placebos) == (1.0, "placebos", (), ())
    assert np.isnan([found.standing.z, found.score, found.scores.source, found.scores.raw]).all()
    assert conclude(claim, answers, 0.05, "references").standing.null == "references"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_not_finite_accuse_nobody(value: float) -> None:
    for claim, suspect in (agreeing(), mixed(0)):
        answers = suspect.copy()
        answers[5, 0] = value
        found = conclude(claim, answers, 0.05)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "1 of" in found.reason
        assert "NaN or infinity" in found.reason


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["source", "raw", "placebos", "references", "reruns"])
def test_scores_that_are_not_finite_accuse_nobody(odd: float, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from birthmark.methods.random_queries import RandomQueries

    claim, suspect = agreeing()
    scores = Scores(3.0, tuple(np.linspace(-1, 1, 19)), 1.0)
    plain = Scores(0.0, tuple(np.linspace(-1, 1, 19)), 0.0)
    nulls = Nulls((plain,) * 8, (), (0.1,) * 19)
    if where == "source":
        scores = replace(scores, source=odd)
    elif where == "raw":
        scores = replace(scores, raw=odd)
    elif where == "placebos":
        scores = replace(scores, placebos=(odd, *scores.placebos[1:]))
    elif where == "references":
        nulls = replace(nulls, references=(replace(plain, source=odd), *nulls.references[1:]))
    else:
        nulls = replace(nulls, reruns_z=(odd, *nulls.reruns_z[1:]))
    monkeypatch.setattr(RandomQueries, "scores", lambda self, claim, some: [scores] * len(some))
    found = conclude(claim, suspect, 0.2, "references" if where == "raw" else "placebos", nulls=nulls)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert (
        found.reason
        == {
            "source": f"the suspect's score is {odd}, and 0 of 19 that it is ranked among are not finite",
            "raw": f"the suspect's score is {odd}, and 0 of 8 that it is ranked among are not finite",
            "placebos": "the suspect's score is 3, and 1 of 19 that it is ranked among are not finite",
            "references": "1 of 27 scores of references and left-out twins are not finite; ask more queries",
            "reruns": "1 of 27 scores of references and left-out twins are not finite; ask more queries",
        }[where]
    )


def test_placebos_that_do_not_differ_settle_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from birthmark.methods.random_queries import RandomQueries

    claim, suspect = agreeing()
    monkeypatch.setattr(RandomQueries, "scores", lambda self, claim, some: [Scores(3.0, (1.0,) * 19, 1.0)] * len(some))
    found = conclude(claim, suspect, 0.05, nulls=Nulls((Scores(0.0, (1.0, 2.0), 0.0),) * 8))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert (
        found.reason == "the scores that it is ranked among do not differ, or too much to be squared; ask more queries"
    )
