"""A model file is imprinted: what `birthmark imprint` does."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from birthmark import data as datasets
from birthmark.errors import SettingError
from birthmark.imprint.ring import checked
from birthmark.imprint.tuning import Tuning, change, evenly, tuned
from birthmark.marks.keyring import ClientKey
from birthmark.watermarks.imprint import Imprint
from birthmark.workshop.choices import ModelFile
from birthmark.workshop.modelfile import load_module, save_model
from birthmark.workshop.training import accuracy, outputs, probabilities

if TYPE_CHECKING:
    from torch import nn

    from birthmark.workshop.modelfile import ModelHead


@dataclass(frozen=True)
class Files:
    """The source's file, where the imprinted model and its claim go, and the part of the data that it is tuned on."""

    source: ModelFile
    out: Path
    claim: Path
    split: str = "owner"


def imprinted(
    files: Files, parts: datasets.Data, key: ClientKey, how: Tuning, *, eps: float, date: str, seed: int
) -> dict[str, Any]:
    """Tune a copy of the source under the key, write it and its claim; says what it cost.

    Raises:
        SettingError: the keyring was made of another model, or the agreement cannot be kept.
        DataError: the data do not fit the model.
    """
    module, head = _opened(files.source, parts, key)
    ask = outputs if key.ring.task.values else probabilities
    checked(key.ring, ask(module, key.ring.queries))
    mark = Imprint(eps=eps, placebos=len(key.ring.placebos), date=date, key=key)
    found = tuned(module, mark, parts[files.split], how, seed=seed)
    test, even = parts["test"], None
    if parts.classes:
        control = tuned(module, mark, parts[files.split], found.again(how), seed=seed, teach=evenly)
        even = accuracy(control.module, test)
    labels = np.asarray(test.targets, np.int64) if parts.classes else None
    cost = change(ask(module, test.inputs), ask(found.module, test.inputs), labels, values=key.ring.task.values)
    save_model(files.out, found.module, head, {"imprinted": key.secret.fingerprint})
    return {
        "model": str(files.out),
        "claim": str(files.claim),
        "digest": mark.claim().save(files.claim),
        **asdict(replace(cost, z=found.curve[-1].z)),
        "accuracy_even": even,
        "epochs": len(found.curve),
        "curve": [asdict(point) for point in found.curve],
        "date": date,
    }


def _opened(file: ModelFile, parts: datasets.Data, key: ClientKey) -> "tuple[nn.Module, ModelHead]":
    module, head, _ = load_module(
        file.path,
        architecture=file.architecture,
        shape=file.shape or parts.shape,
        classes=file.classes or parts.classes,
    )
    datasets.require(parts, head.shape, head.outputs)
    if (head.shape, head.outputs) != (key.ring.task.shape, key.ring.task.outputs):
        raise SettingError(
            f"this keyring was made of another model: it reads {key.ring.task.shape} and answers "
            f"{key.ring.task.outputs}, {file.path.name} reads {head.shape} and answers {head.outputs}"
        )
    return module, head
