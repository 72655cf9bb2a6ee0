"""Suspects in safetensors files on this machine; other kinds of file are refused by name."""

from pathlib import Path

from birthmark.errors import ArtifactError
from birthmark.types import Answers
from birthmark.workshop.modelfile import load_module
from birthmark.workshop.whitebox import Open

SAVE = "save the state dict with safetensors, or export the model as ONNX"
OTHERS = {
    ".pt2": "an exported program, which can run code when opened",
    ".pt": "a pickle or a TorchScript archive, which can run code when opened",
    ".pth": "a pickle, which can run code when opened",
    ".bin": "a pickle, which can run code when opened",
    ".ckpt": "a pickle, which can run code when opened",
    ".pkl": "a pickle, which can run code when opened",
    ".joblib": "a pickle, which can run code when opened",
    ".h5": "a Keras file",
    ".hdf5": "a Keras file",
    ".keras": "a Keras file",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TensorFlow Lite file",
    ".mlmodel": "a Core ML file",
    ".mlpackage": "a Core ML file",
    ".gguf": "a GGUF file",
    ".ort": "an optimised ONNX Runtime file",
    ".engine": "a TensorRT engine",
}


def refuse_others(path: Path) -> None:
    """Name the kinds of model file that birthmark does not open, and the way on.

    Raises:
        ArtifactError: by the file's ending, in capitals too.
    """
    kind = OTHERS.get(path.suffix.lower())
    if kind:
        raise ArtifactError(f"{path}: {kind}; birthmark reads .safetensors and .onnx: {SAVE}")


def open_file(
    path: Path, *, architecture: str = "", shape: tuple[int, ...] = (), classes: int = 0, answers: Answers | None = None
) -> Open:
    """A suspect from a safetensors file; grants its weights.

    Raises:
        ArtifactError: another kind of file, or one that is not what it says.
    """
    module, head, _ = load_module(path, architecture=architecture, shape=shape, classes=classes, answers=answers)
    return Open(module, head.answers, path.name)
