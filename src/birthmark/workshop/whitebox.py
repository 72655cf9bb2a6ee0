"""A network in memory as an oracle that grants everything: its answers and its weights."""

from collections.abc import Mapping
from hashlib import sha256

import torch
from torch import nn

from birthmark.errors import OracleError
from birthmark.inputs import plain
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

    def identify(self) -> Mapping[str, str]:
        return self.identity or {"sha256": weights_digest(self.module)}

    def __call__(self, inputs: Array) -> Floats:
        try:
            return outputs(self.module, plain(inputs))
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise OracleError(
                f"{self.name}: cannot answer inputs of shape {inputs.shape}: {str(error).splitlines()[0]}"
            ) from None


def weights_digest(module: nn.Module) -> str:
    """SHA-256, in hex, of a network's tensors by name."""
    total = sha256()
    for key, value in sorted(module.state_dict().items()):
        array = value.detach().cpu().contiguous()
        total.update(f"{key} {array.dtype} {tuple(array.shape)} ".encode())
        total.update(array.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
