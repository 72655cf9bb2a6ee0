"""Where networks are trained and asked: the processor or a GPU, by name; and batches that fit its memory.

The choice is an environment variable, so that a pool's workers inherit it.
"""

import os
import re
from collections.abc import Callable

import torch
from torch import Tensor

from birthmark.errors import SettingError
from birthmark.types import Array

DEVICE, WORKER = "BIRTHMARK_DEVICE", "BIRTHMARK_WORKER"  # the choice; a pool's workers are numbered
FED = 32 << 20  # bytes of inputs in one batch: more makes nothing faster and takes memory


def use(name: str) -> None:
    """Train and ask on "cpu", "cuda", "cuda:1", "mps", or what there is ("auto"), here and in workers.

    Raises:
        SettingError: another name, or a device that is not there.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", name):
        raise SettingError(f"expected a device cpu, cuda, cuda:1, mps or auto, got {name!r}")
    kind, _, number = name.partition(":")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise SettingError(f"{name}: torch sees {torch.cuda.device_count()} CUDA devices here; choose cpu or auto")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise SettingError("mps: torch sees no Apple GPU here; choose cpu or auto")
    os.environ[DEVICE] = name


def device() -> torch.device:
    """Where networks are trained and asked; of several GPUs the workers of a pool take one each, in turns."""
    name = os.environ.get(DEVICE, "auto")
    if name != "auto":
        return torch.device(name)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get(WORKER, "0")) % torch.cuda.device_count())


def has_bf16() -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    kind = device().type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    return kind == "cpu" and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def short_of_memory(error: BaseException | str) -> bool:
    """Whether an error of torch's says that memory ran out, the processor's or a GPU's."""
    return re.search(r"out of memory|can't allocate memory|OutOfMemoryError", str(error)) is not None


def free() -> None:
    """Give back the GPU memory that torch keeps for later, to others on the same GPU."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def in_batches(ask: Callable[[Array], Tensor], inputs: Array, batch: int) -> list[Tensor]:
    """Answers to inputs (n, *d), at most `batch` at a time and half as many whenever memory runs out; none is lost."""
    size = max(1, min(batch, FED // max(1, inputs[:1].nbytes)))
    rows, start = list[Tensor](), 0
    while start < len(inputs):
        try:
            rows.append(ask(inputs[start : start + size]))
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not (isinstance(error, MemoryError) or short_of_memory(error)):
                raise
            size = -(-size // 2)
            free()
        else:
            start += size
    return rows
