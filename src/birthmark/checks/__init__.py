"""What every attack, method and watermark must satisfy, for those of this project and for anyone's plug-in.

    import pytest
    from birthmark.checks import conformance, small_owner

    @pytest.mark.parametrize("check", conformance(MyAttack(epochs=1), small_owner()), ids=str)
    def test_my_attack(check):
        check()

A check raises AssertionError with what it expected and what it found. All run on digits, in seconds.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial

from birthmark.attack import Attack
from birthmark.checks.attacks import ATTACK, EXTRACTION
from birthmark.checks.attacks import Breaking as Breaking
from birthmark.checks.common import Check as Check
from birthmark.checks.common import described
from birthmark.checks.methods import METHOD
from birthmark.checks.owner import small_owner as small_owner
from birthmark.checks.watermarks import WATERMARK
from birthmark.claim import Claim
from birthmark.method import Method
from birthmark.types import Access
from birthmark.watermark import Watermark
from birthmark.workshop.owner import Owner


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
