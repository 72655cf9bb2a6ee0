"""What every attack must satisfy."""

import copy
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from birthmark.attack import Attack
from birthmark.checks.common import described, equal, hooks
from birthmark.errors import AccessError, BirthmarkError, BudgetError, DataError, OracleError
from birthmark.oracle import HardLabels, Metered, Oracle, Probabilities, Wrapper
from birthmark.transcript import Recorded, Transcript
from birthmark.types import Access, Array, Floats
from birthmark.workshop.architectures import build
from birthmark.workshop.owner import Owner
from birthmark.workshop.training import outputs
from birthmark.workshop.whitebox import Open


def same_bits(attack: Attack, owner: Owner) -> None:
    """The same seed gives the same bits, and no generator outside moves."""
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    one, other = (attack.steal(Open(owner.source), owner.reserve, seed=5) for _ in range(2))
    after = torch.random.get_rng_state(), np.random.get_state()[1]  # type: ignore[index]
    assert equal(one, other), f"{attack.name}: the same seed gave other weights"
    assert torch.equal(before[0], after[0]), f"{attack.name}: torch's global generator was moved"
    assert np.array_equal(before[1], after[1]), f"{attack.name}: NumPy's global generator was moved"


def target_untouched(attack: Attack, owner: Owner) -> None:
    """Weights, modes, gradients and hooks of the target are as before; the stolen model shares no memory with it."""
    source = copy.deepcopy(owner.source)
    stolen = attack.steal(Open(source), owner.reserve, seed=1)
    assert equal(source, owner.source), f"{attack.name}: the target's weights changed"
    assert not any(m.training for m in source.modules()), f"{attack.name}: the target was left in training mode"
    assert all(p.grad is None for p in source.parameters()), f"{attack.name}: the target was left with gradients"
    assert not hooks(source), f"{attack.name}: the target was left with hooks"
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
    assert not hooks(stolen), f"{attack.name}: left with hooks, which no file can hold"
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
            log = Transcript(path, inner)
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
        assert equal(model, wanted), f"{attack.name}: resumed, it made another model"
        assert spent <= whole.spent - kept, (
            f"{attack.name}: asked again for what it had been answered: {spent} of {whole.spent} with {kept} kept"
        )


class Breaking(Wrapper):
    """An oracle that answers so many calls and then fails for good."""

    def __init__(self, inner: Oracle, calls: int) -> None:
        super().__init__(inner)
        self.calls = calls

    @property
    def shows(self) -> str:
        return ""

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
