"""Suspects in files on this machine: safetensors with a head inside, exported programs (.pt2)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from birthmark.errors import OracleError
from birthmark.oracle import Oracle
from birthmark.suspects.programs import open_program
from birthmark.types import Access, Answers, Array, Floats
from birthmark.workshop.modelfile import load_module
from birthmark.workshop.whitebox import Open


class Program(Oracle):
    """An exported program: answers, but grants no weights to train further."""

    access = Access.PROBS

    def __init__(self, module: nn.Module, answers: Answers, name: str) -> None:
        self.module, self.answers, self.name = module, answers, name

    @torch.no_grad()
    def __call__(self, inputs: Array) -> Floats:
        rows = list[torch.Tensor]()
        try:
            for part in torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32)).split(500):
                rows.append(self.module(part).float().reshape(len(part), -1))
        except (RuntimeError, ValueError, AssertionError) as error:
            raise OracleError(
                f"{self.name}: cannot answer inputs of shape {inputs.shape}: {str(error).splitlines()[0]}; export it "
                "with a dynamic batch dimension"
            ) from None
        return torch.cat(rows).double().numpy()


def open_file(path: Path, *, answers: Answers | None = None, **known: Any) -> Oracle:
    """A suspect from a file: .pt2 answers only; safetensors grants its weights too."""
    if path.suffix == ".pt2":
        return Program(open_program(path), answers or Answers.LOGITS, str(path.name))
    module, card, _ = load_module(path, answers=answers, **known)
    return Open(module, card.answers, path.name)
