"""JSON is read in one way alone, and written back as it was."""

import json

import numpy as np
import pytest

from birthmark.claim import Task
from birthmark.errors import OracleError
from birthmark.gateway.codec import Wire, asked, kept
from birthmark.gateway.dialects import codec

TASK = Task((2,), 3)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"x": {"a": 1, "b": {"c": 1, "c": 2}}}',
        b'{"x": ["b", ":", "a"], "a": 1, "a" : 2}',
        '{"a": 1, "a": 2}'.encode("utf-16"),
        b"[1, 2",
    ],
)
def test_a_field_named_twice_is_no_request(body: bytes) -> None:
    with pytest.raises(OracleError):
        asked(body)


@pytest.mark.parametrize(
    "value", [{"a": 1, "b": {"a": 2}}, [{"a": 1}, {"a": 2}], {"a": 'x": y, "a":', "b\n": 1}, [1.5, None, "\u00e9"]]
)
def test_other_json_is_read(value: object) -> None:
    assert asked(json.dumps(value).encode()) == value


def test_long_integers_nan_and_infinity_come_back_as_they_were() -> None:
    body = b'{"id":123456789012345678901234567890,"x":[NaN,Infinity],"p":[0.5]}'
    value, dump = kept(body)
    assert dump(value) == body


@pytest.mark.parametrize("dialect", ["tfserving", "mlflow"])
def test_two_sets_of_queries_are_none(dialect: str) -> None:
    reader = codec(Wire(dialect), TASK)
    np.testing.assert_array_equal(reader.queries({}, b'{"inputs": [[1, 2]]}'), [[1, 2]])
    for body in (b'{"inputs": [[1, 2]], "instances": [[3, 4]]}', b"{}", b"[]"):
        with pytest.raises(OracleError, match="one of"):
            reader.queries({}, body)


def test_near_a_predicting_path() -> None:
    reader = codec(Wire("generic", path="/Predict"), TASK)
    assert reader.predicts("POST", "/Predict")
    assert not reader.predicts("GET", "/Predict")
    assert all(reader.near(path) for path in ("/predict", "/PREDICT/", "/Predict"))
    assert not reader.near("/predictions")


def test_an_answer_that_names_a_tensor_twice_is_not_marked() -> None:
    tensor = {"name": "y", "shape": [1, 3], "datatype": "FP32", "data": [0.2, 0.3, 0.5]}
    body = json.dumps({"outputs": [tensor, tensor]}).encode()
    with pytest.raises(OracleError, match="named twice"):
        codec(Wire("oip"), TASK).answer({}, body, 1)
