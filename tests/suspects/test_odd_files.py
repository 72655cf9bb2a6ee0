"""Files that are odd or broken: understood, or one line that says what to do."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from birthmark import suspects
from birthmark.claim import Task
from birthmark.errors import ArtifactError, BirthmarkError, OracleError, SettingError
from birthmark.suspects.description import SuspectSpec
from birthmark.workshop import architectures
from birthmark.workshop.modelfile import ModelHead, save_model
from suspects.test_files import hf_folder  # noqa: F401
from suspects.test_sandbox import X, const, graph, h

TASK = Task((1, 8, 8), 10)


def baked(path: Path, shape: list[int]) -> Path:
    """A symbolic batch, but a Reshape that was traced with one query."""
    w = np.random.default_rng(0).normal(size=(64, 10))
    nodes = [h.make_node("Reshape", ["x", "shape"], ["f"]), h.make_node("MatMul", ["f", "w"], ["y"])]
    return graph(path, nodes, const("shape", shape), const("w", w, np.float32))


@pytest.mark.parametrize("shape", [[1, 64], [1, -1, 64]])
def test_a_batch_of_one_is_asked_one_by_one(shape: list[int], tmp_path: Path) -> None:
    path = baked(tmp_path / "m.onnx", shape)
    with pytest.raises(OracleError, match="declare batch = 1"):
        suspects.open(path, task=TASK, weights=True)(X)
    spec = SuspectSpec(batch=1)
    w = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[1])
    for weights in (False, True):
        if len(shape) == 2:
            answers = suspects.open(path, task=TASK, spec=spec, weights=weights)(X)
            assert np.allclose(answers, X.reshape(7, 64) @ w, atol=1e-5)


def test_a_file_larger_than_any_is_not_read(tmp_path: Path) -> None:
    for name, size in (("m.onnx", (2 << 30) + 1), ("m.safetensors", (4 << 30) + 1)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)  # no bytes on disk
        with pytest.raises(ArtifactError, match="larger than"):
            suspects.open(tmp_path / name, task=TASK)


def folder(source: Path, path: Path, dtype: torch.dtype | None = None, **preprocessor: object) -> Path:
    shutil.copytree(source, path)
    if dtype is not None:
        from transformers import AutoModelForImageClassification

        AutoModelForImageClassification.from_pretrained(source).to(dtype).save_pretrained(path)
    file = path / "preprocessor_config.json"
    kept = {**json.loads(file.read_text()), **preprocessor}
    file.write_text(json.dumps({key: value for key, value in kept.items() if value != "missing"}))
    return path


@pytest.mark.parametrize(("dtype", "name"), [(torch.float16, "F16"), (torch.bfloat16, "BF16")])
def test_half_precision_is_asked_in_single(dtype: torch.dtype, name: str, hf_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    suspect = suspects.open(folder(hf_folder, tmp_path / "half", dtype), task=TASK, weights=True)
    assert f"({name} weights asked as F32)" in suspect.name
    whole = suspects.open(hf_folder, task=TASK, weights=True)
    assert "weights" not in whole.name
    assert np.abs(suspect(X) - whole(X)).max() < 0.05


ODD = {
    "image_mean missing": {"image_mean": "missing"},
    "image_mean null": {"image_mean": None},
    "image_mean text": {"image_mean": "0.5"},
    "image_mean of text": {"image_mean": ["0.5"]},
    "image_mean of lists": {"image_mean": [[0.5]]},
    "image_mean of three": {"image_mean": [0.5, 0.5, 0.5]},
    "image_mean true": {"image_mean": True},
    "image_mean NaN": {"image_mean": [float("nan")]},
    "image_std 0": {"image_std": [0]},
    "image_std below 0": {"image_std": [-0.5]},
    "image_std null": {"image_std": [None]},
    "rescale_factor null": {"rescale_factor": None},
    "rescale_factor text": {"rescale_factor": "1/255"},
    "rescale_factor 0": {"rescale_factor": 0},
    "rescale_factor infinite": {"rescale_factor": float("inf")},
    "size text": {"size": "224"},
    "size a number": {"size": 224},
    "size null": {"size": None},
    "size missing": {"size": "missing"},
    "size an edge": {"size": {"shortest_edge": 32}},
    "height text": {"size": {"height": "32", "width": 32}},
    "height 0": {"size": {"height": 0, "width": 32}},
    "height 1e9": {"size": {"height": 10**9, "width": 32}},
    "height 32.5": {"size": {"height": 32.5, "width": 32}},
    "a crop": {"do_center_crop": True, "crop_size": {"height": 28, "width": 28}},
    "do_resize text": {"do_resize": "yes"},
    "do_normalize a number": {"do_normalize": 1.0},
    "resample Lanczos": {"resample": 1},
    "resample text": {"resample": "bilinear"},
}


@pytest.mark.parametrize("case", ODD)
def test_odd_preprocessing_is_one_line(case: str, hf_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    named = {"a": "size", "height": "size"}.get(case.split()[0], case.split()[0])
    with pytest.raises(SettingError, match=named if named != "image_mean" else "image_mean|channels") as e:
        suspects.open(folder(hf_folder, tmp_path / "odd", **ODD[case]), task=TASK, weights=True)
    assert "preprocessor_config.json" in str(e.value)
    assert str(e.value).isprintable()


def test_preprocessing_that_is_plain_enough(hf_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    want = suspects.open(hf_folder, task=TASK, weights=True)(X)
    same = folder(hf_folder, tmp_path / "number", image_mean=0.4, image_std=0.2)
    assert np.array_equal(suspects.open(same, task=TASK, weights=True)(X), want)
    declared = SuspectSpec(mean=(0.4,), std=(0.2,))
    odd = folder(hf_folder, tmp_path / "odd", image_mean=None, image_std="x")
    assert np.allclose(suspects.open(odd, task=TASK, spec=declared, weights=True)(X), want, atol=1e-6)
    half = folder(hf_folder, tmp_path / "half", rescale_factor=1 / 510, image_mean=[0.2], image_std=[0.1])
    assert np.allclose(suspects.open(half, task=TASK, weights=True)(X), want, atol=1e-5)


@pytest.mark.parametrize("blob", ["[]", "3", "null", '"x"', "[" * 3000, '{"a": ', "\ufeff{}"])
def test_a_config_that_is_none_is_one_line(blob: str, hf_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    for name in ("config.json", "preprocessor_config.json"):
        path = shutil.copytree(hf_folder, tmp_path / name)
        (path / name).write_text(blob)
        with pytest.raises(ArtifactError, match="expected a"):
            suspects.open(path, task=TASK, weights=True)


def test_other_numbers_of_classes_must_be_named(hf_folder: Path) -> None:  # noqa: F811
    with pytest.raises(SettingError, match=r"has 10 classes .d0, d1.*, the claim 9; declare order or labels"):
        suspects.open(hf_folder, task=Task((1, 8, 8), 9), weights=True)
    nine = SuspectSpec(order=tuple(range(1, 10)))
    assert suspects.open(hf_folder, task=Task((1, 8, 8), 9), spec=nine, weights=True)(X).shape == (7, 9)
    far = SuspectSpec(order=tuple(range(2, 11)))
    with pytest.raises(SettingError, match="order names column 10"):
        suspects.open(hf_folder, task=Task((1, 8, 8), 9), spec=far, weights=True)


def written(path: Path, card: object, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    network = architectures.build("mlp", (1, 8, 8), 10, seed=0)
    save_file(tensors or network.state_dict(), path, metadata={"birthmark": json.dumps(card)})
    return path


GOOD = {"architecture": "mlp", "shape": [1, 8, 8], "outputs": 10, "answers": "logits"}
CARDS: dict[str, object] = {
    **{repr(card): card for card in ([], 3, None, "x", True, 1.5, [1, 2])},
    **{
        f"{key}={value!r:.30}": {**GOOD, key: value}
        for key, values in {
            "shape": (
                8,
                None,
                "1x8x8",
                [-1, 8, 8],
                [0],
                [1.5, 8, 8],
                ["1", 8, 8],
                [1, 8, 10**12],
                {},
                [[1, 8, 8]],
                True,
            ),
            "outputs": (-10, 0, 1.5, "10", [10], 10**15, True),
            "architecture": ([], 3, {"a": 1}, True, "nothing", "mlp:", "os:system", "mlp:width", "mlp:breadth=3"),
            "answers": (3, [], "numbers"),
        }.items()
        for value in values
    },
    **{
        name: {**GOOD, "architecture": name}
        for name in (
            *("mlp:width=-5", "mlp:width=60000", "mlp:depth=2000000", "mlp:depth=999", "mlp:width=9999,depth=99"),
            *(
                "mlp:width=" + "9" * 5000,
                "mlp:members=999",
                "mlp:width=²",
                "cnn:width=16384",
                "unet",
                "gan",
                "forecaster",
            ),
        )
    },
}


@pytest.mark.parametrize("case", CARDS)
def test_a_card_that_misstates_is_one_line(case: str, tmp_path: Path) -> None:
    if case == "architecture='mlp:'":
        return  # it is understood
    path = written(tmp_path / "m.safetensors", CARDS[case])
    with pytest.raises(BirthmarkError) as error:
        suspects.open(path, weights=True)
    assert error.value.exit_code == 5
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000


def test_names_that_wrappers_make_are_understood(tmp_path: Path) -> None:
    network = architectures.build("mlp", (1, 8, 8), 10, seed=0)
    save_model(tmp_path / "plain.safetensors", network, ModelHead("mlp", (1, 8, 8), 10))
    want = suspects.open(tmp_path / "plain.safetensors", weights=True)(X)
    for prefix in ("module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."):
        named = {prefix + key: value for key, value in network.state_dict().items()}
        path = written(tmp_path / "m.safetensors", GOOD, named)
        assert np.array_equal(suspects.open(path, weights=True)(X), want)
    odd = {("module." if i else "") + key: value for i, (key, value) in enumerate(network.state_dict().items())}
    path = written(tmp_path / "m.safetensors", GOOD, odd)
    with pytest.raises(ArtifactError, match="do not fit"):
        suspects.open(path, weights=True)


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32])
@pytest.mark.parametrize("scales", [True, False])
def test_quantised_weights_are_refused(kind: torch.dtype, scales: bool, tmp_path: Path) -> None:
    state = architectures.build("mlp", (1, 8, 8), 10, seed=0).state_dict()
    tensors = {key: (value * 127).to(kind) if value.ndim > 1 else value for key, value in state.items()}
    if scales:
        tensors |= {f"{key}_scale": torch.tensor(1 / 127) for key, value in state.items() if value.ndim > 1}
    with pytest.raises(ArtifactError, match=r"its weights are quantised .*float32, or export the model as ONNX"):
        suspects.open(written(tmp_path / "m.safetensors", GOOD, tensors), weights=True)
