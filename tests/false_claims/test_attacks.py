"""What a lying owner gets `supported` by ends rejected or inconclusive before a judge; honest claims are upheld."""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from torch import nn

from birthmark.claim import Claim
from birthmark.data import Data
from birthmark.methods.kinship import Kinship
from birthmark.notary import folders, stamps
from birthmark.notary.cases import read_case
from birthmark.notary.checks import Known
from birthmark.notary.commitments import BEFORE_DISPUTE, BEFORE_TRAINING, Drawn, commit, draw
from birthmark.notary.judging import Finding, Judgement, judge
from birthmark.notary.planning import drawn_owner, says_draw
from birthmark.notary.signing import new_key
from birthmark.notary.workbench import model_checks
from birthmark.verify import Terms, verify
from birthmark.workshop.cohort import SAME_START
from birthmark.workshop.owner import Owner, enrolling
from birthmark.workshop.training import Training, fit
from birthmark.zoo.catalogue import executor
from birthmark.zoo.make import make
from birthmark.zoo.store import Store
from false_claims.world import ATTACKS, World, answering, fixed, suspect
from notary.cases import ROUND, SECRET, Accuser
from notary.conftest import Authority

LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture(scope="module")
def world(digits: Data, store: Store) -> World:
    return World.open(digits, store, executor("serial"), Kinship(queries=80, placebos=19, references=4, treated=1))


