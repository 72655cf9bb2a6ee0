"""Every dialect answers what the model answers when asked here."""

from pathlib import Path

import numpy as np
import pytest

from birthmark import suspects
from birthmark.answers import softmax
from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError, UnknownName
from birthmark.suspects.description import SuspectSpec
from suspects.servers import Reply, serving, speaks

TASK = Task((1, 8, 8), 10)
WEIGHTS = np.random.default_rng(0).normal(size=(64, 10))
INPUTS = np.random.default_rng(1).random((37, 1, 8, 8), dtype=np.float32)
LABELS = tuple(f"digit-{i}" for i in range(10))
MINE = "own service"


def predict(x: np.ndarray) -> np.ndarray:
    return softmax(x.reshape(len(x), -1).astype(float) @ WEIGHTS)


@pytest.mark.parametrize("dialect", ["oip", "oip-binary", "tfserving", "mlflow", "torchserve"])
def test_probed_and_answered_alike(dialect: str) -> None:
    named = {"model": "toy"} if dialect.startswith("oip") or dialect == "torchserve" else {}
    with serving(speaks(dialect, predict)) as server:
        suspect = suspects.open(server.url, spec=SuspectSpec(batch=0, **named), task=TASK, authorisation=MINE)
        rows = suspect(INPUTS)
    assert np.abs(rows - predict(INPUTS)).max() < 1e-6
    assert f"({dialect.partition('-')[0]}" in suspect.name
    assert suspect.remarks()[0].startswith("probed: ")
    batch = {"torchserve": 1, "oip-binary": 16}.get(dialect, 100)
    assert (server.posts, suspect.sent) == (-(-37 // batch), 37)
    assert server.busiest <= 2
    assert suspect(INPUTS[:0]).shape == (0, 10)


@pytest.mark.parametrize("path", ["/v2/models/toy/infer", "/v1/models/toy:predict", "/invocations", "/predictions/toy"])
def test_an_endpoint_names_its_dialect(path: str) -> None:
    dialect = {"/v2": "oip", "/v1": "tfserving", "/in": "mlflow", "/pr": "torchserve"}[path[:3]]
    with serving(speaks(dialect, predict)) as server:
        rows = suspects.open(server.url + path, task=TASK, authorisation=MINE)(INPUTS[:5])
    assert np.abs(rows - predict(INPUTS[:5])).max() < 1e-6


def test_hugging_face_takes_pictures_and_answers_names() -> None:
    pixels = np.round(INPUTS[:6] * 255).astype(np.float32) / 255
    with serving(speaks("hf", predict)) as server:
        spec = SuspectSpec(dialect="hf", labels=LABELS)
        rows = suspects.open(server.url, spec=spec, task=TASK, authorisation=MINE)(INPUTS[:6])
        assert np.abs(rows - predict(pixels)).max() < 1e-6
        top = suspects.open(
            server.url,
            spec=SuspectSpec(dialect="hf", labels=LABELS, top=3, answers="topk"),
            task=TASK,
            authorisation=MINE,
        )(INPUTS[:6])
        assert ((top > 0).sum(1) == 3).all()
        with pytest.raises(OracleError, match="3 of 10 classes where probabilities were declared"):
            suspects.open(
                server.url, spec=SuspectSpec(dialect="hf", labels=LABELS, top=3), task=TASK, authorisation=MINE
            )(INPUTS[:1])
        with pytest.raises(OracleError, match="class names such as 'digit-"):
            suspects.open(server.url, spec=SuspectSpec(dialect="hf"), task=TASK, authorisation=MINE)(INPUTS[:1])


def test_one_file_describes_any_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_KEY", "s3cret-value")
    text = (
        'rows = "results[*].scores"\nheaders = {{ X-Api-Key = "env:EXAMPLE_KEY" }}\nurl = '
        '"{url}/classify"\n[body]\nimages = "$inputs"\noptions = {{ n = 1 }}\n'
    )
    with serving(speaks("generic", predict)) as server:
        (tmp_path / "suspect.toml").write_text(text.format(url=server.url))
        suspect = suspects.open(tmp_path / "suspect.toml", task=TASK, authorisation=MINE)
        assert np.abs(suspect(INPUTS) - predict(INPUTS)).max() < 1e-6
        assert "s3cret" not in suspect.name + repr(suspect.remarks())
        with pytest.raises(OracleError, match="probe failed: HTTP 401: no such key None; give --auth"):
            suspects.open(server.url, task=TASK, authorisation=MINE)
        with pytest.raises(SettingError, match=r"/openapi.json lists POST /classify; declare dialect, or describe"):
            suspects.open(
                server.url, task=TASK, authorisation=MINE, spec=SuspectSpec(headers={"X-Api-Key": "env:EXAMPLE_KEY"})
            )
        wrong = SuspectSpec(body={"images": "$inputs"}, headers={"X-Api-Key": "env:EXAMPLE_KEY"}, rows="nothing")
        with pytest.raises(OracleError, match="rows 'nothing' finds nothing"):
            suspects.open(f"{server.url}/classify", spec=wrong, task=TASK, authorisation=MINE)(INPUTS[:2])
    assert suspects.dialects().keys() == {"oip", "tfserving", "mlflow", "torchserve", "hf", "generic"}
    for body, rows, match in (({"x": 1}, "", "one of \\$inputs"), ({"x": "$inputs"}, "a[", "no JMESPath")):
        with pytest.raises(SettingError, match=match):
            suspects.dialects()["generic"](SuspectSpec(body=body, rows=rows), TASK)


def test_tritons_classification_answers_the_top_three() -> None:
    def answer(method, path, headers, body) -> Reply:
        import json

        assert json.loads(body)["outputs"] == [{"name": "p", "parameters": {"classification": 3}}] if body else True
        tops = [f"{row[i]:.6f}:{i}" for row in predict(INPUTS[:4]) for i in np.argsort(-row)[:3]]
        return (
            Reply({"outputs": [{"name": "p", "datatype": "BYTES", "shape": [4, 3], "data": tops}]})
            if body
            else Reply({}, 404)
        )

    spec = SuspectSpec(dialect="oip", model="toy", output_name="p", top=3, answers="topk")
    with serving(answer) as server:
        rows = suspects.open(server.url, spec=spec, task=TASK, authorisation=MINE)(INPUTS[:4])
    truth = predict(INPUTS[:4])
    assert (rows.argmax(1) == truth.argmax(1)).all()
    assert ((rows > 0).sum(1) == 3).all()
    assert np.abs(rows - truth)[rows > 0].max() < 1e-6


def test_labels_by_number_and_another_order() -> None:
    order = np.random.default_rng(2).permutation(10)
    with serving(
        speaks("tfserving", lambda x: predict(x)[:, np.argsort(order)])
    ) as server:  # source class i stands in column order[i]
        rows = suspects.open(server.url, spec=SuspectSpec(order=tuple(map(int, order))), task=TASK, authorisation=MINE)(
            INPUTS
        )
        assert np.abs(rows - predict(INPUTS)).max() < 1e-6
    with serving(speaks("tfserving", lambda x: predict(x).argmax(1))) as server:
        rows = suspects.open(server.url, spec=SuspectSpec(answers="labels"), task=TASK, authorisation=MINE)(INPUTS)
        assert np.array_equal(rows, np.eye(10)[predict(INPUTS).argmax(1)])
        with pytest.raises(OracleError, match="declare answers labels"):
            suspects.open(server.url, task=TASK, authorisation=MINE)(INPUTS)


def test_what_must_be_declared_is_asked_for() -> None:
    with serving(speaks("oip", predict)) as server:
        with pytest.raises(SettingError, match="needs a right to do so"):
            suspects.open(server.url, task=TASK)
        assert not server.requests
        with pytest.raises(SettingError, match="declare model"):
            suspects.open(server.url, task=TASK, authorisation=MINE)
        with pytest.raises(SettingError, match="no model 'other'"):
            suspects.open(server.url, spec=SuspectSpec(model="other"), task=TASK, authorisation=MINE)
        with pytest.raises(SettingError, match=r"wants inputs of shape \[64\], the claim's are \[3, 8, 8\]"):
            suspects.open(server.url, spec=SuspectSpec(model="toy"), task=Task((3, 8, 8), 10), authorisation=MINE)
        with pytest.raises(UnknownName, match="did you mean"):
            suspects.open(server.url, spec=SuspectSpec(dialect="opi"), task=TASK, authorisation=MINE)
        with pytest.raises(SettingError, match="the number of classes must be known"):
            suspects.open(server.url, authorisation=MINE)
        assert server.posts == 0
