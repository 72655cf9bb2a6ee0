"""Texts, records, tokens and named columns travel over HTTP as such servers take them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest

from birthmark import suspects
from birthmark.claim import Task
from birthmark.errors import SettingError
from birthmark.inputs import records, texts
from birthmark.suspects.description import SuspectSpec
from birthmark.types import Form
from suspects.servers import Reply, serving

MINE = "own service"
TEXTS = texts(['grün, "quoted"', "two\nlines", "", "日本"])
RECORDS = records({"age": i, "city": None if i else "Ulm"} for i in range(3))
TOKENS = np.array([[1, 2**24 + 1], [3, 4]])


def rows(values: list[object]) -> list[list[float]]:
    """A row for each query, which says how long its JSON is."""
    return [[1 / (2 + len(json.dumps(v))), 1 - 1 / (2 + len(json.dumps(v)))] for v in values]


def asked(spec: SuspectSpec, inputs: np.ndarray, form: Form, answer: Callable[[str, bytes, Mapping[str, str]], object]):
    """What a suspect answers whose POSTs are answered so; GETs find nothing unless the answer says."""

    def reply(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        found = answer(path, body, headers)
        return Reply({"error": "unknown"}, 404) if found is None else Reply(found)

    with serving(reply) as server:
        task = Task(inputs.shape[1:], 2, form=form)
        return suspects.open(server.url, spec=spec, task=task, authorisation=MINE)(inputs)


FORMS = [(TEXTS, Form.TEXT), (RECORDS, Form.RECORDS), (TOKENS, Form.NUMBERS)]


def values_of(inputs: np.ndarray, form: Form) -> list[object]:
    return [json.loads(text) for text in inputs] if form is Form.RECORDS else inputs.tolist()


@pytest.mark.parametrize(("inputs", "form"), FORMS)
@pytest.mark.parametrize("dialect", ["tfserving", "mlflow", "generic"])
def test_json_has_each_in_its_form(dialect: str, inputs: np.ndarray, form: Form) -> None:
    seen: list[object] = []

    def answer(path: str, body: bytes, headers: Mapping[str, str]) -> object:
        if not body:
            return None
        value = json.loads(body)
        (came,) = value.values()
        seen.extend(came)
        return {"predictions": rows(came)}

    body = {"body": {"items": "$inputs"}, "rows": "predictions"} if dialect == "generic" else {"model": "toy"}
    found = asked(SuspectSpec(dialect=dialect, **body), inputs, form, answer)
    assert seen == values_of(inputs, form)
    assert np.allclose(found, rows(seen))


def test_mlflow_takes_records_as_a_table() -> None:
    keys = []

    def answer(path: str, body: bytes, headers: Mapping[str, str]) -> object:
        keys.append([*json.loads(body)])
        return {"predictions": rows(next(iter(json.loads(body).values())))}

    asked(SuspectSpec(dialect="mlflow"), RECORDS, Form.RECORDS, answer)
    asked(SuspectSpec(dialect="mlflow", columns=["a", "b"]), np.float32([[1, 2]]), Form.NUMBERS, answer)
    assert keys == [["dataframe_records"], ["dataframe_records"]]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("shape", [[-1], [-1, 1]])
def test_open_inference_sends_bytes(binary: bool, shape: list[int]) -> None:
    seen: list[object] = []

    def answer(path: str, body: bytes, headers: Mapping[str, str]) -> object:
        if not body:
            inputs = {"name": "x", "datatype": "BYTES", "shape": shape}
            known = {"/v2": {"extensions": ["binary_tensor_data"] * binary, "name": "s"}}
            return {**known, "/v2/models/toy": {"name": "toy", "inputs": [inputs]}}.get(path)
        cut = int(headers.get("Inference-Header-Content-Length", len(body)))
        tensor = json.loads(body[:cut])["inputs"][0]
        assert (tensor["datatype"], tensor["shape"]) == ("BYTES", [4, *shape[1:]])
        came, rest = tensor.get("data", []), body[cut:]
        while rest:
            size = int.from_bytes(rest[:4], "little")
            came.append(rest[4 : 4 + size].decode())
            rest = rest[4 + size :]
        seen.extend(came)
        data = [v for row in rows(came) for v in row]
        return {"outputs": [{"name": "p", "datatype": "FP64", "shape": [len(came), 2], "data": data}]}

    found = asked(SuspectSpec(model="toy"), TEXTS, Form.TEXT, answer)
    assert seen == TEXTS.tolist()
    assert np.allclose(found, rows(seen))


def test_open_inference_keeps_whole_numbers() -> None:
    def answer(path: str, body: bytes, headers: Mapping[str, str]) -> object:
        tensor = json.loads(body)["inputs"][0]
        assert (tensor["datatype"], tensor["data"]) == ("INT64", TOKENS.ravel().tolist())
        return {"outputs": [{"name": "p", "datatype": "FP32", "shape": [2, 2], "data": [0.5, 0.5, 0.25, 0.75]}]}

    assert asked(SuspectSpec(dialect="oip", model="toy"), TOKENS, Form.NUMBERS, answer).tolist()[1] == [0.25, 0.75]


def test_a_model_of_numbers_is_no_suspect_of_texts() -> None:
    def answer(path: str, body: bytes, headers: Mapping[str, str]) -> object:
        inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
        return {"/v2": {"name": "s", "extensions": []}, "/v2/models/toy": {"inputs": inputs}}.get(path)

    with pytest.raises(SettingError, match=r"input x FP32 \[-1, 4\]: the claim's queries are text"):
        asked(SuspectSpec(model="toy"), TEXTS, Form.TEXT, answer)


def test_hugging_face_takes_texts() -> None:
    def answer(path: str, body: bytes, headers: Mapping[str, str]) -> object:
        text = json.loads(body)["inputs"]
        (row,) = rows([text])
        return [[{"label": "good", "score": row[1]}, {"label": "bad", "score": row[0]}]]

    found = asked(SuspectSpec(dialect="hf", labels=["bad", "good"]), TEXTS, Form.TEXT, answer)
    assert np.allclose(found, rows(TEXTS.tolist()))


def test_a_template_may_be_a_form_or_hold_the_text_inside(tmp_path: Path) -> None:
    def answer(path: str, body: bytes, headers: Mapping[str, str]) -> object:
        said = parse_qs(body.decode(), keep_blank_values=True)
        assert said["mode"] == ["fast"]
        return rows([said["q"][0].removeprefix("Topic of: ")])[0]

    form = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}
    spec = SuspectSpec(dialect="generic", body={"q": "Topic of: $text", "mode": "fast"}, **form)
    assert np.allclose(asked(spec, TEXTS, Form.TEXT, answer), rows(TEXTS.tolist()))
    with pytest.raises(SettingError, match="\\$text is for claims whose queries are texts"):
        asked(spec, np.float32([[1.0]]), Form.NUMBERS, answer)


def test_numbers_get_the_names_of_their_columns() -> None:
    def answer(path: str, body: bytes, headers: Mapping[str, str]) -> object:
        assert json.loads(body)["rows"] == [{"age": 1.0, "height": 2.0}]
        return [[0.5, 0.5]]

    spec = SuspectSpec(dialect="generic", body={"rows": "$inputs"}, columns=["age", "height"])
    asked(spec, np.float32([[1, 2]]), Form.NUMBERS, answer)
    with pytest.raises(SettingError, match="a query of 2 numbers, as columns has"):
        asked(spec, np.float32([[1, 2, 3]]), Form.NUMBERS, answer)
    with pytest.raises(SettingError, match="are for numbers; the claim's queries are texts"):
        asked(spec, TEXTS, Form.TEXT, answer)
