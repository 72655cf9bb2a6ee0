"""Servers and descriptions that are odd: understood, or one line that says what to do; never a traceback."""

import base64
import email
import io
import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from birthmark import suspects
from birthmark.claim import Task
from birthmark.errors import BirthmarkError, OracleError, SettingError
from birthmark.oracle import Oracle, Probabilities
from birthmark.suspects import client as http
from birthmark.suspects.client import Client, Failed
from birthmark.suspects.description import SuspectSpec, Transport, declared
from birthmark.suspects.dialect import Request
from birthmark.suspects.reading import rows
from birthmark.suspects.writing import datatype_of

TASK = Task((1, 2, 2), 3)
X = np.random.default_rng(0).random((2, 1, 2, 2), dtype=np.float32)
ROWS = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]
FLAT = [value for row in ROWS for value in row]
Handler = Callable[[httpx2.Request], httpx2.Response]


def network(handle: Handler) -> httpx2.MockTransport:
    """These answers, as a stream."""

    def stream(request: httpx2.Request) -> httpx2.Response:
        answer = handle(request)
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=httpx2.ByteStream(answer.content))

    return httpx2.MockTransport(stream)


def opened(handle: Handler, url: str = "https://host", task: Task = TASK, **said: object) -> Oracle:
    spec = SuspectSpec(rate=0.0, retries=0, **said)
    return suspects.open(url, spec=spec, task=task, authorisation="own", transport=network(handle))


def oip(about: object, answer: object = None, server: object = None) -> Handler:
    """An Open Inference Protocol server that says this of its model, and answers that."""
    default = {"outputs": [{"name": "p", "shape": [2, 3], "datatype": "FP32", "data": FLAT}]}

    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            return httpx2.Response(200, json=default if answer is None else answer)
        if request.url.path == "/v2":
            return httpx2.Response(200, json=server or {"name": "s", "extensions": []})
        return httpx2.Response(200, json=about) if request.url.path == "/v2/models/m" else httpx2.Response(404)

    return handle


def model(**said: object) -> dict[str, object]:
    first = {"name": "x", "datatype": "FP32", "shape": [-1, 1, 2, 2], **said}
    return {"name": "m", "inputs": [first], "outputs": [{"name": "p", "datatype": "FP32", "shape": [-1, 3]}]}


UNDERSTOOD = {
    **{
        f"datatype {kind}": model(datatype=kind)
        for kind in ("BF16", "float32", "TYPE_FP32", "DT_FLOAT", "fp64", "half")
    },
    "a free batch as null": model(shape=[None, 1, 2, 2]),
    "a free batch as 0": model(shape=[0, 1, 2, 2]),
    "flat": model(shape=[None, 4]),
    "no shape": model(shape=[]),
    "inputs null": {**model(), "inputs": None},
    "inputs a number": {**model(), "inputs": 3},
    "inputs of text": {**model(), "inputs": ["x"]},
    "outputs a number": {**model(), "outputs": 7},
    "a nameless input": {**model(), "inputs": [{"datatype": "FP32"}]},
}


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_metadata_that_is_understood(case: str) -> None:
    assert np.allclose(opened(oip(UNDERSTOOD[case]), model="m")(X), ROWS)


MUST_DECLARE = {
    "BYTES": (model(datatype="BYTES"), "made for another task"),
    "unknown": (model(datatype="FP8"), "declare datatype"),
    "a number": (model(datatype=32), "declare datatype"),
    "shape null": (model(shape=None), "declare layout"),
    "shape text": (model(shape="batch"), "declare layout"),
    "shape of text": (model(shape=["batch", 1, 2, 2]), "declare layout"),
    "shape a number": (model(shape=4), "declare layout"),
    "shape of floats": (model(shape=[-1.0, 1, 2, 2]), "declare layout"),
    "shape of lists": (model(shape=[[1], [2]]), "declare layout"),
    "another shape": (model(shape=[-1, 3, 224, 224]), "made for another task"),
    "escape sequences": (model(name="\x1b[31mx"), "one line"),
    "nothing": ([], "no model 'm' there"),
    "a text": ("model", "no model 'm' there"),
}


