"""Function-preserving permutation: hidden units of a copy change places, so that weights no longer line up with the
source's.

Answers stay what they were; only tests that compare weights or activations unit by unit notice.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from birthmark.attack import Attack
from birthmark.errors import DataError
from birthmark.oracle import Oracle
from birthmark.theft.weights import copied, layers_in_order
from birthmark.types import Access, Samples
from birthmark.workshop.training import outputs


@dataclass(frozen=True)
class Permute(Attack):
    """Permute the hidden units between every two layers that follow each other directly.

    Which layers do is found by trying: a permutation that changes the copy's answers (a shortcut or a branch reads the
    same units) is taken back. So some layers of residual and branching networks keep their order.

    Attributes:
        tolerance: largest change of any answer that counts as none, relative to the largest answer.
    """

    name: ClassVar[str] = "permute"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Hecht-Nielsen 1990; Lukas et al. 2022"

    tolerance: float = 1e-4

    @torch.no_grad()
    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        if not len(data):
            raise DataError("permute: expected a few inputs to check that answers stay, got none")
        copy, probe = copied(target), data.inputs[:32]
        before = outputs(copy, probe)
        random = np.random.default_rng(seed)
        for chain in neighbours(layers_in_order(copy, probe)):
            units = len(chain[0].weight)  # type: ignore[arg-type]
            state = {key: value.clone() for key, value in copy.state_dict().items()}
            order = torch.from_numpy(random.permutation(units))
            _reorder(chain, order.to(next(copy.parameters()).device))
            if np.abs(outputs(copy, probe) - before).max() > self.tolerance * np.abs(before).max():
                copy.load_state_dict(state)
        return copy.eval()


def neighbours(called: list[nn.Module]) -> list[list[nn.Module]]:
    """[layer, its batch norm if any, the next layer], for layers whose widths fit."""
    found = list[list[nn.Module]]()
    for place, first in enumerate(called):
        rest = called[place + 1 :]
        norms = rest[:1] if rest and isinstance(rest[0], _BatchNorm) else []
        after = rest[len(norms) : len(norms) + 1]
        if (
            isinstance(first, _BatchNorm)
            or not after
            or isinstance(after[0], _BatchNorm)
            or getattr(after[0], "groups", 1) != 1
        ):
            continue
        if after[0].weight.shape[1] % len(first.weight) == 0:  # type: ignore[operator, index, arg-type]
            found.append([first, *norms, after[0]])
    return found


def _reorder(chain: list[nn.Module], order: Tensor) -> None:
    first, *norms, after = chain
    for layer in (first, *norms):
        for value in [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
            if value.ndim:
                value.copy_(value[order].clone())
    weight = after.weight
    assert isinstance(weight, Tensor)
    grouped = weight.view(weight.shape[0], len(order), -1)  # a flattened image has several inputs a channel
    weight.copy_(grouped[:, order].reshape(weight.shape).clone())
