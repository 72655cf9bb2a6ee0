"""Files of models, cards, and data: safetensors, ONNX, Hugging Face folders, arrays, pictures."""

import json
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from birthmark import data, suspects
from birthmark.artifact import canonical
from birthmark.suspects import sandbox
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.files import open_file
from birthmark.suspects.folder import _inspected, _preprocessing
from birthmark.suspects.onnx import inspect
from birthmark.workshop import architectures
from birthmark.workshop.card import Card, as_card
from birthmark.workshop.modelfile import ModelHead, save_model
from fuzz import forks, packing
from fuzz.harness import IMAGES, Reader, X, written
from fuzz.mutations import Files

FEW = 20  # pictures of a folder


def _model(place: Path, recipe: str = "mlp:width=4") -> None:
    about = {"card": {"kind": "trained", "data": {"name": "digits"}, "split": "owner", "recipe": recipe, "start": 1}}
    head = ModelHead(recipe, (1, 4, 4), 3)
    save_model(place / "m.safetensors", architectures.build(recipe, (1, 4, 4), 3, seed=0), head, about)


def _bare(place: Path) -> None:
    """A state dict from elsewhere, with a head beside it."""
    _model(place)
    head, body = packing.split_tensors((place / "m.safetensors").read_bytes())
    said = json.loads(head)
    beside = json.loads(said.pop("__metadata__")["birthmark"])
    (place / "m.json").write_bytes(canonical(beside))
    (place / "m.safetensors").write_bytes(packing.joined_tensors(json.dumps(said).encode(), body))


def _asked(folder: Path, name: str) -> object:
    """What a suspect in a file answers, opened and asked in its child process."""
    with mock.patch.object(sandbox, "_started", forks.started):
        suspect = suspects.open(folder / name, task=IMAGES)
    try:
        return suspect(X)
    finally:
        suspect.close()  # type: ignore[attr-defined]


def _models() -> list[Files]:
    return written(_model, _bare, partial(_model, recipe="cnn"))


def _read_model(folder: Path) -> object:
    return open_file(folder / "m.safetensors", SuspectSpec(), IMAGES)(X)


def _model_parts(files: Files) -> Files:
    head, body = packing.split_tensors(files["m.safetensors"])
    said = json.loads(head)
    about = said.pop("__metadata__", {}).get("birthmark")
    parts = {**files, "head.json": json.dumps(said).encode(), "body": body}
    del parts["m.safetensors"]
    return {**parts, "about.json": about.encode()} if about else parts


def _model_of(parts: Files) -> Files:
    files = {name: blob for name, blob in parts.items() if name not in ("head.json", "about.json", "body")}
    head = parts.get("head.json", b"{}")
    if "about.json" in parts and head[:1] == b"{":
        entry = json.dumps({"birthmark": parts["about.json"].decode("utf-8", "replace")})
        head = b'{"__metadata__":' + entry.encode() + (b"," if len(head) > 2 else b"") + head[1:]
    return {**files, "m.safetensors": packing.joined_tensors(head, parts.get("body", b""))}


def _cards() -> list[Files]:
    given = Card(
        "given", {"name": "d", "sha256": "0" * 64}, "owner", "mlp", start=2**100, settings={"sha256": "0" * 64}
    )
    stolen = Card(
        "stolen", {"name": "d"}, "attacker", "", attack="prune", settings={"amount": 0.5}, parents=("a" * 16,)
    )
    return [{"card.json": canonical(asdict(card))} for card in (given, stolen)]