@pytest.fixture(scope="module")
def accused(world: World) -> nn.Module:
    """An innocent."""
    return world.innocent(0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa"))


class Court:
    """An accuser who says that the recorded suspect answered as the source does, and a judge who has the suspect."""

    def __init__(self, world: World, folder: Path, authority: Authority, since: datetime | None = LATER) -> None:
        self.world, self.folder, self.authority, self.since = world, folder, authority, since

    def judged(self, owner: Owner, claim: Claim, real: nn.Module, recorded: nn.Module | None = None) -> Judgement:
        accuser = Accuser(self.folder, new_key(self.folder / "key.pem"), claim)
        said = suspect(recorded) if recorded else answering(claim, claim.tensors["owners"][0])
        place = self.folder / "tested" / "transcript.jsonl"
        place.unlink()
        accuser.state(verify(claim, said, transcript=place, terms=Terms(digest=accuser.digest)))
        made = commit(BEFORE_DISPUTE, "A", fixed(self.world, owner, claim), SECRET, round=ROUND)
        files = accuser.sealed(accuser.commit(made, Drawn(made.digest, "ab" * 32, SECRET.hex()), self.authority.stamp))
        known = Known(roots=stamps.roots(self.authority.roots), since=self.since)
        (self.folder / "e").mkdir()
        folders.save(files, self.folder / "e" / "sealed")
        case = read_case(folders.load(self.folder / "e" / "sealed"), known)
        case = replace(case, drawn=None)  # claims here are made without a draw
        checks = model_checks(case, self.world.bench(owner), suspect(real), known)
        return judge(case, known, checks)


@pytest.fixture
def court(world: World, tmp_path: Path, authority: Authority) -> Court:
    return Court(world, tmp_path, authority)


def test_an_honest_claim_on_a_copy_is_upheld(court: Court, world: World) -> None:
    copy = fit(deepcopy(world.owner.source), world.parts["attacker"], Training(epochs=1, batch=64, rate=1e-3), seed=5)
    found = court.judged(world.owner, world.claim(world.owner), copy, recorded=copy)
    assert found.finding is Finding.UPHELD, [c for c in found.checks if c.outcome != "held"]


def test_an_honest_claim_on_an_innocent_is_rejected_whatever_the_transcript_says(
    court: Court, world: World, accused: nn.Module
) -> None:
    found = court.judged(world.owner, world.claim(world.owner), accused)
    assert found.numbers["verdict"] == "supported"
    assert found.finding is Finding.REJECTED
    assert found.reason.startswith("asked by the judge")


@pytest.mark.parametrize("attack", ["fitted at 50 %", "distilled from the suspect", "tuned to the suspect"])
def test_a_source_that_was_fitted_to_the_suspect_does_not_rebuild(
    attack: str, court: Court, world: World, accused: nn.Module
) -> None:
    brought = ATTACKS[attack](world, accused)
    found = court.judged(brought.owner, brought.claim, accused, recorded=accused)
    assert found.finding is Finding.REJECTED
    assert "rebuilt source" in found.reason


def test_weak_twins_are_not_those_of_the_recipe(court: Court, world: World, accused: nn.Module) -> None:
    weak = world.weak(epochs=2)
    found = court.judged(world.owner, world.claim(weak), accused)
    assert found.finding is Finding.REJECTED
    assert "source, data and draw give another" in found.reason


def test_a_recipe_that_is_stated_wrongly_does_not_rebuild(court: Court, world: World, accused: nn.Module) -> None:
    weak = world.weak(epochs=2)
    found = court.judged(weak, world.claim(weak), accused)
    assert found.finding is Finding.REJECTED
    assert "another training" in found.reason


@pytest.mark.parametrize("trick", ["trimmed", "edited", "queries"])
def test_claims_that_were_made_otherwise(trick: str, court: Court, world: World, accused: nn.Module) -> None:
    claim = world.edited(accused) if trick == "edited" else world.claim(world.trimmed(accused))
    if trick == "queries":
        claim = replace(world.claim(world.owner), tensors={**claim.tensors, "queries": 1 - claim.queries})
    found = court.judged(world.owner, claim, accused)
    assert found.finding is Finding.REJECTED
    assert ("than the claim holds" if trick == "trimmed" else "from those of its weights") in found.reason


def test_the_nearest_of_many_seeds_needs_a_date(
    world: World, tmp_path: Path, authority: Authority, accused: nn.Module
) -> None:
    owner = world.nearest(accused, among=5)
    (tmp_path / "a").mkdir()
    found = Court(world, tmp_path / "a", authority, since=None).judged(owner, world.claim(owner), accused)
    assert found.finding is not Finding.UPHELD
    (tmp_path / "b").mkdir()
    old = datetime(2020, 1, 1, tzinfo=UTC)
    found = Court(world, tmp_path / "b", authority, since=old).judged(owner, world.claim(owner), accused)
    assert found.finding is Finding.REJECTED
    assert "could be fitted to it" in found.reason


def test_fewer_than_four_references_stay_inconclusive_even_before_the_judge(
    court: Court, world: World, accused: nn.Module
) -> None:
    few = replace(world.method, references=2)
    claim = few.fit(replace(world.owner, twin_kind=SAME_START), seed=0)
    found = court.judged(world.owner, claim, accused)
    assert found.finding is not Finding.UPHELD


def test_the_highest_grade_needs_no_date_of_the_suspect(
    world: World, tmp_path: Path, authority: Authority, accused: nn.Module
) -> None:
    """Committed before training: the source's own seeds are drawn, so that nobody could choose them."""
    kin = Kinship(queries=40, placebos=19, references=4, treated=1)
    plan = {**fixed(world, world.owner, Claim("kinship", vars(kin), world.owner.task, 0, {}))}
    recipe = {name: plan["recipe"][name] for name in ("recipe", "split", "training")}
    made = commit(BEFORE_TRAINING, "A", {**plan, "recipe": recipe}, SECRET, round=ROUND)
    drawn = draw(made, "ab" * 32, SECRET)
    card = replace(world.owner.card, start=drawn.seed("start"), course=drawn.seed("course"))
    owner = replace(world.owner, card=card, source=make(card, {}, world.parts))
    claim = says_draw(kin.fit(enrolling(drawn_owner(owner, drawn), 0), seed=0), drawn)
    accuser = Accuser(tmp_path, new_key(tmp_path / "key.pem"), claim)
    (tmp_path / "tested" / "transcript.jsonl").unlink()
    copy, place = deepcopy(owner.source), tmp_path / "tested" / "transcript.jsonl"
    accuser.state(verify(claim, suspect(copy), transcript=place, terms=Terms(digest=accuser.digest)))
    files = accuser.sealed(accuser.commit(made, drawn, authority.stamp))
    folders.save(files, tmp_path / "sealed")
    known = Known(roots=stamps.roots(authority.roots), value="ab" * 32, published=LATER)
    case = read_case(folders.load(tmp_path / "sealed"), known)
    checks = model_checks(case, world.bench(owner), suspect(copy), known)
    found = judge(case, known, checks)
    assert found.finding is Finding.UPHELD, [c for c in found.checks if c.outcome != "held"]
    assert judge(case, replace(known, published=None), checks).finding is Finding.INCONCLUSIVE
    other = replace(owner, card=replace(card, course=1))
    assert "another course" in model_checks(case, world.bench(other), None)[0].words
