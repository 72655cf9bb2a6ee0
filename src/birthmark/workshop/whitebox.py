"""A network in memory as an oracle that grants everything: its answers and its weights."""

import numpy as np
import torch
from torch import nn

from birthmark.errors import OracleError
from birthmark.oracle import WhiteBox
from birthmark.types import Answers, Array, Floats
from birthmark.workshop.training import outputs


class Open(WhiteBox):
    """A network in memory.

    Raises:
        OracleError: its weights are not finite.
    """

    def __init__(self, module: nn.Module, answers: Answers = Answers.LOGITS, name: str = "model") -> None:
        bad = [
            key
            for key, value in module.state_dict().items()
            if value.is_floating_point() and not torch.isfinite(value).all()
        ]
        if bad:
            raise OracleError(
                f"{name}: expected finite weights, got NaN or infinity in {', '.join(bad[:3])}; the file is damaged "
                "or training diverged"
            )
        self.module = module.eval()
        self.answers = answers
        self.name = name

    def __call__(self, inputs: Array) -> Floats:
        try:
            return outputs(self.module, np.ascontiguousarray(inputs, dtype=np.float32))
        except (RuntimeError, ValueError) as error:
            raise OracleError(
                f"{self.name}: cannot answer inputs of shape {inputs.shape}: {str(error).splitlines()[0]}"
            ) from None