@pytest.mark.parametrize("case", MUST_DECLARE)
def test_metadata_that_must_be_declared(case: str) -> None:
    about, match = MUST_DECLARE[case]
    with pytest.raises(SettingError, match=match) as error:
        opened(oip(about), model="m")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("shape", [None, "batch", 4, ["batch", 1, 2, 2]])
def test_what_is_declared_comes_before_odd_metadata(shape: object) -> None:
    suspect = opened(oip(model(shape=shape, datatype="FP8")), model="m", layout="nchw", datatype="float32")
    assert np.allclose(suspect(X), ROWS)


def tensor(**said: object) -> dict[str, object]:
    return {"outputs": [{"name": "p", "shape": [2, 3], "datatype": "FP32", "data": FLAT, **said}]}


@pytest.mark.parametrize(
    "answer",
    [
        *(
            tensor(shape=shape)
            for shape in (None, "x", 6, [None, 3], [2, "3"], [-1, 3], [2.0, 3], [10**12, 3], [[2], 3])
        ),
        *(tensor(datatype=kind) for kind in (None, "FP8", 32, [], {})),
        *(tensor(data=data) for data in (None, "x", {}, [None] * 6, ["x"] * 6, [[1], [2, 3]], [10**400] * 6)),
        *(tensor(parameters={"binary_data_size": size}) for size in (24, -24, "24", 2.5, 10**12, [])),
        {"outputs": None},
        {"outputs": 3},
        {"outputs": ["p"]},
        {"outputs": {"p": ROWS}},
        {"outputs": [{"name": "p"}]},
        [],
        "p",
    ],
)
def test_answers_of_odd_tensors_are_one_line(answer: object) -> None:
    with pytest.raises(OracleError) as error:
        opened(oip(model(), answer), model="m")(X)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 700


