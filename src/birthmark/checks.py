"""What every attack, method and watermark must satisfy, for those of this project and for anyone's plug-in.

    import pytest
    from birthmark.checks import conformance, small_owner

    @pytest.mark.parametrize("check", conformance(MyAttack(epochs=1), small_owner()), ids=str)
    def test_my_attack(check):
        check()

A check raises AssertionError with what it expected and what it found. All run on digits, in seconds.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from birthmark import data as datasets
from birthmark import registry
from birthmark.attack import Attack
from birthmark.claim import Claim, Scores
from birthmark.errors import AccessError, BirthmarkError, BudgetError, DataError, OracleError
from birthmark.method import Method
from birthmark.oracle import HardLabels, Metered, Oracle, Probabilities, Wrapper
from birthmark.transcript import Recorded, Replay, Transcript
from birthmark.types import Access, Answers, Array, Floats
from birthmark.verify import verify
from birthmark.watermark import Marked, Watermark
from birthmark.workshop.architectures import build
from birthmark.workshop.card import Card
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import outputs, probabilities
from birthmark.workshop.whitebox import Open
from birthmark.zoo.make import make


@dataclass(frozen=True)
class Check:
    """One promise, to be called; `str` is its name."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        self.run()

    def __str__(self) -> str:
        return self.name


def conformance(subject: Attack | Method | Watermark, owner: Owner) -> Iterator[Check]:
    """The checks of an attack, a method, or a watermark that holds its key.

    Args:
        owner: whose source is attacked, fingerprinted or marked; `small_owner()` will do.
    """
    if isinstance(subject, Attack):
        found = ATTACK if subject.needs is Access.WEIGHTS else {**ATTACK, **EXTRACTION}
        yield from (Check(name, partial(check, subject, owner)) for name, check in found.items())
    elif isinstance(subject, Method):
        made = cache(lambda: subject.fit(owner, seed=0))
        yield Check("is described", partial(described, subject))
        yield from (Check(name, partial(_on_claim, check, subject, owner, made)) for name, check in METHOD.items())
    else:
        yield Check("is described", partial(described, subject))
        yield from (Check(name, partial(check, subject, owner)) for name, check in WATERMARK.items())


def _on_claim(
    check: Callable[[Method, Owner, Claim], None], subject: Method, owner: Owner, made: Callable[[], Claim]
) -> None:
    check(subject, owner, made())


@cache
def small_owner(architecture: str = "mlp") -> Owner:
    """An owner of a small network on digits, who trains twins and references in memory when asked."""
    parts = datasets.load("digits")
    how = {"epochs": 20, "batch": 32}
    card = Card(
        kind="trained", data={"name": "digits", "seed": 0}, split="owner", recipe=architecture, seed=0, training=how
    )
    known = {card.key: make(card, {}, parts)}

    def workshop(cards: Sequence[Card]) -> list[nn.Module]:
        for wanted in cards:
            if wanted.key not in known:
                known[wanted.key] = make(wanted, known, parts)
        return [known[wanted.key] for wanted in cards]

    return Owner(known[card.key], card, parts["owner"], parts["reserve"], parts["queries"], workshop)


def described(subject: Attack | Method | Watermark) -> None:
    """A frozen dataclass with a name, an access, a source and a docstring that names every setting."""
    cls = type(subject)
    assert is_dataclass(cls), f"{cls.__name__}: expected a dataclass"
    assert cls.__dataclass_params__.frozen, (
        f"{cls.__name__}: expected a frozen dataclass, as settings are hashed into cards"
    )
    assert cls.name == cls.name.lower(), f"expected a name in lower case, got {cls.name!r}"
    assert isinstance(cls.needs, Access), f"{cls.name}: expected `needs` to be an Access, got {cls.needs!r}"
    assert cls.source_paper, f"{cls.name}: expected `source_paper` to say where it comes from"
    told = " ".join(parent.__doc__ or "" for parent in cls.__mro__)
    missing = [field.name for field in fields(cls) if field.name not in told]
    assert not missing, f"{cls.name}: its docstring does not explain {', '.join(missing)}"


