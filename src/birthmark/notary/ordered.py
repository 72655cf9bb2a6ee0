"""What runs inside the confined process: a stranger's recipe or architecture, and its answers to the given inputs."""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from birthmark.types import Plain
from birthmark.workshop.code import code_digest, trainer
from birthmark.workshop.modelfile import load_module, tensors_digest
from birthmark.workshop.training import outputs
from birthmark.zoo.make import OWN_SEEDS


def done(head: Plain, blob: bytes) -> tuple[dict[str, object], bytes]:
    """The answer to an order: digest of the code, or a model's digest and its answers, float64."""
    torch.set_num_threads(1)
    os.chdir(str(head["folder"]))
    sys.path.insert(0, str(head["folder"]))
    if head["what"] == "code":
        return {"code": code_digest(*head["names"])}, b""
    module = _trained(head) if head["what"] == "train" else _read(head)
    rows = outputs(module, np.frombuffer(blob, dtype=np.float32).reshape(head["shape"]))
    return {"digest": tensors_digest(module.state_dict()), "shape": list(rows.shape)}, rows.tobytes()


def _trained(head: Plain) -> nn.Module:
    made = trainer(str(head["recipe"]))(int(head["course"]) % OWN_SEEDS, int(head["start"]) % OWN_SEEDS)
    if not isinstance(made, nn.Module):
        raise TypeError(f"the recipe returned {type(made).__name__}, no network")
    return made


def _read(head: Plain) -> nn.Module:
    shape, classes = tuple(head["inputs"]), int(head["classes"])
    return load_module(Path(head["path"]), architecture=str(head["architecture"]), shape=shape, classes=classes)[0]
