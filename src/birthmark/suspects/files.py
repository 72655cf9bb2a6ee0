"""Suspects in files on this machine: safetensors, torch archives, ONNX, Hugging Face folders; others are refused by
name.
"""

from contextlib import suppress
from importlib import import_module
from pathlib import Path

from birthmark.artifact import LARGEST, digest_of, file_digest
from birthmark.claim import Task
from birthmark.errors import ArtifactError, SettingError
from birthmark.inputs import plain
from birthmark.oracle import Oracle, Wrapper
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.reading import matrix
from birthmark.suspects.writing import encoded
from birthmark.types import Answers, Array, Floats

CONFIG = "config.json"
INDEX = ".safetensors.index.json"  # of weights in several files
SAVE = "save the state dict with safetensors, or export the model as ONNX"
OTHERS = {
    ".pt2": "an exported program, which can run code when opened",
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


NEEDED = {
    ".onnx": ["onnx", "onnxruntime", "birthmark.suspects.onnx"],
    ".safetensors": ["birthmark.workshop.modelfile", "birthmark.workshop.whitebox"],
    "folder": [
        *("birthmark.suspects.folder", "birthmark.suspects.tokenised", "transformers", "tokenizers"),
        *("transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto"),
    ],
}


def refuse_others(path: Path) -> None:
    """Name the kinds of model file that birthmark does not open, and the way on.

    Raises:
        ArtifactError: by the file's ending, in capitals too; larger than any that is read; a device; another folder.
    """
    if not path.is_file() and not (path / CONFIG).is_file():
        raise ArtifactError(f"{path}: neither a model file nor a folder with {CONFIG}; is this a model folder?")
    kind, most = OTHERS.get(path.suffix.lower()), LARGEST // 2 if path.suffix.lower() == ".onnx" else LARGEST
    if path.is_file() and path.stat().st_size > most:
        raise ArtifactError(f"{path}: larger than {most} bytes")
    if kind:
        raise ArtifactError(f"{path}: {kind}; birthmark reads .safetensors, .pt, .pth and .onnx: {SAVE}")


def preload(path: Path) -> None:
    """Import what opening such a file takes, before its process is confined."""
    refuse_others(path)
    kind = path.suffix.lower() if path.is_file() else "folder"
    for name in NEEDED.get(kind, NEEDED[".safetensors"]):
        with suppress(ImportError):  # said when it is needed
            import_module(name)


class Translated(Wrapper):
    """A model on this machine that wants other inputs, or has other classes, than the claim; read as declared."""

    def __init__(self, inner: Oracle, spec: SuspectSpec, task: Task | None) -> None:
        super().__init__(inner)
        self.spec, self.task = spec, task
        self.answers = spec.reading.kind or inner.answers
        self.name = f"{inner.name} ({spec.says()})"
        if spec.reading.scale != 1 and self.answers is Answers.LOGITS:
            raise SettingError(f"{self.name}: expected scale for probabilities, topk or sigmoid, got it for logits")

    def __call__(self, inputs: Array) -> Floats:
        answers = self.inner(plain(encoded(inputs, self.spec.writing)))
        return matrix(answers, self.spec.reading, self.task, self.name)


def translated(model: Oracle, spec: SuspectSpec, task: Task | None) -> Oracle:
    """The model itself, or what asks and reads it as declared."""
    said = spec.reading
    plain = spec.writing.plain and not said.order and said.scale == 1 and said.answers != "log-odds"
    return model if plain else Translated(model, spec, task)


def identity(path: Path) -> dict[str, str]:
    """Where a suspect lies, and the digest of all of it: a file with what belongs to it beside it, or a folder."""
    parts = parts_of(path)
    digests = [file_digest(file) for file in parts]
    if len(parts) > 1 or path.is_dir():
        root = path if path.is_dir() else path.parent
        digests = [digest_of([[str(p.relative_to(root)), d] for p, d in zip(parts, digests, strict=True)])]
    return {"place": f"{path.absolute().parent.name}/{path.name}", "sha256": digests[0]}


def parts_of(path: Path) -> list[Path]:
    """A file and what belongs to it beside it, or all files of a folder."""
    if path.is_dir():
        return [file for file in sorted(path.rglob("*")) if file.is_file()]
    if path.name.endswith(INDEX) or path.suffix.lower() == ".onnx":
        return [path, *_named_in(path)]
    return [file for file in (path, path.with_suffix(".json")) if file.is_file()]


def _named_in(path: Path) -> list[Path]:
    """Files of weights beside a graph or an index that it names."""
    text = path.read_bytes()
    others = [file for file in sorted(path.parent.iterdir()) if file.is_file() and file != path]
    return [file for file in others if file.name.encode("utf-8", "surrogateescape") in text]


def open_here(path: Path, spec: SuspectSpec, task: Task | None) -> Oracle:
    """A suspect from a file or a folder, opened in this process.

    Raises:
        ArtifactError: another kind of file, or one that is not what it says.
        SettingError: something must be declared, or what is declared does not fit.
    """
    if path.suffix.lower() == ".onnx" and task is not None:
        from birthmark.suspects.onnx import open_onnx

        return open_onnx(path, spec, task)
    if path.is_dir() and task is not None:
        from birthmark.suspects.folder import open_folder

        return translated(*open_folder(path, spec, task), task)
    return open_file(path, spec, task)


def open_file(path: Path, spec: SuspectSpec, task: Task | None) -> Oracle:
    """A suspect from a file of weights; grants its weights, if it is asked and answers as the claim's source does.

    Raises:
        ArtifactError: another kind of file, or one that is not what it says.
        SettingError: names of classes; rows have columns.
    """
    refuse_others(path)
    if spec.reading.labels:
        raise SettingError(f"{path}: its rows have columns, not names; declare order")
    from birthmark.workshop.modelfile import load_module
    from birthmark.workshop.whitebox import Open

    reach = spec.transport
    module, head, _ = load_module(
        path,
        architecture=reach.architecture,
        shape=reach.shape,
        classes=reach.classes,
        answers=spec.reading.kind,
        task=task,
    )
    return translated(Open(module, head.answers, path.name), spec, task)
