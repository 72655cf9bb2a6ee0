"""Fingerprint-aware removal in the manner of RemovalNet (Yao et al. 2023, arXiv 2308.12319). A reconstruction.

From few samples, a copy's hidden features are driven away from the source's while its top labels are held: the task
stays, the way of deciding moves. The paper's text was not read; its public code names the settings of the preset.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.attack import Attack
from birthmark.errors import SettingError
from birthmark.oracle import Oracle
from birthmark.theft.weights import copied, fits, last_layer
from birthmark.types import Access, Samples
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

    samples: int = 2000
    iterations: int = 200
    temperature: float = 20.0
    alpha: float = 0.2
    beta: float = 2.0
    gamma: float = 0.3
    rate: float = 2e-3
    batch: int = 64

    def __post_init__(self) -> None:
        if self.samples < 2 or self.iterations < 1 or min(self.alpha, self.beta, self.gamma) < 0:
            raise SettingError(f"expected samples >= 2, iterations >= 1 and weights >= 0, got {self}")

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        copy, source = copied(target), copied(target).eval()
        data = fits(copy, data)[: self.samples]
        if not data.classes:
            raise SettingError(
                "removal: expected a classifier and class labels, got real values; use ftal or regularise"
            )
        seen = dict[str, Tensor]()
        for key, network in (("copy", copy), ("source", source)):
            last_layer(network, data.inputs).register_forward_pre_hook(_keeper(seen, key))

        def away(_: nn.Module, x: Tensor, outputs: Tensor) -> Tensor:
            with torch.no_grad():
                wanted = source(x).float()
            mine, theirs = seen["copy"].float().flatten(1), seen["source"].float().flatten(1)
            aligned = functional.cosine_similarity(mine - mine.mean(0), theirs - theirs.mean(0)).abs().mean()
            held = _divergence(outputs / self.temperature, wanted / self.temperature) * self.temperature**2
            top = functional.one_hot(wanted.argmax(1), wanted.shape[1]).bool()
            below = _divergence(outputs.masked_fill(top, -1e4), wanted.masked_fill(top, -1e4))
            return self.alpha * held + self.beta * aligned - self.gamma * below.clamp(max=3.0)

        epochs = -(-self.iterations // -(-len(data) // self.batch))
        fit(copy, data, Training(epochs=epochs, batch=self.batch, rate=self.rate), seed=seed, penalty=away)
        last_layer(copy, data.inputs)._forward_pre_hooks.clear()
        return copy


def _keeper(seen: dict[str, Tensor], key: str):  # type: ignore[no-untyped-def]
    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[key] = inputs[0]

    return keep


def _divergence(outputs: Tensor, wanted: Tensor) -> Tensor:
    return functional.kl_div(functional.log_softmax(outputs, 1), functional.softmax(wanted, 1), reduction="batchmean")
