"""Data-free extraction: a generator invents the queries, so the thief needs no data at all.

Family of DaST, MAZE and DFME (Zhou et al. 2020; Kariyappa et al. 2021; Truong et al. 2021). The generator learns
through the student alone (no gradient of the target is estimated, which costs those papers millions of queries): it
looks for images that the student spreads over all classes, afresh in every round, and every answer is kept and learned
from again. It is the weakest theft here, and usually counts as failed (`Theft.failed`).
"""

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.attack import Attack
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.asking import affordable, ask, labelled, new_student
from birthmark.types import Access, Answers, Array, Floats, Samples
from birthmark.workshop.devices import device
from birthmark.workshop.training import Training, fit, seeded


@dataclass(frozen=True)
class DataFree(Attack):
    """Rounds of: a fresh generator learns from the student and invents a batch, the target answers, the student learns
    from all answers.

    Of the data only the shape of one input is used; inputs are taken to lie in [0, 1].

    Attributes:
        student: architecture by name; "" is vgg for images and mlp for flat inputs.
        queries: inputs to ask.
        round: queries between two trainings of the student.
        steps: of the generator in each round.
        latent: size of the generator's noise.
        labels: learn from the top labels even if the target shows more.
        epochs, rate, batch: of the student's last training, on all answers; between the rounds it trains for
            `round_steps` steps.
    """

    name: ClassVar[str] = "data-free"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Zhou et al. 2020 (DaST); Truong et al. 2021 (DFME)"
    classifier: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {"queries": "[2, inf)", "round": "[2, inf)", "steps": "[0, inf)", "latent": "[1, inf)"}

    student: str = ""
    queries: int = 6000
    round: int = 500
    steps: int = 5
    latent: int = 32
    labels: bool = False
    epochs: int = 10
    rate: float = 6e-3
    batch: int = 64
    round_steps: int = 60

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        kind = Answers.LABELS if self.labels else target.answers
        inputs, answers = np.zeros((0, *data.shape), dtype=np.float32), list[Floats]()
        student: nn.Module | None = None
        last = Training(epochs=self.epochs, rate=self.rate, batch=self.batch)
        for turn in range(-(-self.queries // self.round)):
            fresh = self._queries(data.shape, min(self.round, self.queries - len(inputs)), student, seed + turn)
            if turn and not affordable(target, fresh):
                break
            answers.append(ask(target, fresh, hard=self.labels))
            inputs = np.concatenate([inputs, fresh[: len(answers[-1])]])
            if len(np.unique(np.concatenate(answers).argmax(1))) > 1:
                samples, soft = labelled(inputs, np.concatenate(answers), kind)
                student = student or new_student(self.student, data.shape, answers[0].shape[1], seed=seed)
                epochs = -(-self.round_steps // -(-len(samples) // self.batch))
                how = replace(last, epochs=epochs, rate=self.rate / 6, cycle=False)
                fit(student, samples, how, seed=seed + turn, soft=soft)
        samples, soft = labelled(inputs, np.concatenate(answers), kind)
        student = student or new_student(self.student, data.shape, answers[0].shape[1], seed=seed)
        return fit(student, samples, last, seed=seed, soft=soft)

    def _queries(self, shape: tuple[int, ...], n: int, student: nn.Module | None, seed: int) -> Array:
        """What a fresh generator invents (n, *shape), after learning from the student if there is one."""
        with seeded(seed):
            generator = Dreamer(shape, self.latent).to(device())
            if student is not None:
                self._dream(generator, student)
            with torch.no_grad():
                made: Tensor = generator.train()(torch.randn(max(n, 2), self.latent, device=device()))[:n]
        return made.cpu().numpy().astype(np.float32)

    def _dream(self, generator: nn.Module, student: nn.Module) -> None:
        """Steps of the generator towards images that the student spreads over all classes."""
        optimiser = torch.optim.Adam(generator.parameters(), 3e-4)  # faster, it collapses onto few images
        generator.train()
        student.eval()
        for _ in range(self.steps):
            p = functional.softmax(student(generator(torch.randn(128, self.latent, device=device()))).float(), 1)
            mean = p.mean(0)
            cost = (mean * mean.clamp_min(1e-8).log()).sum()
            optimiser.zero_grad(set_to_none=True)
            cost.backward()
            optimiser.step()
        generator.eval()


class Dreamer(nn.Module):
    """Noise (n, z) to inputs (n, *shape) in [0, 1].

    Images are made coarse first, then refined, so that they are smooth.
    """

    def __init__(self, shape: tuple[int, ...], latent: int, width: int = 32) -> None:
        super().__init__()
        self.shape, self.width = shape, width
        self.small = (-(-shape[1] // 4), -(-shape[2] // 4)) if len(shape) == 3 else ()
        out = width * prod(self.small) if self.small else prod(shape)
        self.body = nn.Sequential(nn.Linear(latent, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, out))
        if self.small:
            self.one = nn.Sequential(
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )
            self.two = nn.Conv2d(width, shape[0], 3, padding=1)
        self.last = nn.BatchNorm2d(shape[0], affine=False) if self.small else nn.BatchNorm1d(prod(shape), affine=False)

    def forward(self, noise: Tensor) -> Tensor:
        x = self.body(noise)
        if self.small:
            x = x.view(-1, self.width, *self.small)
            h, w = self.shape[1:]
            x = self.one(functional.interpolate(x, size=(-(-h // 2), -(-w // 2))))
            x = self.two(functional.interpolate(x, size=(h, w)))
        return torch.sigmoid(2 * self.last(x)).view(-1, *self.shape)
