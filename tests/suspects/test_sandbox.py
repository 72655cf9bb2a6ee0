"""A stranger's file in its child process: the same answers, and nothing it may do but answer."""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from birthmark import suspects
from birthmark.claim import Task
from birthmark.errors import ArtifactError, BirthmarkError, OracleError
from birthmark.suspects import child, sandbox
from birthmark.suspects.description import SuspectSpec
from birthmark.types import Access, Answers
from birthmark.workshop import architectures
from birthmark.workshop.modelfile import ModelHead, save_model
from suspects.test_files import linear_onnx

TASK = Task((1, 8, 8), 10)
X = np.random.default_rng(1).random((7, 1, 8, 8), dtype=np.float32)
h = onnx.helper


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    linear_onnx(folder / "m.onnx")
    save_model(
        folder / "m.safetensors",
        architectures.build("mlp:width=8", (1, 8, 8), 10, seed=0),
        ModelHead("mlp:width=8", (1, 8, 8), 10),
    )
    return folder


@pytest.mark.parametrize("name", ["m.onnx", "m.safetensors"])
def test_a_child_answers_the_same_bits_and_grants_no_weights(name: str, files: Path) -> None:
    there, here = suspects.open(files / name, task=TASK), suspects.open(files / name, task=TASK, weights=True)
    assert np.array_equal(there(X), here(X))
    assert there(X[:0]).shape[0] == 0
    assert (there.access, there.answers, there.name) == (Access.PROBS, Answers.LOGITS, here.name)
    assert not hasattr(there, "module")


def test_large_inputs_travel_a_few_at_a_time(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MESSAGE", 3 * X[:1].nbytes)
    there, here = (suspects.open(files / "m.safetensors", task=TASK, weights=weights) for weights in (False, True))
    assert isinstance(there, sandbox.Sandboxed)
    ask, sizes = there._asked, list[int]()
    monkeypatch.setattr(there, "_asked", lambda part: sizes.append(len(part)) or ask(part))
    assert np.allclose(there(X), here(X))
    assert sizes == [3, 3, 1]


def graph(path: Path, nodes: list[onnx.NodeProto], *weights: onnx.TensorProto, domains: tuple[str, ...] = ()) -> Path:
    """A file that maps x (n, 1, 8, 8) to y (n, 10)."""
    ends = [
        [h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)]
        for name, shape in (("x", ["n", 1, 8, 8]), ("y", ["n", 10]))
    ]
    made = h.make_graph(nodes, "g", *ends, list(weights))
    onnx.save(
        h.make_model(made, opset_imports=[h.make_opsetid(d, 17 if not d else 1) for d in ("", *domains)], ir_version=8),
        path,
    )
    return path


def const(name: str, value: object, kind: type = np.int64) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.asarray(value, kind), name)


def huge(path: Path) -> Path:
    nodes = [
        h.make_node("ConstantOfShape", ["big"], ["c"]),
        h.make_node("ReduceSum", ["c"], ["s"], keepdims=0),
        h.make_node("Flatten", ["x"], ["f"]),
        h.make_node("Slice", ["f", "zero", "ten", "one"], ["t"]),
        h.make_node("Add", ["t", "s"], ["y"]),
    ]
    return graph(path, nodes, const("big", [10**12]), const("zero", [0]), const("ten", [10]), const("one", [1]))


def endless(path: Path) -> Path:
    value = h.make_tensor_value_info
    body = h.make_graph(
        [h.make_node("Identity", ["go"], ["on"]), h.make_node("Sin", ["v"], ["w"])],
        "b",
        [value("i", onnx.TensorProto.INT64, []), value("go", onnx.TensorProto.BOOL, []), value("v", 1, ["n", 10])],
        [value("on", onnx.TensorProto.BOOL, []), value("w", 1, ["n", 10])],
    )
    nodes = [
        h.make_node("Flatten", ["x"], ["f"]),
        h.make_node("Slice", ["f", "zero", "ten", "one"], ["t"]),
        h.make_node("Loop", ["trips", "yes", "t"], ["y"], body=body),
    ]
    weights = [const("trips", 2**62), const("yes", True, bool)]
    return graph(path, nodes, *weights, const("zero", [0]), const("ten", [10]), const("one", [1]))