# --- attacks
# -----------------------------------------------------------------------------------------------------------


def same_bits(attack: Attack, owner: Owner) -> None:
    """The same seed gives the same bits, and no generator outside moves."""
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    one, other = (attack.steal(Open(owner.source), owner.reserve, seed=5) for _ in range(2))
    after = torch.random.get_rng_state(), np.random.get_state()[1]  # type: ignore[index]
    assert _equal(one, other), f"{attack.name}: the same seed gave other weights"
    assert torch.equal(before[0], after[0]), f"{attack.name}: torch's global generator was moved"
    assert np.array_equal(before[1], after[1]), f"{attack.name}: NumPy's global generator was moved"


def target_untouched(attack: Attack, owner: Owner) -> None:
    """Weights, modes, gradients and hooks of the target are as before; the stolen model shares no memory with it."""
    source = copy.deepcopy(owner.source)
    stolen = attack.steal(Open(source), owner.reserve, seed=1)
    assert _equal(source, owner.source), f"{attack.name}: the target's weights changed"
    assert not any(m.training for m in source.modules()), f"{attack.name}: the target was left in training mode"
    assert all(p.grad is None for p in source.parameters()), f"{attack.name}: the target was left with gradients"
    assert not _hooks(source), f"{attack.name}: the target was left with hooks"
    theirs = {tensor.data_ptr() for tensor in source.state_dict().values() if tensor.numel()}
    assert not any(tensor.data_ptr() in theirs for tensor in stolen.state_dict().values() if tensor.numel()), (
        f"{attack.name}: shares memory with the target"
    )


def answers_like_a_model(attack: Attack, owner: Owner) -> None:
    """The stolen model is in eval mode, answers finite rows of the right width, and can be rebuilt from its
    architecture's name.
    """
    stolen = attack.steal(Open(owner.source), owner.reserve, seed=1)
    x = owner.pool.inputs[:40]
    rows = outputs(stolen, x)
    width = attack.view(owner.reserve).outputs
    assert rows.shape == (40, width), f"{attack.name}: expected answers of shape (40, {width}), got {rows.shape}"
    assert np.isfinite(rows).all(), f"{attack.name}: answers NaN or infinity"
    assert not any(module.training for module in stolen.modules()), f"{attack.name}: left in training mode"
    assert not _hooks(stolen), f"{attack.name}: left with hooks, which no file can hold"
    name = stolen.__dict__.get("architecture", "")
    assert name, f"{attack.name}: the stolen network has no architecture name, so that it cannot be read from a file"
    again = build(name, owner.task.shape, width, seed=9)
    again.load_state_dict(stolen.state_dict())
    assert np.allclose(outputs(again.eval(), x), rows, atol=1e-4), (
        f"{attack.name}: rebuilt as {name!r} it answers otherwise"
    )


def access_kept(attack: Attack, owner: Owner) -> None:
    """Refused below what it needs; content with exactly what it needs."""
    source = Open(owner.source)
    less: dict[Access, Oracle] = {Access.PROBS: HardLabels(source), Access.WEIGHTS: Probabilities(source)}
    if attack.needs in less:
        try:
            attack.steal(less[attack.needs], owner.reserve, seed=1)
            said = ""
        except AccessError as error:
            said = str(error)
        assert attack.needs.name in said, (
            f"{attack.name}: expected an AccessError that names {attack.needs.name}, got {said or 'none'}"
        )
    exact: Oracle = (
        source
        if attack.needs is Access.WEIGHTS
        else Probabilities(source)
        if attack.needs is Access.PROBS
        else HardLabels(source)
    )
    attack.steal(exact, owner.reserve, seed=1)


