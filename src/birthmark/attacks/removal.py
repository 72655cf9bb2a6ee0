"""Fingerprint-aware removal in the manner of RemovalNet (Yao et al. 2023, arXiv 2308.12319). A reconstruction.

From few samples, a copy's hidden features are driven away from the source's while its top labels are held: the task
stays, the way of deciding moves. The paper's text was not read; its public code names the settings of the preset.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from birthmark.attack import Attack
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.weights import copied, fits, last_layer
from birthmark.types import Access, Array, Samples
from birthmark.workshop.training import Training, fit

PRESETS = {
    "paper": {
        "temperature": 20.0,
        "alpha": 0.2,
        "beta": 2.0,
        "gamma": 0.6,
        "rate": 8e-3,
        "iterations": 1000,
        "samples": 400,
    }
}


@dataclass(frozen=True)
class Removal(Attack):
    """Minimise  alpha KL(source^(1/T), copy^(1/T)) T^2 + CE(copy, labels) + beta |cos(features)| - gamma KL on the
    classes below the top one.

    Attributes:
        samples: how many of the data are used, at most.
        iterations: optimiser steps.
        temperature, alpha: of the distillation that holds the task.
        beta: weight of the alignment between the copy's and the source's features, which is driven to zero.
        gamma: weight of the divergence between what both say of the classes below the top one, which is driven up (to 3
            nats at most).
        rate, batch: of the training loop.
    """

    name: ClassVar[str] = "removal"
    needs: ClassVar[Access] = Access.WEIGHTS
    source_paper: ClassVar[str] = "Yao et al. 2023 (RemovalNet), reconstruction"
    truth: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {
        "samples": "[2, inf)",
        "iterations": "[1, inf)",
        **dict.fromkeys(("alpha", "beta", "gamma"), "[0, inf)"),
    }

    samples: int = 2000
    iterations: int = 200
    temperature: float = 20.0
    alpha: float = 0.2
    beta: float = 2.0
    gamma: float = 0.3
    rate: float = 2e-3
    batch: int = 64

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target, data)
        copy = copied(target)
        source = deepcopy(copy).eval()
        data = fits(copy, data)[: self.samples]
        seen = dict[str, Tensor]()
        hook = _noted(copy, data.inputs, seen, "copy")
        _noted(source, data.inputs, seen, "source")

        def away(_: nn.Module, x: Tensor, outputs: Tensor) -> Tensor:
            with torch.no_grad():
                wanted = source(x).float()
            return self._cost(outputs, wanted, seen["copy"].float().flatten(1), seen["source"].float().flatten(1))

        epochs = -(-self.iterations // -(-len(data) // self.batch))
        fit(copy, data, Training(epochs=epochs, batch=self.batch, rate=self.rate), seed=seed, penalty=away)
        hook.remove()
        return copy

    def _cost(self, outputs: Tensor, wanted: Tensor, mine: Tensor, theirs: Tensor) -> Tensor:
        """What is added to the cross-entropy, from both sides' logits (n, k) and features (n, f)."""
        aligned = functional.cosine_similarity(mine - mine.mean(0), theirs - theirs.mean(0)).abs().mean()
        held = _divergence(outputs / self.temperature, wanted / self.temperature) * self.temperature**2
        top = functional.one_hot(wanted.argmax(1), wanted.shape[1]).bool()
        below = _divergence(outputs.masked_fill(top, -1e4), wanted.masked_fill(top, -1e4))
        return self.alpha * held + self.beta * aligned - self.gamma * below.clamp(max=3.0)


def _noted(network: nn.Module, inputs: Array, seen: dict[str, Tensor], key: str) -> RemovableHandle:
    def keep(_: nn.Module, features: tuple[Tensor, ...]) -> None:
        seen[key] = features[0]

    return last_layer(network, inputs).register_forward_pre_hook(keep)


def _divergence(outputs: Tensor, wanted: Tensor) -> Tensor:
    return functional.kl_div(functional.log_softmax(outputs, 1), functional.softmax(wanted, 1), reduction="batchmean")