def test_bf16_travels_in_both_directions() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.method != "POST":
            return oip(model(datatype="BF16"), server={"name": "t", "extensions": ["binary_tensor_data"]})(request)
        cut = int(request.headers["inference-header-content-length"])
        head = json.loads(request.content[:cut])
        assert head["inputs"][0]["datatype"] == "BF16"
        bits = np.frombuffer(request.content[cut:], "<u2").astype("<u4") << 16
        assert np.abs(bits.view("<f4") - X.ravel()).max() < 2**-8
        blob = (np.asarray(ROWS, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
        out = {"name": "p", "shape": [2, 3], "datatype": "BF16", "parameters": {"binary_data_size": len(blob)}}
        text = json.dumps({"outputs": [out]}).encode()
        return httpx2.Response(200, headers={"inference-header-content-length": str(len(text))}, content=text + blob)

    assert np.abs(opened(handle, model="m")(X) - ROWS).max() < 2**-8


@pytest.mark.parametrize("text", ["BYTES", "", "FP8", "float8", "complex64", 32, None, ["FP32"], "object"])
def test_datatypes_that_numbers_have_not(text: object) -> None:
    with pytest.raises(ValueError, match="expected one of BOOL"):
        datatype_of(text)


def predicting(answer: object, status: int = 200, **headers: str) -> Handler:
    return lambda request: (
        httpx2.Response(404) if request.method == "GET" else httpx2.Response(status, json=answer, headers=headers)
    )


TWO = Task((1, 2, 2), 2)


@pytest.mark.parametrize("value", [[0.2, 0.9], [[0.2], [0.9]], [[[0.2]], [[0.9]]]])
def test_one_number_for_two_classes(value: list[object]) -> None:
    said = {"url": "https://host/v1/models/m", "task": TWO}
    answers = Probabilities(opened(predicting({"predictions": value}), answers="sigmoid", **said))(X)
    assert np.allclose(answers, [[0.8, 0.2], [0.1, 0.9]], atol=1e-6)
    percent = np.asarray(value, dtype=float) * 100
    scaled = opened(predicting({"predictions": percent.tolist()}), answers="sigmoid", scale=100, **said)
    assert np.allclose(Probabilities(scaled)(X), answers, atol=1e-6)
    odds = np.log(percent / (100 - percent))
    before = opened(predicting({"predictions": odds.tolist()}), answers="log-odds", **said)
    assert np.allclose(Probabilities(before)(X), answers, atol=1e-6)
    with pytest.raises(OracleError, match="sigmoid if it is the probability of the second of two"):
        opened(predicting({"predictions": value}), **said)(X)


def test_a_background_class_is_left_out() -> None:
    wide = [[0.5, *(v / 2 for v in row)] for row in ROWS]
    for value in (wide, [dict(zip(("none", "a", "b", "c"), row, strict=True)) for row in wide]):
        how = {"order": (1, 2, 3)} if isinstance(value[0], list) else {"labels": ("a", "b", "c")}
        said = declared(SuspectSpec(**how), TASK).reading
        assert np.allclose(rows(value, 2, said, TASK, "s"), ROWS)
        said = declared(SuspectSpec(**how, answers="logits"), TASK).reading
        assert np.allclose(rows(value, 2, said, TASK, "s"), np.asarray(ROWS) / 2)  # logits are not touched
    labels = declared(SuspectSpec(order=(1, 2, 3), answers="labels"), TASK).reading
    assert rows([3, 1], 2, labels, TASK, "s").argmax(1).tolist() == [2, 0]
    with pytest.raises(OracleError, match="answers class 0; order does not name it"):
        rows([3, 0], 2, labels, TASK, "s")
    with pytest.raises(OracleError, match="rows of at least 4 as order says, got 3"):
        rows(ROWS, 2, declared(SuspectSpec(order=(1, 2, 3)), TASK).reading, TASK, "s")


GREY = np.round(X * 255) / 255


def pixels(blob: bytes) -> list[float]:
    return (np.asarray(Image.open(io.BytesIO(blob))).ravel() / 255).tolist()


BODIES = ('[body]\nimage = "$png"\ntop = 3', 'body = "$png"', '[body]\nimage = "data:image/png;base64,$png_base64"')


@pytest.mark.parametrize("body", BODIES)
def test_uploads_as_a_form_a_file_and_a_data_uri(body: str, tmp_path: Path) -> None:
    seen = list[list[float]]()

    def handle(request: httpx2.Request) -> httpx2.Response:
        assert request.url.query == b"api-version=2024-02-01"
        kind = request.headers["content-type"]
        if kind.startswith("multipart/form-data"):
            parts = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + request.content).get_payload()
            named = {part.get_param("name", header="content-disposition"): part for part in parts}
            assert named["top"].get_payload() == "3"
            assert named["image"].get_filename() == "query.png"
            seen.append(pixels(named["image"].get_payload(decode=True)))
        elif kind == "image/png":
            seen.append(pixels(request.content))
        else:
            start, _, text = json.loads(request.content)["image"].partition(",")
            assert start == "data:image/png;base64"
            seen.append(pixels(base64.b64decode(text)))
        return httpx2.Response(200, json={"scores": ROWS[0]})

    file = tmp_path / "s.toml"
    start = 'url = "https://host/classify?api-version=2024-02-01"\ndialect = "generic"\nrows = "scores"\n'
    file.write_text(f"{start}concurrency = 1\n{body}\n")
    suspect = suspects.open(file, task=TASK, authorisation="own", transport=network(handle))
    assert suspect(X).tolist() == [ROWS[0]] * 2
    assert "api-version=2024-02-01" in suspect.name
    assert np.allclose(seen, GREY.reshape(2, -1))
    with pytest.raises(SettingError, match="as one of the form's fields"):
        opened(handle, body={"a": {"image": "$png"}}, dialect="generic")


@pytest.mark.parametrize(
    "query",
    [
        *("key=abc", "api_key=1", "access_token=x", "sig=1", "code=5", "Password=x", "subscription-key=1"),
        *("v=" + "a" * 31, "v=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "v=%00", "v=%1b[31m", "novalue%22"),
    ],
)
def test_queries_that_may_be_secrets_are_refused(query: str) -> None:
    with pytest.raises(SettingError, match="would be written into the evidence") as error:
        Client(f"https://host/x?{query}", Transport())
    assert query not in str(error.value)


def sent(handle: Handler) -> Client:
    return Client("https://host", Transport(rate=0.0, retries=1), network(handle))


@pytest.mark.parametrize(
    "where",
    [
        *(
            "http://[::1",
            "https://[v1.x]/",
            "https://host:99999/",
            "https://host:x/",
            "//",
            "https://",
            "\x00",
            "https://é\x7f",
        ),
        *(
            "ftp://host/",
            "javascript:alert(1)",
            "http://host\n/",
            "https://" + "a" * 70 + "." + "b" * 300,
            "::::",
            "[",
            "?",
        ),
        *("https://other/", "http://host/", "https://host:8443/", "/elsewhere", "x" * 100_000),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_odd_redirects_are_one_line(where: str, method: str) -> None:
    client = sent(lambda request: httpx2.Response(307, headers=[(b"Location", where.encode())]))
    if method == "POST":
        with pytest.raises(Failed) as error:
            client.send(Request("POST", "/x", b"1"))
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 700
    else:
        assert client.get("/x") is None
        assert client.trouble.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "2²",
        "²",
        "٣",
        "-5",
        "1e400",
        "nan",
        "inf",
        "9" * 400,
        "",
        " ",
        "soon",
        "Mon, 99 Foo 2026",
        "Thu, 01 Jan 99999 00:00:00 GMT",
    ],
)
def test_odd_retry_after_waits_not_for_ever(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.random, "uniform", lambda low, high: 0.01)
    with pytest.raises(Failed, match="HTTP 429"):
        sent(lambda request: httpx2.Response(429, headers=[(b"Retry-After", text.encode())])).send(
            Request("POST", "/x")
        )


WRONG = {
    "order": ('[0, "1"]', "[0, 1.0]", "[true]", "[-1]", "[0, 0]", "3", '"012"', "[[0]]", "[1e3]", "{ a = 1 }"),
    "mean": ('["x"]', "[nan]", "[inf]", "0.5", "[true]", '"0.5"', "[[0.5]]", "[1979-05-27]"),
    "std": ("[0]", "[-1]", "[nan]", "[inf]", '["x"]', "[true]"),
    "low": ("nan", "inf", '"0"', "true", "2.0"),
    "high": ("nan", "inf", "-1", "[1]"),
    "scale": ("0", "-1", "nan", "inf", '"100"', "true"),
    "headers": (
        "3",
        "[]",
        "{ a = 1 }",
        '{ a = "é" }',
        '{ "a b" = "x" }',
        '{ a = "x\\ny" }',
        "{ a = { b = 1 } }",
        '{ "" = "" }',
    ),
    "auth": ('"abc"', "3", '"env"', '"ENV:X"', "[]"),
    "auth_header": ('"é"', '"a b"', '""', "3"),
    "auth_prefix": ('"é"', '"a\\n"', "3"),
    "proxy": ('"nonsense"', '"http://"', '"socks9://h"', "3", '"http://h:99999"', '"http://[::1"', '"http://h:x"'),
    "url": (
        '"http://h:99999"',
        '"http://[::1"',
        '"ftp://h"',
        '"http://"',
        "3",
        '"https://u:p@h/"',
        '"https://h/#x"',
        '"http://a b/"',
    ),
    "labels": ('["a", "a"]', "3", "[1.5]", "[[]]", "[true]", '"."', '"nowhere.txt"', '"\\u0000"', '"/dev/null/x"'),
    "batch": ("-1", "1.5", '"1"', "true", "1e9", "99999999999999999999"),
    "timeout": ("0", "-1", "nan", "inf", '"30"', "true"),
    "concurrency": ("0", "1.5", "100000"),
    "rate": ("nan", "inf", '"fast"'),
    "retries": ("-1", "true"),
    "largest": ("-1", "1.5", "99999999999999"),
    "quality": ("0", "101", "95.5"),
    "top": ("-1", "true"),
    "datatype": ('"BYTES"', '"FP8"', "32", '"x"'),
    "layout": ('"NCHW"', '"chw"', "1"),
    "encoding": ('"gif"', "[]"),
    "answers": ('"scores"', "1", '"Labels"'),
    "shape": ('"1x8x8"', "[0]", "[-1]", "[1.0]", "8"),
    "classes": ("-1", "2.5", '"2"'),
    "body": ("1979-05-27", "nan", "{ a = 07:32:00 }", "[inf]"),
    "model": ("3", '"a\\u001b[31m"', "[]"),
    "rows": ("3", "[]"),
    "nonsense": ("1",),
}


@pytest.mark.parametrize("key", WRONG)
def test_values_of_the_wrong_kind_are_one_line(key: str, tmp_path: Path) -> None:
    for value in WRONG[key]:
        (tmp_path / "s.toml").write_text(f"{key} = {value}\n", encoding="utf-8")
        with pytest.raises(SettingError) as error:
            SuspectSpec.read(tmp_path / "s.toml")
        assert str(error.value).isprintable(), value
        assert key in str(error.value) or key in ("labels", "url", "high"), value
        assert len(str(error.value)) < 900


@pytest.mark.parametrize("text", ["[" * 5000, "a = " + "[" * 5000, "a = 1\na = 2", "\x00", "url =", "= 1", "[a\n"])
def test_what_is_no_description_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(SettingError):
        SuspectSpec.read(tmp_path / "s.toml")
    (tmp_path / "s.toml").write_bytes(b"\xff\xfe" + text.encode())
    for path in (tmp_path / "s.toml", tmp_path, tmp_path / "nowhere.toml"):
        with pytest.raises(SettingError, match="not a text file that can be read"):
            SuspectSpec.read(path)


@pytest.mark.parametrize("value", ["é", "a\nb", "", "a\x1bb", "密"])
def test_secrets_that_cannot_be_sent_are_one_line(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD_KEY", value)
    with pytest.raises(SettingError, match="the secret env:ODD_KEY is") as error:
        Client("https://host", Transport(auth="env:ODD_KEY"))
    assert not value or value not in str(error.value)


@pytest.mark.parametrize(
    "url", ["http://h:99999/", "http://[::1/", "http://", "https://h:-1/", "http://[1:2", "gopher://h", "http://h\x00/"]
)
def test_broken_addresses_are_one_line(url: str) -> None:
    with pytest.raises(BirthmarkError) as error:
        suspects.open(url, task=TASK, authorisation="own")
    assert error.value.exit_code == 2
    assert str(error.value).isprintable()


def test_a_range_that_ends_in_infinity_is_said() -> None:
    for said in ({"high": 1e308}, {"std": (1e-300,)}, {"mean": (1e308,)}, {"high": 1e6, "datatype": "FP16"}):
        with pytest.raises(SettingError, match="cannot hold"):
            opened(predicting({"predictions": ROWS}), "https://host/v1/models/m", **said)(X)


def test_more_values_than_asked_for_are_not_parsed() -> None:
    for text in (b"[]," * 200_000, b"0," * 200_000, b'{"a":1},' * 100_000):
        body = b'{"predictions": [' + text + b"0]}"
        answer = lambda request, body=body: httpx2.Response(404 if request.method == "GET" else 200, content=body)  # noqa: E731
        with pytest.raises(OracleError, match="holds more than 100192 values, far more than was asked for"):
            opened(answer, "https://host/v1/models/m")(X)
        with pytest.raises(OracleError, match="expected 2 answers"):
            opened(answer, "https://host/v1/models/m", largest=64 << 20)(X)
