"""Devices by name, and batches that fit the memory there is."""

import numpy as np
import pytest
import torch

from birthmark.errors import SettingError
from birthmark.workshop import devices
from birthmark.workshop.training import outputs


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.DEVICE, "auto")


def test_the_processor_can_be_chosen_and_a_device_that_is_not_there_cannot() -> None:
    devices.use("cpu")
    assert devices.device() == torch.device("cpu")
    for name in ("cuda:99", "gpu", "cuda:", "cpu;rm"):
        with pytest.raises(SettingError, match=r"torch sees \d CUDA devices here|expected a device"):
            devices.use(name)
    assert devices.device() == torch.device("cpu")
    if not torch.cuda.is_available():
        devices.use("auto")
        assert devices.device() == torch.device("cpu")


def test_workers_of_a_pool_take_the_gpus_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for worker, expected in (("0", 0), ("3", 1)):
        monkeypatch.setenv(devices.WORKER, worker)
        assert devices.device() == torch.device("cuda", expected)
    devices.use("cuda:1")
    assert devices.device() == torch.device("cuda:1")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("you can't allocate memory"), MemoryError()]
)
def test_batches_are_halved_when_memory_runs_out_and_nothing_is_asked_twice(error: Exception) -> None:
    sizes = list[int]()

    def ask(part: np.ndarray) -> torch.Tensor:
        if len(part) > 5:
            raise error
        sizes.append(len(part))
        return torch.from_numpy(part)

    inputs = np.arange(23, dtype=np.float32)[:, None]
    rows = torch.cat(devices.in_batches(ask, inputs, 16))
    assert (rows.numpy() == inputs).all()
    assert sizes == [4, 4, 4, 4, 4, 3]


def test_one_input_that_does_not_fit_and_other_errors_are_said() -> None:
    def ask(part: np.ndarray) -> torch.Tensor:
        raise RuntimeError("CUDA out of memory" if part[0, 0] == 0 else "shapes cannot be multiplied")

    inputs = np.arange(4, dtype=np.float32)[:, None]
    for first, said in ((0, "out of memory"), (1, "cannot be multiplied")):
        with pytest.raises(RuntimeError, match=said):
            devices.in_batches(ask, inputs[first:], 2)


def test_large_inputs_are_asked_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = list[int]()

    class Seen(torch.nn.Flatten):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x))
            return super().forward(x)

    monkeypatch.setattr(devices, "FED", 4 * 100)
    rows = outputs(Seen(), np.ones((25, 10), dtype=np.float32))
    assert rows.shape == (25, 10)
    assert sizes == [10, 10, 5]
