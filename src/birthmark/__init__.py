"""birthmark: prove that a neural network was derived from yours, and never accuse one that was not.

A tour, in the order of the work:

    claim = enroll(source, twins, references, pool, start="same")   models that answer: functions, arrays, networks
    digest = claim.save("claim")                  publish the digest before any dispute
    evidence = verify(claim, suspect)             a function, or what `birthmark.suspects` opens: files, ONNX, URLs
    print(evidence.verdict, evidence.reason)      p = rank of the source among its placebos

Who has a recipe in place of twins: `train_and_enroll(Owner(...), Kinship())`.

Names are loaded when they are first used, so that importing birthmark does not import torch.
"""

from importlib import import_module
from sys import modules
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from birthmark.attack import Attack as Attack
    from birthmark.claim import Claim as Claim
    from birthmark.claim import Scores as Scores
    from birthmark.claim import Task as Task
    from birthmark.enrolment import Also as Also
    from birthmark.enrolment import enroll as enroll
    from birthmark.errors import BirthmarkError as BirthmarkError
    from birthmark.evidence import Evidence as Evidence
    from birthmark.evidence import Verdict as Verdict
    from birthmark.method import Method as Method
    from birthmark.methods.kinship import Kinship as Kinship
    from birthmark.oracle import Function as Function
    from birthmark.oracle import HardLabels as HardLabels
    from birthmark.oracle import Metered as Metered
    from birthmark.oracle import Oracle as Oracle
    from birthmark.oracle import Probabilities as Probabilities
    from birthmark.transcript import Recorded as Recorded
    from birthmark.transcript import Replay as Replay
    from birthmark.types import Access as Access
    from birthmark.types import Answers as Answers
    from birthmark.types import Samples as Samples
    from birthmark.verify import verify as verify
    from birthmark.watermark import Marked as Marked
    from birthmark.watermark import Watermark as Watermark
    from birthmark.workshop.card import Card as Card
    from birthmark.workshop.enroll import train_and_enroll as train_and_enroll
    from birthmark.workshop.owner import Owner as Owner
    from birthmark.workshop.seeds import seed as seed
    from birthmark.workshop.whitebox import Open as Open

_PLACES = {
    "errors": ("BirthmarkError",),
    "types": ("Access", "Answers", "Samples"),
    "oracle": ("Function", "HardLabels", "Metered", "Oracle", "Probabilities", "WhiteBox"),
    "transcript": ("Recorded", "Replay"),
    "workshop.card": ("Card",),
    "claim": ("Claim", "Scores", "Task"),
    "workshop.owner": ("Owner",),
    "workshop.seeds": ("seed",),
    "evidence": ("Evidence", "Verdict"),
    "method": ("Method",),
    "attack": ("Attack",),
    "watermark": ("Marked", "Watermark"),
    "methods.kinship": ("Kinship",),
    "workshop.whitebox": ("Open",),
    "enrolment": ("Also", "enroll"),
    "workshop.enroll": ("train_and_enroll",),
    "verify": ("verify",),
}
_WHERE = {name: place for place, names in _PLACES.items() for name in names}

__all__ = sorted(_WHERE)


class _Package(ModuleType):
    """`birthmark.verify` is a function, though a module of that name exists, too: importing that leaves it one."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _WHERE or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'birthmark' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"birthmark.{_WHERE[name]}"), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
