"""Weights as people have them: torch archives, prefixes, half precision, several files, classes of networks."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from birthmark import suspects
from birthmark.claim import Task
from birthmark.errors import ArtifactError, BirthmarkError, SettingError
from birthmark.suspects.description import SuspectSpec
from birthmark.workshop.architectures import build
from birthmark.workshop.modelfile import load_module

TASK = Task((6,), 3)
X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)


@pytest.fixture
def network() -> nn.Module:
    return build("mlp:width=8", TASK.shape, TASK.outputs, seed=0)


class Whole(nn.Sequential):
    """A class of networks without parameters, as people have them."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 3))


class Wide(nn.Linear):
    def __init__(self, wide: int) -> None:
        super().__init__(wide, wide)


def no_network(shape: tuple[int, ...], outputs: int) -> str:
    return "nothing"


def same(path: Path, network: nn.Module, close: float = 0.0) -> None:
    found = load_module(path, architecture="mlp:width=8", task=TASK)[0]
    with torch.no_grad():
        assert torch.allclose(found(torch.from_numpy(X)), network(torch.from_numpy(X)), atol=close)


@pytest.mark.parametrize("ending", ["pt", "pth", "bin", "ckpt"])
@pytest.mark.parametrize(
    "held", [lambda s: s, lambda s: {"epoch": 3, "state_dict": s}, lambda s: {"model": s, "optimizer": {"lr": 1.0}}]
)
def test_torch_archives(
    tmp_path: Path, network: nn.Module, ending: str, held: Callable[[dict[str, torch.Tensor]], object]
) -> None:
    torch.save(held(dict(network.state_dict())), tmp_path / f"m.{ending}")
    same(tmp_path / f"m.{ending}", network)


def test_an_archive_is_asked_in_a_process_of_its_own(tmp_path: Path, network: nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "grün.pt")
    rows = suspects.open(tmp_path / "grün.pt", spec=SuspectSpec(architecture="mlp:width=8"), task=TASK)(X)
    with torch.no_grad():
        assert np.allclose(rows, network(torch.from_numpy(X)), atol=1e-5)


class Harm:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("harmed"),)  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["network", "code", "numbers", "script", "noise", "empty"])
def test_archives_that_are_no_state_dict_are_refused(
    tmp_path: Path, network: nn.Module, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.pt"
    if kind == "script":
        torch.jit.script(nn.Linear(2, 2)).save(str(path))
    elif kind in ("noise", "empty"):
        path.write_bytes(b"noise" * (kind == "noise"))
    else:
        torch.save({"network": network, "code": Harm(), "numbers": {"lr": 1.0}}[kind], path)
    said = "expected a state dict" if kind == "numbers" else "no state dict that can be read without running code"
    with pytest.raises(ArtifactError, match=said) as caught:
        load_module(path, architecture="mlp:width=8", task=TASK)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.module."])
def test_prefixes_are_taken_away(tmp_path: Path, network: nn.Module, prefix: str) -> None:
    torch.save({prefix + key: value for key, value in network.state_dict().items()}, tmp_path / "m.pt")
    same(tmp_path / "m.pt", network)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_asked_in_single(tmp_path: Path, network: nn.Module, kind: torch.dtype) -> None:
    save_file({key: value.to(kind) for key, value in network.state_dict().items()}, tmp_path / "m.safetensors")
    same(tmp_path / "m.safetensors", network, close=0.03)


def test_weights_in_several_files(tmp_path: Path, network: nn.Module) -> None:
    state = list(network.state_dict().items())
    save_file(dict(state[:2]), tmp_path / "m-00001-of-00002.safetensors")
    save_file(dict(state[2:]), tmp_path / "m-00002-of-00002.safetensors")
    files = ["m-00001-of-00002.safetensors"] * 2 + ["m-00002-of-00002.safetensors"] * (len(state) - 2)
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict(zip([key for key, _ in state], files, strict=True))}))
    same(index, network)
    before = suspects.open(index, spec=SuspectSpec(architecture="mlp:width=8"), task=TASK).identify()
    save_file(dict([(state[2][0], state[2][1] + 1), *state[3:]]), tmp_path / files[-1])
    assert suspects.open(index, spec=SuspectSpec(architecture="mlp:width=8"), task=TASK).identify() != before
    (tmp_path / files[0]).unlink()
    with pytest.raises(ArtifactError, match="which is not there"):
        load_module(index, architecture="mlp:width=8", task=TASK)
    index.write_text('{"weight_map": {"a": "../m.safetensors"}}')
    with pytest.raises(ArtifactError, match="expected an index of safetensors files beside it"):
        load_module(index, architecture="mlp:width=8", task=TASK)


def test_a_class_of_networks_is_an_architecture(tmp_path: Path) -> None:
    torch.save(Whole().state_dict(), tmp_path / "m.pt")
    name = f"{__name__}:Whole"
    assert load_module(tmp_path / "m.pt", architecture=name, task=TASK)[1].architecture == name
    for wrong, said in (("Wide", "or a class without parameters"), ("no_network", "expected a network, got str")):
        with pytest.raises((SettingError, BirthmarkError), match=said):
            load_module(tmp_path / "m.pt", architecture=f"{__name__}:{wrong}", task=TASK)