def foreign(path: Path, domain: str = "evil.ops", name: str = "Run") -> Path:
    return graph(path, [h.make_node(name, ["x"], ["y"], domain=domain)], domains=(domain,))


def buried(path: Path) -> Path:
    """A foreign operator inside a branch inside a branch."""
    out = [h.make_tensor_value_info("z", 1, None)]
    inner = h.make_graph([h.make_node("Run", ["x"], ["z"], domain="evil.ops")], "i", [], out)
    outer = h.make_graph([h.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)], "o", [], out)
    node = h.make_node("If", ["c"], ["y"], then_branch=outer, else_branch=outer)
    return graph(path, [node], const("c", True, bool), domains=("evil.ops",))


def outside(location: str, **more: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        (path.parent / "near.bin").write_bytes(b"\0" * 2560)
        (path.parent / "link.bin").unlink(missing_ok=True)
        (path.parent / "link.bin").symlink_to("/etc/hostname")
        w = onnx.TensorProto(name="w", data_type=1, dims=[64, 10], data_location=onnx.TensorProto.EXTERNAL)
        for key, value in {"location": location, **more}.items():
            w.external_data.add(key=key, value=value)
        nodes = [h.make_node("Flatten", ["x"], ["f"]), h.make_node("MatMul", ["f", "w"], ["y"])]
        return graph(path, nodes, w)

    return make


BESIDE = "they may only lie in a plain file beside it"
HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a shape of 1e12": (huge, "cannot"),
    "a custom operator": (foreign, "no standard operator"),
    "one that opens files": (lambda p: foreign(p, "com.microsoft", "EPContext"), "no standard operator"),
    "one in a branch": (buried, "no standard operator"),
    "weights above": (outside("../near.bin"), BESIDE),
    "weights anywhere": (outside("/etc/hostname"), BESIDE),
    "weights by a link": (outside("link.bin"), BESIDE),
    "weights in a folder": (outside("sub/near.bin"), BESIDE),
    "weights in our memory": (outside("*/_ORT_MEM_ADDR_/*", offset="4096", length="2560"), BESIDE),
    "weights nowhere": (outside(""), BESIDE),
    "weights beyond the end": (outside("near.bin", offset="9" * 18), "lie outside"),
    "weights before the start": (outside("near.bin", offset="-8"), "lie outside"),
    "weights of no number": (outside("near.bin", length="many"), "lie outside"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_graphs_end_in_one_line(case: str, tmp_path: Path) -> None:
    make, match = HOSTILE[case]
    started = time.monotonic()
    with pytest.raises((ArtifactError, OracleError), match=match) as error:
        suspects.open(make(tmp_path / "m.onnx"), task=TASK)(X)
    assert str(error.value).isprintable()
    assert error.value.exit_code in (4, 5)
    assert time.monotonic() - started < 20


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    assert suspects.open(outside("near.bin")(tmp_path / "m.onnx"), task=TASK)(X).tolist() == [[0.0] * 10] * 7


def test_an_endless_loop_is_killed_at_its_deadline(tmp_path: Path) -> None:
    suspect = suspects.open(endless(tmp_path / "m.onnx"), task=TASK, spec=SuspectSpec(timeout=10))
    suspect.timeout = 0.5
    started = time.monotonic()
    with pytest.raises(OracleError, match="no answer within 2 s; raise timeout"):
        suspect(X[:1])
    assert time.monotonic() - started < 10
    with pytest.raises(OracleError, match="the process that opened it ended"):
        suspect(X[:1])


PROGRAM = """
import os, socket, subprocess
from torch import nn

ATTEMPTS = {attempts!r}

def network(shape, outputs):
    done = []
    for name, attempt in ATTEMPTS.items():
        try:
            exec(attempt)
            done.append(name)
        except PermissionError:
            pass
    raise ValueError(f"done: {{done}}")
"""
ATTEMPTS = {
    "a connection": "socket.create_connection(('127.0.0.1', 9), 1)",
    "a name": "socket.getaddrinfo('example.org', 80)",
    "a program": "subprocess.run(['true'])",
    "a shell": "os.system('true')",
    "a fork": "os.fork() or os._exit(0)",
    "a file": "open({mark!r}, 'w')",
    "a descriptor": "os.open({mark!r}, os.O_CREAT | os.O_WRONLY)",
    "a folder": "os.mkdir({mark!r})",
    "a link": "os.symlink('/etc/hostname', {mark!r})",
    "another name": "os.rename({file!r}, {mark!r})",
    "a removal": "os.remove({file!r})",
    "a signal": "os.kill(os.getppid(), 0)",
    "a secret": "if 'SUSPECT_KEY' not in os.environ: raise PermissionError",
    "reading": "open(os.devnull).read()",  # it may
}
DEADLY = {
    "the end": ("os._exit(0)", "ended .code 0."),
    "a crash": ("import ctypes; ctypes.string_at(0)", "ended .SIGSEGV."),
    "memory": ("import torch; torch.zeros(1 << 36)", "cannot be built .*allocate memory"),
}


def caught(folder: Path, attempts: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The error of code that somebody got to run in the child: here a recipe's module, by the user's own word."""
    (folder / "caught.py").write_text(PROGRAM.format(attempts=attempts))
    monkeypatch.syspath_prepend(folder)
    save_model(folder / "m.safetensors", nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), ModelHead("", (1, 8, 8), 10))
    with pytest.raises(ArtifactError) as error:
        suspects.open(folder / "m.safetensors", task=TASK, spec=SuspectSpec(architecture="caught:network"))
    return str(error.value)


def test_code_in_the_child_reaches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUSPECT_KEY", "abc")
    mark = tmp_path / "it ran"
    attempts = {
        name: code.format(mark=str(mark), file=str(tmp_path / "m.safetensors")) for name, code in ATTEMPTS.items()
    }
    assert "done: ['reading']" in caught(tmp_path, attempts, monkeypatch)
    assert not mark.exists()


NATIVE = {
    "a socket in C": "import ctypes\nif ctypes.CDLL(None).socket(2, 1, 0) < 0: raise PermissionError",
    "a program in C": "import ctypes\nctypes.CDLL(None).execv(b'/bin/true', None)\nraise PermissionError",
    "leaving its group": "import ctypes\nif ctypes.CDLL(None).setsid() < 0: raise PermissionError",
}


def weakened(folder: Path, *guards: str) -> str:
    """The child's script on a system that lacks these guards."""
    script = Path(child.__file__).read_text()
    if child.NAMESPACE in guards:
        script = script.replace("unshare(NEW", "unshare(~NEW")
    if child.CALLS in guards:
        script = script.replace("platform.machine()", "'a processor that nobody knows'")
    (folder / "weak.py").write_text(script)
    return str(folder / "weak.py")


@pytest.mark.skipif(sys.platform != "linux", reason="guards of Linux")
@pytest.mark.parametrize("lacking", [(), (child.NAMESPACE,), (child.CALLS,), (child.NAMESPACE, child.CALLS)])
def test_what_guards_is_said_and_holds(
    lacking: tuple[str, ...], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "CHILD", weakened(tmp_path, *lacking))
    suspect = suspects.open(files / "m.safetensors", task=TASK)
    assert suspect.guards == tuple(g for g in (child.NAMESPACE, child.CALLS) if g not in lacking)
    assert any("cuts no process off the network" in line for line in suspect.remarks()) == (len(lacking) == 2)
    attempts = {name: ATTEMPTS[name] for name in ("a connection", "a name", "a program", "a shell", "a fork")}
    refused = caught(tmp_path, {**attempts, **(NATIVE if child.CALLS not in lacking else {})}, monkeypatch)
    assert "done: []" in refused


@pytest.mark.skipif(sys.platform != "linux", reason="groups of Linux")
def test_what_a_child_forked_dies_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fork = "import ctypes\nif ctypes.CDLL(None).fork() == 0: time.sleep(600)\nraise ValueError(os.getpgid(0))"
    said = caught(tmp_path, {"a fork in C": f"import time\n{fork}"}, monkeypatch)
    group = int(re.findall(r"ValueError: (\d+)", said)[0])
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the forked process lives on")


@pytest.mark.parametrize("case", DEADLY)
def test_a_child_that_dies_is_one_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, match = DEADLY[case]
    assert re.search(match, caught(tmp_path, {case: code}, monkeypatch))


LIES = {
    "noise": b"\xff" * 40,
    "nothing": b"",
    "a huge head": (1 << 31).to_bytes(4, "little") + bytes(8),
    "no JSON": (4).to_bytes(4, "little") + bytes(8) + b"oops",
    "a list": (2).to_bytes(4, "little") + bytes(8) + b"[]",
    "no kind": (2).to_bytes(4, "little") + bytes(8) + b"{}",
}


@pytest.mark.parametrize("case", LIES)
def test_a_child_that_lies_is_no_suspect(
    case: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "liar.py"
    script.write_text(f"import sys\nsys.stdout.buffer.write({LIES[case]!r})\n")
    monkeypatch.setattr(sandbox, "CHILD", str(script))
    with pytest.raises(ArtifactError, match=r"m\.onnx: the process that opened it"):
        suspects.open(files / "m.onnx", task=TASK)


def test_answers_that_do_not_fit_are_refused(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for said in (
        {"shape": [7, 10**9]},
        {"shape": [6, 10]},
        {"shape": [7, -10]},
        {"shape": "x"},
        {},
        {"shape": [7.0, 1]},
    ):
        suspect = suspects.open(files / "m.onnx", task=TASK)
        monkeypatch.setattr(suspect, "_exchange", lambda *a, said=said: (said, b"\0" * 560))
        with pytest.raises(OracleError, match="answers what was not asked"):
            suspect(X)


def test_a_child_dies_with_its_suspect(files: Path) -> None:
    suspect = suspects.open(files / "m.onnx", task=TASK)
    process = suspect._process
    os.kill(process.pid, 0)
    del suspect
    assert process.wait(10) < 0


@pytest.mark.parametrize("blob", [b"", b"\0", b"\x08\x08", b"ONNX" * 99, b"\xff" * 4096])
def test_noise_is_no_model(blob: bytes, tmp_path: Path) -> None:
    for name in ("m.onnx", "m.safetensors"):
        (tmp_path / name).write_bytes(blob)
        with pytest.raises(BirthmarkError) as error:
            suspects.open(tmp_path / name, task=TASK)
        assert error.value.exit_code == 5
        assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_real_sizes_cost_little_more_than_bare_inference(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())
    network = nn.Sequential(network, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    torch.onnx.export(
        network,
        (torch.rand(2, 3, 32, 32),),
        tmp_path / "m.onnx",
        dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
        dynamo=True,
        verbose=False,
    )
    task, x = Task((3, 32, 32), 10), np.random.default_rng(0).random((200, 3, 32, 32), dtype=np.float32)

    def best(**settings: object) -> float:
        suspect, times = suspects.open(tmp_path / "m.onnx", task=task, **settings), []
        for _ in range(4):
            started = time.perf_counter()
            suspect(x)
            times.append(time.perf_counter() - started)
        return min(times)

    assert best() < 1.5 * best(weights=True)  # 1.1 on a quiet machine
