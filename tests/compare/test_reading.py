"""Files of every kind, opened in a child process, and what is wrong with them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from birthmark.compare.files import tensors
from birthmark.compare.reading import weights
from birthmark.errors import ArtifactError


@pytest.fixture
def source(made):
    return {name: value.astype(np.float32) for name, value in made.network(1, 1).items()}


def same(found, source, places=6):
    assert list(found) == list(source)
    assert all(np.allclose(value, source[name], atol=10.0**-places) for name, value in found.items())


def test_the_child_hands_out_what_is_in_the_file(tmp_path: Path, source) -> None:
    save_file({**source, "none": np.zeros((0, 3), np.float32), "step": np.array(7)}, tmp_path / "a.safetensors")
    found = weights(tmp_path / "a.safetensors")
    assert found["none"].shape == (0, 3)
    assert found["step"] == 7
    same({name: value for name, value in found.items() if name in source}, source)


def test_wrappers_prefixes_and_half_precision(tmp_path: Path, source) -> None:
    save_file({f"module.{n}": v.astype(np.float16) for n, v in source.items()}, tmp_path / "h.safetensors")
    same(weights(tmp_path / "h.safetensors"), source, places=2)
    save_torch({n: torch.from_numpy(v).bfloat16() for n, v in source.items()}, tmp_path / "b.safetensors")
    found = tensors(tmp_path / "b.safetensors")
    assert found["0.weight"].dtype == np.float32
    same(dict(sorted(found.items())), source, places=1)


def test_state_dicts_of_torch_without_a_pickle_run(tmp_path: Path, source) -> None:
    state = {name: torch.from_numpy(value) for name, value in source.items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "a.pt")
    same(weights(tmp_path / "a.pt"), source)
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    same(weights(tmp_path / "pytorch_model.bin"), source)
    torch.save(torch.nn.Linear(3, 3), tmp_path / "whole.pt")
    for name, blob in (("whole.pt", None), ("junk.pt", b"\x80\x04junk"), ("zip.pth", b"PK\x03\x04junk")):
        if blob:
            (tmp_path / name).write_bytes(blob)
        with pytest.raises(ArtifactError, match=r"not a state dict of tensors alone .*save model\.state_dict"):
            weights(tmp_path / name)


def test_onnx_initialisers_constants_and_gates(tmp_path: Path, source) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(source["1.weight"], "v"))
    lstm = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4)
    graph = helper.make_graph(
        [constant, lstm],
        "g",
        [],
        [],
        initializer=[
            numpy_helper.from_array(source["0.weight"], "0.weight_quantized"),
            numpy_helper.from_array(np.ones((1, 16, 4), np.float32), "w"),
        ],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    found = weights(tmp_path / "m.onnx")
    assert set(found) == {"0.weight", "c", "recurrent.w"}
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "m.onnx").read_bytes()[:-50])
    with pytest.raises(ArtifactError, match="not a whole ONNX file"):
        weights(tmp_path / "cut.onnx")


def test_shards_and_folders(tmp_path: Path, source) -> None:
    halves = list(source.items())
    save_file(dict(halves[:1]), tmp_path / "one.safetensors")
    save_file(dict(halves[1:]), tmp_path / "two.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {n: ("one" if n == "0.weight" else "two") + ".safetensors" for n in source}})
    )
    for place in (tmp_path, index):
        same(weights(place), source)
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"shard two\.safetensors is missing; bring all 2 files"):
        weights(tmp_path)
    for text in ("[", "[1]", '{"weight_map": 3}', "[" * 100_000):
        index.write_text(text)
        with pytest.raises(ArtifactError, match="weight_map of shards"):
            tensors(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match=r"expected model\.safetensors"):
        tensors(tmp_path / "empty")


def test_damaged_files_are_refused(tmp_path: Path, source) -> None:
    save_file(source, tmp_path / "a.safetensors")
    blob = (tmp_path / "a.safetensors").read_bytes()
    fp8 = b'{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
    for name, data, why in (
        ("cut", blob[:-10], "not a whole safetensors file"),
        ("odd", b"\x08" + bytes(7) + b'{"a":3} ', "not a whole safetensors file"),
        ("fp8", len(fp8).to_bytes(8, "little") + fp8 + b"1", "F8_E4M3 are not read; convert them"),
        ("none", b"\x02" + bytes(7) + b"{}", "expected weights, found none"),
        ("short", b"\x02", "not a whole safetensors file"),
    ):
        (tmp_path / f"{name}.safetensors").write_bytes(data)
        with pytest.raises(ArtifactError, match=why):
            tensors(tmp_path / f"{name}.safetensors")
    save_file({"0.weight": np.full((9, 9), np.nan, np.float32)}, tmp_path / "nan.safetensors")
    with pytest.raises(ArtifactError, match="holds NaN"):
        weights(tmp_path / "nan.safetensors")
    with pytest.raises(ArtifactError, match="no such file"):
        weights(tmp_path / "missing.safetensors")
