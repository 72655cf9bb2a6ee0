"""The suspects' network in plain NumPy, so that no server's environment needs torch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np


def load(path: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """Read an mlp's weights from .npz; returns inputs (n, ...) in [0, 1] -> probabilities (n, k), float32."""
    with np.load(path, allow_pickle=False) as file:
        layers = [(file[f"weight{i}"], file[f"bias{i}"]) for i in range(len(file.files) // 2)]

    def predict(inputs: np.ndarray) -> np.ndarray:
        x = np.asarray(inputs, dtype=np.float32).reshape(len(inputs), -1) * 2 - 1
        for weight, bias in layers[:-1]:
            x = np.maximum(x @ weight.T + bias, 0)
        logits = x @ layers[-1][0].T + layers[-1][1]
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)

    return predict
