"""What all checks share: what a check is, what must be described, and how models are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass

import numpy as np
import torch
from torch import nn

from birthmark.attack import Attack
from birthmark.claim import Claim, Scores
from birthmark.crafting.sampling import Sampled
from birthmark.evidence import Verdict
from birthmark.method import Method
from birthmark.oracle import HardLabels, Oracle, Probabilities
from birthmark.types import Access, Answers, Floats
from birthmark.verdict import conclude
from birthmark.watermark import Watermark
from birthmark.workshop.owner import Owner
from birthmark.workshop.whitebox import Open


@dataclass(frozen=True)
class Check:
    """One promise, to be called; `str` is its name."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        self.run()

    def __str__(self) -> str:
        return self.name


def described(subject: Attack | Method | Watermark) -> None:
    """A frozen dataclass with a name, an access, a source and a docstring that names every setting."""
    cls = type(subject)
    assert is_dataclass(cls), f"{cls.__name__}: expected a dataclass"
    assert cls.__dataclass_params__.frozen, (  # type: ignore[union-attr]
        f"{cls.__name__}: expected a frozen dataclass, as settings are hashed into cards"
    )
    assert cls.name == cls.name.lower(), f"expected a name in lower case, got {cls.name!r}"
    assert isinstance(cls.needs, Access), f"{cls.name}: expected `needs` to be an Access, got {cls.needs!r}"
    assert cls.source_paper, f"{cls.name}: expected `source_paper` to say where it comes from"
    explained = " ".join(base.__doc__ or "" for base in cls.__mro__ if is_dataclass(base))
    missing = [field.name for field in fields(cls) if field.name not in explained]
    assert not missing, f"{cls.name}: its docstring does not explain {', '.join(missing)}"


def equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key].cpu(), b[key].cpu()) for key in a)


def hooks(module: nn.Module) -> bool:
    return any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in module.modules())


def suspect(method: Method, owner: Owner, model: nn.Module, claim: Claim) -> Oracle:
    """A model as the method's least suspect: labels where those do, requests where the claim sends no latents."""
    oracle: Oracle = Probabilities(Open(model, Answers.VALUES if claim.task.values else Answers.LOGITS))
    if claim.task.shape != owner.task.shape:
        return Sampled(oracle, owner.task.shape[0], seed=0)
    return HardLabels(oracle) if method.needs is Access.LABELS and not claim.task.values else oracle


def shown(method: Method, owner: Owner, model: nn.Module, claim: Claim) -> Floats:
    """That suspect's answers (q, k) to all of the claim's queries."""
    return suspect(method, owner, model, claim)(claim.queries)


STRANGE: Mapping[str, Callable[[Floats], Floats]] = {
    "NaN": lambda rows: np.where(np.arange(rows.shape[1]) == 0, np.nan, rows),
    "infinity": lambda rows: np.where(np.arange(rows.shape[1]) == 0, np.inf, rows),
    "1e308": lambda rows: np.where(np.arange(len(rows))[:, None] == 0, 1e308, rows),
    "-1e308": lambda rows: np.where(np.arange(len(rows))[:, None] == 0, -1e308, rows),
    "denormals": lambda rows: np.full_like(rows, 5e-324),
    "always the same": lambda rows: np.repeat(rows[:1], len(rows), axis=0),
}


def accused_by_strange_answers(claim: Claim, rows: Floats) -> list[str]:
    """Which of a source's answers (q, k), made strange, end `supported`: none should."""
    return [
        name for name, strange in STRANGE.items() if conclude(claim, strange(rows), 0.5).verdict is Verdict.SUPPORTED
    ]


def near(one: Scores, other: Scores) -> bool:
    return bool(
        np.allclose(
            [one.source, one.raw, *one.placebos], [other.source, other.raw, *other.placebos], rtol=1e-6, atol=1e-9
        )
    )
