"""Models that code of the user's own loads, "module:function": scikit-learn, Keras, anything that Python can ask.

The name stands for a function (inputs -> probabilities or class numbers), an estimator, a network, or a function or a
class without parameters that returns one. It runs in this process, as the user who names it would run it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import isclass, signature

import numpy as np

from birthmark.answers import ENOUGH
from birthmark.asking import Model, oracle_of
from birthmark.claim import Task
from birthmark.errors import BirthmarkError, OracleError, SettingError
from birthmark.inputs import texts
from birthmark.oracle import Oracle, Wrapper
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.files import translated
from birthmark.types import Array, Floats, Form
from birthmark.workshop.code import code_digest, imported


def open_code(name: str, spec: SuspectSpec, task: Task | None) -> Oracle:
    """The model that "module:function" names.

    Raises:
        SettingError: no such code, or something must be declared.
        OracleError: it cannot be made or asked.
    """
    if task is None:
        raise SettingError(f"{name}: the shape of inputs must be known to ask it; give --shape")
    kind = spec.reading.kind or ("values" if task.values else "")
    with _told(name, task):
        found = Asked(
            oracle_of(_made(imported(name)), name, probe(task), outputs=task.outputs, kind=kind, form=task.form), task
        )
    found.identity = {"place": name, "sha256": code_digest(name)}
    return translated(found, spec, task)


@contextmanager
def _told(name: str, task: Task) -> Iterator[None]:
    """Whatever the user's code raises, as one line."""
    try:
        yield
    except BirthmarkError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise OracleError(f"{name}: cannot be made or asked with inputs of shape {task.shape} ({said})") from None


class Asked(Wrapper):
    """What the code made; errors in it are its own."""

    def __init__(self, inner: Oracle, task: Task) -> None:
        super().__init__(inner)
        self.task = task

    @property
    def shows(self) -> str:
        return ""

    def __call__(self, inputs: Array) -> Floats:
        with _told(self.name, self.task):
            return self.inner(inputs)


def _made(found: object) -> Model:
    """What a name stands for: itself, or what a class or a function without parameters returns."""
    if isclass(found) or (callable(found) and not hasattr(found, "predict_proba") and not _takes_inputs(found)):
        found = found()
    return found  # type: ignore[return-value]  # what it is, `oracle_of` finds out


def _takes_inputs(function: object) -> bool:
    """Whether a function must be given something; of builtins nobody knows."""
    try:
        parameters = signature(function).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return True
    return any(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in parameters)


def probe(task: Task) -> Array:
    """Some inputs of a task, to see what a model answers."""
    if task.form is not Form.NUMBERS:
        return texts(["{}" if task.form is Form.RECORDS else "a text"] * ENOUGH)
    return np.random.default_rng(0).random((ENOUGH, *task.shape)).astype(np.float32)
