"""Five strangers go from files of their own to a right verdict; what each must write is counted.

Each has a source, 19 twins, four independent models, a copy and an innocent one, all in a framework of their own.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from birthmark import data
from cli.conftest import run
from families import family, member, pool

LINES = 15  # of their own, at most
SECRET = "file:start.txt"


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


CALLABLES = """
import birthmark
from mine import source, twins, references, inputs, innocent
claim = birthmark.enroll(source, twins, references, inputs, start="same")
claim.save("claim")
verdicts = [birthmark.verify(claim, suspect).verdict.value for suspect in (source, innocent)]
"""

ARRAYS = """
import birthmark, numpy as np
from mine import source, twins, references, inputs, innocent
rows = [model(inputs) for model in (source, *twins, *references)]
claim = birthmark.enroll(rows[0], rows[1:20], rows[20:], inputs, start="same")
claim.save("claim")
verdicts = [birthmark.verify(claim, model(claim.queries)).verdict.value for model in (source, innocent)]
"""


@pytest.mark.parametrize("script", [CALLABLES, ARRAYS], ids=["callables", "arrays"])
def test_python(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source, twins, references = family()
    mine = SimpleNamespace(
        source=source, twins=twins, references=references, inputs=pool().inputs, innocent=member(300)
    )
    monkeypatch.setitem(__import__("sys").modules, "mine", mine)
    assert len(lines(script)) <= LINES
    told: dict[str, list[str]] = {}
    exec(script, told)
    assert told["verdicts"] == ["supported", "not supported"]
    assert run("verify", "claim", "--suspect", "mine.onnx")[0] == 5  # the claim serves the command line, too


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ONNX files of another framework, and an array of inputs."""
    graphs = pytest.importorskip("graphs")
    monkeypatch.chdir(tmp_path)
    for name, seed, apart in (("source", 1, 0.6), ("innocent", 300, 0.6)):
        graphs.write(tmp_path / f"{name}.onnx", seed, apart)
    for i in range(19):
        graphs.write(tmp_path / "twins" / f"{i}.onnx", 100 + i)
    for i in range(4):
        graphs.write(tmp_path / "others" / f"{i}.onnx", 200 + i, 0.8)
    np.save("pool.npy", pool().inputs)
    return tmp_path


MODELS = ("--twin", "twins/*.onnx", "--reference", "others/*.onnx", "--pool", "pool.npy", "--same-start")


def test_onnx(exported: Path) -> None:
    assert exported
    code, out, err = run("enroll", "--source", "source.onnx", *MODELS, "--out", "claim")
    assert code == 0, err
    assert "19 placebos reach no p below 0.05" in out
    assert run("verify", "claim", "--suspect", "source.onnx")[0] == 10
    assert run("verify", "claim", "--suspect", "innocent.onnx")[0] == 0


@contextmanager
def served() -> Iterator[str]:
    """An API of the source as people write it, on uvicorn."""
    uvicorn = pytest.importorskip("uvicorn")
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def classify(request: Request) -> JSONResponse:
        rows = member(1)((await request.json())["rows"])
        return JSONResponse({"scores": rows.round(4).tolist()})

    app = Starlette(routes=[Route("/classify", classify, methods=["POST"])])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/classify"
    finally:
        server.should_exit = True
        thread.join()


API = """
url = "{url}"
dialect = "generic"
answers = "probabilities"
rows = "scores"
[body]
rows = "$inputs"
"""


def test_an_api_as_the_source(exported: Path) -> None:
    with served() as url:
        (exported / "api.toml").write_text(API.format(url=url))
        assert len(lines(API)) <= LINES
        mine = ("--i-am-authorised", "our own service")
        enrolling = ("enroll", "--source", "api.toml", *mine, *MODELS, "--out")
        code, out, err = run(*enrolling, "claim")
        assert code == 0, err
        assert "multiples of 0.0001, so that all models are read so" in out
        assert list((exported / "zoo" / "answers").glob("*.jsonl"))
    code, _, err = run(*enrolling, "again")  # the server has gone: a rerun asks nothing twice
    assert code == 0, err
    assert (exported / "again" / "manifest.json").read_bytes() == (exported / "claim" / "manifest.json").read_bytes()
    assert run("verify", "claim", "--suspect", "source.onnx")[0] == 10
    assert run("verify", "claim", "--suspect", "innocent.onnx")[0] == 0


SKLEARN = """
import numpy as np
from functools import partial
from sklearn.neural_network import MLPClassifier
from pathlib import Path
x, y = np.load("x.npy"), np.load("y.npy")
start = int(Path("start.txt").read_text())
def train(seed, part=slice(0, 500)):
    course = np.random.RandomState(np.random.MT19937(seed))
    return MLPClassifier((16,), max_iter=25, random_state=course).fit(x[part], y[part])
source = partial(train, start)
twins = {f"twin{i}": partial(train, start + 1 + i) for i in range(19)}
others = {f"other{i}": partial(train, start + 50 + i, slice(500, 900)) for i in range(5)}
globals().update(twins, **others)
"""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    digits = data.DATASETS["digits"](None).train[:]
    flat, truth = digits.inputs.reshape(len(digits), -1), digits.targets
    np.save("x.npy", flat[:900])
    np.save("y.npy", truth[:900])
    np.savez("pool.npz", inputs=flat[900:], targets=truth[900:])
    Path("start.txt").write_text(str(2**127 + 11))
    Path("owner_of_forests.py").write_text(SKLEARN)
    assert len(lines(SKLEARN)) <= LINES
    twins = [word for i in range(19) for word in ("--twin", f"owner_of_forests:twin{i}")]
    others = [word for i in range(4) for word in ("--reference", f"owner_of_forests:other{i}")]
    start = ("--other-start", "--start", SECRET)
    mine = ("--source", "owner_of_forests:source", *twins, *others, "--pool", "pool.npz", *start)
    code, _, err = run("enroll", *mine, "--out", "claim")
    assert code == 0, err
    assert run("verify", "claim", "--suspect", "owner_of_forests:source")[0] == 10
    assert run("verify", "claim", "--suspect", "owner_of_forests:other4")[0] == 0
    code, out, _ = run("doctor", "owner_of_forests:source", "--shape", "64")
    assert code == 0
    assert "they look like probabilities" in out
