"""What servers answer and clients ask, in every dialect, at the door and at the gateway."""

import json
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np

from birthmark import suspects
from birthmark.answers import checked
from birthmark.gateway import dialects
from birthmark.gateway.codec import Wire
from birthmark.suspects.description import SuspectSpec, declared
from birthmark.suspects.dialect import Response
from birthmark.suspects.reading import rows
from birthmark.types import Answers
from fuzz.harness import IMAGES, Reader, X, content
from fuzz.mutations import Files

SAID: Mapping[str, dict[str, object]] = {
    "oip": {"outputs": [{"name": "y", "shape": [2, 3], "datatype": "FP32", "data": [0.2, 0.3, 0.5, 0.1, 0.1, 0.8]}]},
    "tfserving": {"predictions": [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]},
    "mlflow": {"predictions": [{"a": 0.2, "b": 0.3, "c": 0.5}, {"a": 0.1, "b": 0.1, "c": 0.8}]},
}
NAMED = [{"label": "a", "score": 0.2}, {"label": "b", "score": 0.3}, {"label": "c", "score": 0.5}]
NAMES = [str(one["label"]) for one in NAMED]
PROBED = SuspectSpec(model="toy", body={"x": "$inputs"})
ABOUT = {"name": "toy", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 16]}], "outputs": [{"name": "y"}]}


def _bodies(name: str) -> list[Files]:
    plain: list[object] = [SAID[name]] if name in SAID else [[[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]]
    if name in ("torchserve", "hf"):
        plain = [NAMED, [NAMED], {"a": 0.2, "b": 0.3, "c": 0.5}] if name == "torchserve" else [NAMED]
    told = [{"probe": json.dumps({**ABOUT, "models": ["m"], "max_batch_size": 4, "extensions": []}).encode()}]
    made: list[Files] = [{"body": json.dumps(value).encode(), "head": b"", **told[0]} for value in plain]
    if name == "oip":
        tensor = {"name": "y", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}}
        head = json.dumps({"outputs": [tensor]}).encode()
        made.append({"body": head + np.full(6, 1 / 3, "<f4").tobytes(), "head": str(len(head)).encode(), **told[0]})
    return made


@cache
def _declared(name: str) -> tuple[SuspectSpec, ...]:
    """Four ways to declare what a server of this dialect answers."""
    rows_at = "[*]" if name == "generic" else ""
    return tuple(
        declared(SuspectSpec(**said, body={"x": "$inputs"}, rows=rows_at), IMAGES)
        for said in ({}, {"labels": NAMES}, {"answers": "labels"}, {"answers": "topk", "labels": NAMES})
    )


def _read_body(folder: Path, name: str) -> object:
    """An answer as every declaration reads it, and a probe's; the first error is raised at the end."""
    kind, body, head = suspects.dialects()[name], content(folder, "body"), content(folder, "head").decode("latin-1")
    headers = {"inference-header-content-length": head} if head else {}
    first, read = None, 0
    n = 1 if name in ("torchserve", "hf") else 2
    for spec in _declared(name):
        try:
            found = rows(kind(spec, IMAGES).answers(Response(200, headers, body), n, "s"), n, spec.reading, IMAGES, "s")
            checked(found, n, 3, spec.reading.kind or Answers.PROBABILITIES, "s")
            read += 1
        except suspects.BirthmarkError as error:
            first = first or error
    probe = Response(200, {}, content(folder, "probe"))
    kind.probe(lambda path: probe, PROBED, IMAGES)
    if first and not read:
        raise first
    return read


def _messages(name: str) -> list[Files]:
    x = X.tolist()
    asks = {
        "oip": {"inputs": [{"name": "x", "shape": [2, 16], "datatype": "FP32", "data": X.ravel().tolist()}]},
        "tfserving": {"instances": x},
        "mlflow": {"inputs": x},
        "generic": {"inputs": x},
    }
    answers = {**SAID, "generic": {"results": [{"p": [0.2, 0.3, 0.5]}, {"p": [0.1, 0.1, 0.8]}]}}
    return [{"ask": json.dumps(asks[name]).encode(), "answer": json.dumps(answers[name]).encode(), "head": b""}]


def _read_message(folder: Path, name: str) -> object:
    codec = dialects.codec(Wire(name, rows="results[*].p" if name == "generic" else ""), IMAGES)
    head = content(folder, "head").decode("latin-1")
    headers = {"inference-header-content-length": head} if head else {}
    n = len(codec.queries(headers, content(folder, "ask")))
    answer = codec.answer(headers, content(folder, "answer"), n)
    return answer.write(answer.rows)


READERS = (
    *(Reader(f"answers-{n}", partial(_bodies, n), partial(_read_body, name=n)) for n in suspects.dialects()),
    *(Reader(f"gateway-{n}", partial(_messages, n), partial(_read_message, name=n)) for n in dialects.CODECS),
)