def bad_data_refused(attack: Attack, owner: Owner) -> None:
    """Without data, or with data of one class, it works all the same or says what is missing: no other error."""
    one_class = owner.reserve[owner.reserve.targets == 0]
    for name, data in (("no data", owner.reserve[:0]), ("one class", one_class), ("two samples", owner.reserve[:2])):
        try:
            attack.steal(Open(owner.source), data, seed=1)
            said = ""
        except BirthmarkError as error:
            said = str(error)
        assert not said or len(said) > 20, f"{attack.name}, {name}: the error does not say what to do: {said}"


def budget_kept(attack: Attack, owner: Owner) -> None:
    """Never more queries than the budget, be it smaller than a batch; with none at all, a BudgetError."""
    for budget in (0, 7, 60):
        target = Metered(Open(owner.source), budget)
        try:
            attack.steal(target, owner.reserve, seed=1)
        except (BudgetError, DataError):
            assert budget < 60, f"{attack.name}: gave up with {budget} queries"
        else:
            assert budget, f"{attack.name}: expected a BudgetError without any query"
        assert target.spent <= budget, f"{attack.name}: spent {target.spent} of {budget} queries"


def resumes(attack: Attack, owner: Owner) -> None:
    """When the target starts failing, what was answered is kept, and the rerun asks only for the rest and gets the same
    model.
    """
    whole = Metered(Open(owner.source))
    wanted = attack.steal(whole, owner.reserve, seed=2)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "answers.jsonl"

        def attempt(calls: int) -> tuple[nn.Module | None, int]:
            inner = Metered(Breaking(Open(owner.source), calls))
            log = Transcript(path, suspect="target", answers=inner.answers)
            try:
                return attack.steal(Recorded(inner, log), owner.reserve, seed=2), inner.spent
            except OracleError:
                return None, inner.spent
            finally:
                log.close()

        failed, _ = attempt(1)
        kept = len(path.read_text().splitlines()) - 1
        assert failed is None or whole.spent <= kept, f"{attack.name}: hid that the target failed"
        assert kept > 0, f"{attack.name}: lost the answers it had paid for"
        model, spent = attempt(10**9)
        assert model is not None
        assert _equal(model, wanted), f"{attack.name}: resumed, it made another model"
        assert spent <= whole.spent - kept, (
            f"{attack.name}: asked again for what it had been answered: {spent} of {whole.spent} with {kept} kept"
        )


class Breaking(Wrapper):
    """An oracle that answers so many calls and then fails for good."""

    def __init__(self, inner: Oracle, calls: int) -> None:
        super().__init__(inner)
        self.calls = calls

    def __call__(self, inputs: Array) -> Floats:
        if self.calls < 1:
            raise OracleError(f"{self.name}: the service went away")
        self.calls -= 1
        return self.inner(inputs)


ATTACK: dict[str, Callable[[Attack, Owner], None]] = {
    "is described": lambda attack, _: described(attack),
    "same seed, same bits": same_bits,
    "target untouched": target_untouched,
    "answers like a model": answers_like_a_model,
    "access kept": access_kept,
    "bad data refused": bad_data_refused,
}
EXTRACTION: dict[str, Callable[[Attack, Owner], None]] = {"budget kept": budget_kept, "resumes": resumes}


# --- methods
# -----------------------------------------------------------------------------------------------------------


def same_claim(method: Method, owner: Owner, claim: Claim) -> None:
    """The same seed gives the same claim, and the source is left as it was."""
    before = copy.deepcopy(owner.source)
    again = method.fit(owner, seed=0)
    assert set(again.tensors) == set(claim.tensors), f"{method.name}: the same seed gave other tensors"
    other = [key for key, value in claim.tensors.items() if not np.array_equal(value, again.tensors[key])]
    assert not other, f"{method.name}: the same seed gave other {', '.join(other)}"
    assert _equal(before, owner.source), f"{method.name}: the source's weights changed"
    assert not any(m.training for m in owner.source.modules()), f"{method.name}: the source was left in training mode"