def _read_card(folder: Path) -> object:
    """A card as a model file's `about` holds it, whose JSON was read before."""
    try:
        said = json.loads((folder / "card.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return as_card(said).key if isinstance(said, dict) else None


def _graphs() -> list[Files]:
    import onnx

    h, w = onnx.helper, np.random.default_rng(0).random((16, 3), dtype=np.float32)

    def graph(*nodes: Any, outside: bool = False) -> bytes:
        ends = [
            [h.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s)]
            for n, s in (("x", ["n", 1, 4, 4]), ("y", ["n", 3]))
        ]
        weights = onnx.numpy_helper.from_array(w, "w")
        if outside:
            onnx.external_data_helper.set_external_data(weights, "w.bin", 0, w.nbytes)
            weights.ClearField("raw_data")
        made = h.make_graph(
            [h.make_node("Flatten", ["x"], ["f"]), *nodes, h.make_node("MatMul", ["f", "w"], ["y"])],
            "g",
            *ends,
            [weights],
        )
        blob: bytes = h.make_model(made, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()
        return blob

    body = h.make_graph([h.make_node("Identity", ["f"], ["z"])], "b", [], [h.make_tensor_value_info("z", 1, None)])
    branch = h.make_node("If", ["f"], ["u"], then_branch=body, else_branch=body)
    return [{"m.onnx": graph()}, {"m.onnx": graph(branch)}, {"m.onnx": graph(outside=True), "w.bin": w.tobytes()}]


def _read_graph(folder: Path) -> object:
    return inspect(folder / "m.onnx")


def _folders() -> list[Files]:
    before = {"do_resize": True, "size": {"height": 8, "width": 8}, "do_normalize": True, "do_rescale": True}
    before |= {"image_mean": [0.5], "image_std": [0.5], "resample": 2, "rescale_factor": 1 / 255}
    tensors = written(_model)[0]["m.safetensors"]
    return [
        {
            "config.json": b'{"model_type": "vit"}',
            "preprocessor_config.json": canonical(before),
            "model.safetensors": tensors,
        }
    ]


def _read_folder(folder: Path) -> object:
    return _inspected(folder, ""), _preprocessing(folder, 1, SuspectSpec())


def _arrays(place: Path, **arrays: Any) -> None:
    np.savez(place / "d.npz", **arrays)


def _npz() -> list[Files]:
    random = np.random.default_rng(0)
    n, x = 90, random.random((90, 1, 2, 2), dtype=np.float32)
    pixels = random.integers(0, 256, (n, 2, 2), dtype=np.uint8)
    words = np.array(["ab", "c", "d"])[np.arange(n) % 3]
    return written(
        partial(_arrays, inputs=x, targets=np.arange(n) % 3),
        partial(_arrays, inputs=pixels, targets=words, test_inputs=pixels[:9][::-1] ^ 1, test_targets=words[:9]),
        partial(_arrays, inputs=x.reshape(n, 4).astype(np.float64), targets=random.random((n, 2))),
    )


def _picture(i: int, form: str, mode: str = "L") -> bytes:
    pixels = np.random.default_rng(i).integers(0, 256, (4, 4) if mode == "L" else (4, 4, 3), dtype=np.uint8)
    blob = BytesIO()
    Image.fromarray(pixels).save(blob, form)
    return blob.getvalue()


def _pictures() -> list[Files]:
    forms = ("PNG", "BMP", "TIFF", "PPM", "GIF", "TGA", "PNG", "WEBP", "JPEG", "JPEG2000")
    grey = {f"{'ab'[i % 2]}/{i:02d}.{forms[i % 5].lower()}": _picture(i, forms[i % 5]) for i in range(FEW)}
    some = {f"train/{'ab'[i % 2]}/{i:02d}.x": _picture(i, forms[i % 10], "RGB") for i in range(FEW)}
    return [grey, {**some, "val/a/v.png": _picture(90, "PNG", "RGB"), "val/b/v.png": _picture(91, "PNG", "RGB")}]


def _read_data(folder: Path) -> object:
    place = folder / "d.npz"
    return data.load(str(place if place.exists() else folder)).about()


def _read_pictures(folder: Path) -> object:
    with mock.patch.object(data, "LEAST", FEW):  # a picture is read alike among few and many
        return _read_data(folder)


READERS = (
    Reader("model", _models, _read_model, _model_parts, _model_of),
    Reader("card", _cards, _read_card),
    Reader("onnx", _graphs, _read_graph),
    Reader("folder", _folders, _read_folder),
    Reader("npz", _npz, _read_data, packing.members, packing.archive),
    Reader("pictures", _pictures, _read_pictures, packing.chunks, packing.pictures),
)
CHILDREN = (
    Reader("child-model", _models, partial(_asked, name="m.safetensors"), _model_parts, _model_of, child=True),
    Reader("child-onnx", lambda: _graphs()[::2], partial(_asked, name="m.onnx"), child=True),
)
