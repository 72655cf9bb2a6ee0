"""Suspects in files give the verdict and scores of the network they were written from."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from birthmark import suspects
from birthmark.claim import Claim, Task
from birthmark.errors import ArtifactError, SettingError
from birthmark.evidence import Verdict
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.files import Translated
from birthmark.types import Access, Answers
from birthmark.verify import verify
from birthmark.workshop.modelfile import ModelHead, save_model
from birthmark.workshop.whitebox import Open


def export(module: nn.Module, path: Path, batch: int | None = None) -> None:
    """Write a digits network as ONNX by torch's exporter."""
    example = torch.rand(batch or 2, 1, 8, 8)
    free = None if batch else ({0: torch.export.Dim("n", min=1, max=10_000)},)
    torch.onnx.export(module, (example,), path, dynamic_shapes=free, dynamo=True, verbose=False)


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_onnx_gives_the_same_verdict_and_scores(
    digits_claim: Claim, stolen: nn.Module, innocent: nn.Module, tmp_path: Path
) -> None:
    for module, verdict in ((stolen, Verdict.SUPPORTED), (innocent, Verdict.NOT_SUPPORTED)):
        export(module, tmp_path / "m.onnx")
        here = verify(digits_claim, Open(module), alpha=0.05)
        suspect = suspects.open(tmp_path / "m.onnx", task=digits_claim.task)
        there = verify(digits_claim, suspect, alpha=0.05)
        assert there.verdict is here.verdict is verdict
        assert there.p_value == here.p_value
        assert abs(there.score - here.score) < 1e-5
        assert suspect.access is Access.PROBS


def linear_onnx(path: Path, *, batch: int | str = "n", outputs: int = 1, channels: int = 1) -> None:
    h = onnx.helper
    shape = [batch, channels, 8, 8]
    weights = onnx.numpy_helper.from_array(
        np.random.default_rng(0).normal(size=(64 * channels, 10)).astype(np.float32), "w"
    )
    nodes = [h.make_node("Flatten", ["x"], ["f"]), h.make_node("MatMul", ["f", "w"], ["y0"])]
    nodes += [h.make_node("Identity", ["y0"], [f"y{i}"]) for i in range(1, outputs)]
    values = [h.make_tensor_value_info(f"y{i}", onnx.TensorProto.FLOAT, [batch, 10]) for i in range(outputs)]
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)], values, [weights])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)


def test_onnx_with_a_fixed_batch_and_several_outputs(tmp_path: Path) -> None:
    task, x = Task((1, 8, 8), 10), np.random.default_rng(1).random((7, 1, 8, 8), dtype=np.float32)
    linear_onnx(tmp_path / "free.onnx")
    linear_onnx(tmp_path / "four.onnx", batch=4)
    rows = suspects.open(tmp_path / "free.onnx", task=task)(x)
    assert np.allclose(suspects.open(tmp_path / "four.onnx", task=task)(x), rows, atol=1e-5)
    linear_onnx(tmp_path / "two.onnx", outputs=2)
    with pytest.raises(SettingError, match="has outputs y0, y1; declare output_name"):
        suspects.open(tmp_path / "two.onnx", task=task)
    assert np.array_equal(suspects.open(tmp_path / "two.onnx", task=task, spec=SuspectSpec(output_name="y1"))(x), rows)
    scaled = suspects.open(
        tmp_path / "free.onnx", task=task, spec=SuspectSpec(high=2.0, order=tuple(range(9, -1, -1)))
    )(x)
    assert np.allclose(scaled[:, ::-1], rows * 2, atol=1e-5)
    linear_onnx(tmp_path / "colour.onnx", channels=3)
    with pytest.raises(SettingError, match="made for another task"):
        suspects.open(tmp_path / "colour.onnx", task=task)
    (tmp_path / "torn.onnx").write_bytes((tmp_path / "free.onnx").read_bytes()[:200])
    with pytest.raises(ArtifactError, match="not an ONNX file"):
        suspects.open(tmp_path / "torn.onnx", task=task)