def saved_and_loaded(method: Method, owner: Owner, claim: Claim) -> None:
    """A claim read back scores alike, under the settings that it brings."""
    rows = _shown(method.needs, owner.source, claim)
    with TemporaryDirectory() as folder:
        claim.save(Path(folder) / "claim")
        loaded, _ = Claim.load(Path(folder) / "claim")
    scorer = registry.scorer(loaded) if method.name in registry.found("methods") else method
    assert _near(scorer.score(loaded, rows), method.score(claim, rows)), (
        f"{method.name}: scores otherwise after saving and loading"
    )


def source_scores_highest(method: Method, owner: Owner, claim: Claim) -> None:
    """The source itself is closer to its own claim than to any placebo, and than an innocent model is."""
    rows = _shown(method.needs, owner.source, claim)
    scores = method.score(claim, rows)
    assert np.isfinite([scores.source, scores.raw, *scores.placebos]).all(), (
        f"{method.name}: scores that are not finite"
    )
    beaten = [s for s in scores.placebos if s >= scores.source]
    assert not beaten, (
        f"{method.name}: the source scores {scores.source:.4g} on its own claim, and up to "
        f"{max(beaten, default=0):.4g} on a placebo"
    )
    innocent = method.score(claim, _shown(method.needs, owner.references(1)[0], claim))
    assert scores.raw > innocent.raw, (
        f"{method.name}: an independent model scores {innocent.raw:.4g}, the source itself {scores.raw:.4g}"
    )


