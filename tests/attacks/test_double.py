"""The second student learns from the first alone."""

import numpy as np

from birthmark.attacks.double import Double
from birthmark.oracle import Function
from birthmark.types import Answers, Samples
from birthmark.workshop.training import outputs


def test_two_students_of_two_architectures_ask_once() -> None:
    asked = list[int]()

    def answer(x: np.ndarray) -> np.ndarray:
        asked.append(len(x))
        return np.eye(2)[(x[:, 0] > 0.5).astype(int)]

    inputs = np.random.default_rng(0).random((300, 6)).astype(np.float32)
    data = Samples(inputs, np.zeros(300, np.int64), 2)
    double = Double(student="mlp:width=32", between="mlp", labels=True, epochs=20, least_steps=200)
    model = double.steal(Function(answer, Answers.LABELS), data, seed=0)
    assert sum(asked) == 300
    assert model.__dict__["architecture"] == "mlp:width=32"
    assert (outputs(model, inputs).argmax(1) == (inputs[:, 0] > 0.5)).mean() > 0.85