def test_safetensors_by_the_same_entry(stolen: nn.Module, digits_claim: Claim, tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", stolen, ModelHead("mlp", (1, 8, 8), 10))
    x = digits_claim.queries[:9]
    opened = suspects.open(tmp_path / "m.safetensors", weights=True)
    assert isinstance(opened, Open)
    scaled = suspects.open(tmp_path / "m.safetensors", spec=SuspectSpec(high=0.5), weights=True)
    assert isinstance(scaled, Translated)
    assert scaled.access is Access.PROBS
    assert np.allclose(scaled(x), opened(x / 2), atol=1e-6)
    with pytest.raises(ArtifactError, match="no such file or folder; a remote suspect's address starts with"):
        suspects.open("nowhere.onnx", task=digits_claim.task)
    with pytest.raises(SettingError, match="declare order"):
        suspects.open(tmp_path / "m.safetensors", spec=SuspectSpec(labels=("a", "b")))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("m.pt2", "an exported program"),
        ("M.PT2", "an exported program"),
        ("m.h5", "Keras"),
        ("m.keras", "Keras"),
        ("m.tflite", "TensorFlow Lite"),
        ("m.Gguf", "GGUF"),
    ],
)
def test_other_kinds_of_file_are_named_with_the_way_on(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x00" * 64)
    with pytest.raises(ArtifactError, match=f"{kind}.*safetensors, or export the model as ONNX") as error:
        suspects.open(tmp_path / name, task=Task((1, 8, 8), 10))
    assert error.value.exit_code == 5


def test_endings_in_capitals_are_understood(tmp_path: Path) -> None:
    linear_onnx(tmp_path / "M.ONNX")
    assert suspects.open(tmp_path / "M.ONNX", task=Task((1, 8, 8), 10))(np.zeros((3, 1, 8, 8), np.float32)).shape == (
        3,
        10,
    )


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        num_channels=1,
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        num_labels=10,
        id2label={i: f"d{i}" for i in range(10)},
    )
    folder = tmp_path_factory.mktemp("hf")
    transformers.ResNetForImageClassification(config).eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        '{"do_resize": true, "size": {"height": 32, "width": 32}, "do_normalize": true, "image_mean": [0.4], '
        '"image_std": [0.2], "do_rescale": true, "rescale_factor": 0.00392156862745098}'
    )
    return folder


def test_a_hugging_face_folder_grants_its_weights(hf_folder: Path) -> None:
    import transformers

    task, x = Task((1, 8, 8), 10), np.random.default_rng(1).random((5, 1, 8, 8), dtype=np.float32)
    suspect = suspects.open(hf_folder, task=task, weights=True)
    assert (suspect.access, suspect.answers) == (Access.WEIGHTS, Answers.LOGITS)
    network = transformers.AutoModelForImageClassification.from_pretrained(hf_folder)
    big = nn.functional.interpolate(torch.from_numpy(x), (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        want = network(pixel_values=(big - 0.4) / 0.2).logits.numpy()
    assert np.allclose(suspect(x), want, atol=1e-5)
    assert np.array_equal(suspects.open(hf_folder, task=task)(x), suspect(x))  # in a child
    named = SuspectSpec(labels=tuple(f"d{i}" for i in range(9, -1, -1)))
    swapped = suspects.open(hf_folder, task=task, spec=named, weights=True)(x)
    assert np.allclose(swapped[:, ::-1], want, atol=1e-5)
    inputs = torch.from_numpy(x).requires_grad_()
    assert torch.autograd.grad(suspect.module(inputs).sum(), inputs)[0].abs().sum() > 0


def test_a_folder_that_is_not_to_be_trusted(hf_folder: Path, tmp_path: Path) -> None:
    task = Task((1, 8, 8), 10)
    with pytest.raises(ArtifactError, match="is this a model folder"):
        suspects.open(tmp_path, task=task, weights=True)
    (tmp_path / "config.json").write_text((hf_folder / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ArtifactError, match="pickled weights"):
        suspects.open(tmp_path, task=task, weights=True)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ArtifactError, match="not an image classifier that transformers can read"):
        suspects.open(tmp_path, task=task, weights=True)
    shutil.copy(hf_folder / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text((hf_folder / "config.json").read_text().replace('"depths"', '"was"'))
    with pytest.raises(ArtifactError, match="no whole classifier"):
        suspects.open(tmp_path, task=task, weights=True)
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "code.py"}}')
    with pytest.raises(ArtifactError, match="names code to run"):
        suspects.open(tmp_path, task=task, weights=True)
    with pytest.raises(SettingError, match="wants images of 1 channels"):
        suspects.open(hf_folder, task=Task((3, 8, 8), 10), weights=True)
    with pytest.raises(SettingError, match="has no class 'cat'"):
        suspects.open(
            hf_folder, task=task, weights=True, spec=SuspectSpec(labels=("cat", *(f"d{i}" for i in range(9))))
        )