def prefixes_score(method: Method, owner: Owner, claim: Claim) -> None:
    """The first half of the answers can be scored alone, claim and answers are left as they were."""
    rows = _shown(method.needs, owner.source, claim)
    tensors = {key: value.copy() for key, value in claim.tensors.items()}
    given = rows.copy()
    half = method.score(claim, rows[: -(-len(rows) // 2)])
    full = method.score(claim, rows)
    assert len(half.placebos) == len(full.placebos), (
        f"{method.name}: {len(half.placebos)} placebos with half of the answers, {len(full.placebos)} with all"
    )
    assert np.isfinite([half.source, *half.placebos]).all(), (
        f"{method.name}: half of the answers give scores that are not finite"
    )
    assert np.array_equal(given, rows), f"{method.name}: changed the answers it was given"
    assert all(np.array_equal(value, claim.tensors[key]) for key, value in tensors.items()), (
        f"{method.name}: changed its claim"
    )


def replay_agrees(method: Method, owner: Owner, claim: Claim) -> None:
    """A verification from the transcript alone reaches the same evidence."""
    if method.name not in registry.found("methods"):
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "transcript.jsonl"
        oracle: Oracle = Open(owner.source) if method.needs > Access.LABELS else HardLabels(Open(owner.source))
        null = "placebos" if method.score(claim, _shown(method.needs, owner.source, claim)).placebos else "references"
        live = verify(claim, oracle, alpha=0.5, null=null, transcript=path)
        again = verify(claim, Replay(path), alpha=0.5, null=null)
    assert (live.score, live.p_value, live.verdict) == (again.score, again.p_value, again.verdict), (
        f"{method.name}: the replay found {again.score}, p {again.p_value}; live {live.score}, p {live.p_value}"
    )


def left_out_twins_score(method: Method, owner: Owner, claim: Claim) -> None:
    """A twin that the claim can do without answers as that twin does, and is scored among one placebo fewer.

    For prefixes, too.
    """
    n = len(method.score(claim, _shown(method.needs, owner.source, claim)).placebos)
    answer = outputs if owner.values else probabilities
    for q in (len(claim.queries), -(-len(claim.queries) // 2)):
        found = method.left_out(claim, 0, q) if n else None
        if found is None:
            return
        alone, rows = found
        twin = owner.twins(n)[0]
        assert np.allclose(rows, answer(twin, alone.queries[: len(rows)]), atol=1e-4), (
            f"{method.name}: not the left-out twin's answers"
        )
        scores = method.score(alone, rows)
        assert len(scores.placebos) == n - 1, (
            f"{method.name}: expected {n - 1} placebos without one twin, got {len(scores.placebos)}"
        )
        assert np.isfinite([scores.source, *scores.placebos]).all(), (
            f"{method.name}: a left-out twin has scores that are not finite"
        )


METHOD: dict[str, Callable[[Method, Owner, Claim], None]] = {
    "same seed, same claim": same_claim,
    "saved and loaded": saved_and_loaded,
    "source scores highest": source_scores_highest,
    "prefixes score": prefixes_score,
    "replay agrees": replay_agrees,
    "left-out twins score": left_out_twins_score,
}


# --- watermarks
# --------------------------------------------------------------------------------------------------------


def marks_alike(mark: Watermark, owner: Owner) -> None:
    """The same input is marked alike, alone or in a batch, today or tomorrow."""
    x = owner.pool.inputs[:30]
    p = probabilities(owner.source, x)
    whole = mark.mark(x, p)
    parts = np.concatenate([mark.mark(x[i : i + 1], p[i : i + 1]) for i in range(len(x))])
    assert np.array_equal(whole, mark.mark(x, p)), f"{mark.name}: the same input was marked differently the second time"
    assert np.abs(whole - parts).max() < 1e-5, f"{mark.name}: the same input was marked differently in a batch"


def marks_lightly(mark: Watermark, owner: Owner) -> None:
    """Marked answers stay on the simplex, and answers of 99 % and more keep their top class."""
    x = owner.pool.inputs
    p = probabilities(owner.source, x)
    kept = p.copy()
    marked = mark.mark(x, p)
    assert marked.shape == p.shape, f"{mark.name}: expected answers of shape {p.shape}, got {marked.shape}"
    assert marked.min() >= 0, f"{mark.name}: marked probabilities go down to {marked.min()}"
    assert np.abs(marked.sum(axis=1) - 1).max() < 1e-6, f"{mark.name}: marked probabilities do not sum to one"
    sure = p.max(axis=1) >= 0.99
    assert (marked.argmax(axis=1) == p.argmax(axis=1))[sure].all(), f"{mark.name}: changed a sure answer"
    assert np.array_equal(kept, p), f"{mark.name}: changed the answers it was given"


def marked_answers_score_highest(mark: Watermark, owner: Owner) -> None:
    """The API's own marked answers are closer to its key than to placebo keys, before and after saving the claim."""
    claim = mark.claim()
    rows = Marked(Open(owner.source), mark)(claim.queries)
    scores = mark.score(claim, rows)
    assert scores.placebos, f"{mark.name}: a claim without placebo keys has no error rate"
    share = np.mean([placebo >= scores.source for placebo in scores.placebos])
    assert share < 0.05, f"{mark.name}: {share:.0%} of placebo keys fit the marked answers as well as the true key"
    with TemporaryDirectory() as folder:
        claim.save(Path(folder) / "claim")
        loaded, _ = Claim.load(Path(folder) / "claim")
    scorer = registry.scorer(loaded) if mark.name in registry.found("watermarks") else mark
    assert _near(scorer.score(loaded, rows), scores), f"{mark.name}: scores otherwise after saving and loading"


WATERMARK: dict[str, Callable[[Watermark, Owner], None]] = {
    "marks alike": marks_alike,
    "marks lightly": marks_lightly,
    "marked answers score highest": marked_answers_score_highest,
}


def _equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key].cpu(), b[key].cpu()) for key in a)


def _hooks(module: nn.Module) -> bool:
    return any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in module.modules())


def _shown(needs: Access, model: nn.Module, claim: Claim) -> Floats:
    oracle: Oracle = Probabilities(Open(model, Answers.VALUES if claim.task.values else Answers.LOGITS))
    return (
        HardLabels(oracle)(claim.queries) if needs is Access.LABELS and not claim.task.values else oracle(claim.queries)
    )


def _near(one: Scores, other: Scores) -> bool:
    return bool(
        np.allclose(
            [one.source, one.raw, *one.placebos], [other.source, other.raw, *other.placebos], rtol=1e-6, atol=1e-9
        )
    )
