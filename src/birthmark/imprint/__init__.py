"""Keys in the training targets: copies and students carry the mark, and its placebos are other keys, no twin.

    ring = keyring(inputs, held_out, unmarked_answers, seed=0)      before the marked model exists
    key = ring.client(dated(master, public_value), "imprint")       the master was stamped before that value came
    soft = targets(key, inputs, labels, eps=0.1)                    for any training loop, instead of the labels
    claim = Imprint(eps=0.1, key=key).claim()                       for verify

`birthmark imprint` marks a model that is trained already (`birthmark.imprint.tuning`). See docs/imprint.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from birthmark.imprint.ring import dated as dated
    from birthmark.imprint.ring import keyring as keyring
    from birthmark.imprint.smoothing import mixtures as mixtures
    from birthmark.imprint.smoothing import targets as targets
    from birthmark.imprint.smoothing import tilted as tilted
    from birthmark.watermarks.imprint import Imprint as Imprint
    from birthmark.watermarks.imprint import ImprintLabels as ImprintLabels

_PLACES = {
    "imprint.ring": ("dated", "keyring"),
    "imprint.smoothing": ("mixtures", "targets", "tilted"),
    "watermarks.imprint": ("Imprint", "ImprintLabels"),
}
_WHERE = {name: place for place, names in _PLACES.items() for name in names}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'birthmark.imprint' has no attribute {name!r}")
    return getattr(import_module(f"birthmark.{_WHERE[name]}"), name)
