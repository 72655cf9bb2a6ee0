"""Against DynaMarks and its like: wash a keyed mark out of an API's answers before learning from them.

The thief knows the rule and the code, not the key: the mark moves little probability, never the top class, and depends
smoothly on the input's principal coordinates.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from birthmark.answers import as_labels, is_labels, softmax
from birthmark.oracle import Oracle
from birthmark.settings import Allowed
from birthmark.theft.asking import affordable, ask
from birthmark.theft.parents import Extraction
from birthmark.types import Answers, Array, Floats, Samples
from birthmark.workshop.training import probabilities

WAYS = ("labels", "averaging", "recovery")
PRESETS = {way: {"way": way} for way in WAYS}


@dataclass(frozen=True)
class AdaptiveDynamarks(Extraction):
    """Clean the answers, then train a student on them.

    Attributes:
        way: "labels" drops near-ties and keeps the top class; "averaging" asks about noisy versions of every input and
            averages log-probabilities; "recovery" fits a smooth field to what the answers say beyond a model of the
            thief's own (trained on true labels), and takes it off.
        margin: least gap between the two largest probabilities that is learned from ("labels").
        copies, noise: of "averaging": questions an input, and noise in standard deviations along principal axes.
        waves, frequency: of "recovery": random cosines to fit, and their scale in whitened coordinates.
    """

    name: ClassVar[str] = "adaptive-dynamarks"
    source_paper: ClassVar[str] = "ours"
    against: ClassVar[tuple[str, ...]] = ("dynamarks", "dynamarks-ties", "imprint", "imprint-labels")
    classifier: ClassVar[bool] = True
    allowed: ClassVar[Allowed] = {
        "way": WAYS,
        "margin": "[0, 1)",
        "copies": "[1, inf)",
        "noise": "[0, inf)",
        "waves": "[1, inf)",
    }

    way: str = "labels"
    margin: float = 0.3
    copies: int = 4
    noise: float = 0.5
    waves: int = 300
    frequency: float = 1.0

    def steal(self, target: Oracle, data: Samples, *, seed: int) -> nn.Module:
        self.check(target)
        random, kind = np.random.default_rng(seed), target.answers
        if self.way == "averaging":
            inputs, answers = self._averaged(target, data.inputs, random)
        else:
            answers = ask(target, data.inputs)
            inputs = data.inputs[: len(answers)]
        if self.way == "labels":
            top, kind = np.sort(answers, axis=1), Answers.LABELS
            kept = top[:, -1] - top[:, -2] >= self.margin
            inputs, answers = inputs[kept], as_labels(answers[kept])
        elif self.way == "recovery" and not is_labels(answers):
            own = self.trained(self.fresh(data.shape, answers.shape[1], seed=seed + 1), data, seed=seed + 1)
            answers = self._cleaned(inputs, answers, probabilities(own, inputs), random)
        return self.learned(inputs, answers, kind, seed=seed)

    def _averaged(self, target: Oracle, inputs: Array, random: np.random.Generator) -> tuple[Array, Floats]:
        """Mean log-probabilities over noisy copies of as many inputs as the budget allows; of labels the mean vote."""
        _, axes, spread = principal(inputs)
        n = affordable(target, np.repeat(inputs, self.copies, axis=0)) // self.copies
        if not n:
            rows = ask(target, inputs)
            return inputs[: len(rows)], rows
        steps = random.normal(0, self.noise, (n, self.copies, len(spread))) * spread
        steps[:, 0] = 0
        asked = inputs[:n, None] + (steps @ axes).reshape(n, self.copies, *inputs.shape[1:])
        rows = ask(target, asked.reshape(-1, *inputs.shape[1:]).astype(np.float32))
        whole = len(rows) // self.copies
        grouped = rows[: whole * self.copies].reshape(whole, self.copies, -1)
        averaged = (
            grouped.mean(axis=1) if is_labels(rows) else softmax(np.log(np.maximum(grouped, 0) + 1e-6).mean(axis=1))
        )
        return inputs[:whole], averaged

    def _cleaned(self, inputs: Array, rows: Floats, own: Floats, random: np.random.Generator) -> Floats:
        """Answers less a ridge regression, on random cosines of whitened coordinates, of their gap to the own ones."""
        mean, axes, spread = principal(inputs)
        place = (inputs.reshape(len(inputs), -1) - mean) @ axes.T / spread
        waves = np.cos(
            self.frequency * place @ random.normal(size=(place.shape[1], self.waves))
            + random.uniform(0, 2 * np.pi, self.waves)
        )
        log = np.log(np.maximum(rows, 0) + 1e-4)
        gap = log - np.log(own + 1e-4)
        gap -= gap.mean(axis=1, keepdims=True)
        weights = np.linalg.solve(waves.T @ waves + 0.1 * len(waves) * np.eye(self.waves), waves.T @ gap)
        return softmax(log - waves @ weights)


def principal(inputs: Array, width: int = 16) -> tuple[Floats, Floats, Floats]:
    """Mean (d,), first principal axes (w, d) and the standard deviation along them (w,) of flattened inputs."""
    flat = inputs.reshape(len(inputs), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    _, sizes, axes = np.linalg.svd(flat - mean, full_matrices=False)
    kept = min(width, int((sizes > 1e-6 * max(sizes[0], 1e-12)).sum()))
    return mean, axes[:kept], sizes[:kept] / np.sqrt(len(flat))
