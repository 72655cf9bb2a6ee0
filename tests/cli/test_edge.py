"""How the program ends, whatever happens: one line, the right exit code, never a traceback, never a verdict's code."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from birthmark import __main__
from birthmark.cli import edge, tables
from birthmark.cli.commands import app
from birthmark.errors import ArtifactError, OracleError, SettingError
from birthmark.evidence import Evidence, Verdict
from birthmark.report.pages import tracing
from birthmark.secrets import keep
from birthmark.trace import Suspicion, Trace

ACCIDENTS = (
    ValueError("x"),
    KeyError("x"),
    AssertionError(),
    RecursionError("deep"),
    MemoryError(),
    EOFError(),
    ImportError("no numpy"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    StopIteration(),
    SystemExit(0),
    SystemExit(1),
    SystemExit(10),
    OSError("without a number"),
    GeneratorExit(),
    ExceptionGroup("several", [ValueError("x")]),
)


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*args: object, **named: object) -> None:
        raise error

    return fail


def run(*arguments: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, [str(a) for a in arguments])
    return found.exit_code, found.stdout, found.stderr


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "birthmark"


@pytest.mark.parametrize("error", ACCIDENTS, ids=lambda e: type(e).__name__)
def test_an_accident_is_70_one_line_and_a_file(
    error: BaseException, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "names", failing(error))
    code, out, err = run("list", "methods")
    assert (code, out, err.count("\n")) == (70, "", 1)
    [file] = state.iterdir()
    assert err.startswith("birthmark: a fault of ours, no verdict: ")
    assert str(file) in err
    assert "Traceback" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingError("s"), 2),
        (OracleError("o"), 4),
        (ArtifactError("a"), 5),
        (FileNotFoundError(2, "No such file", "f"), 2),
        (OSError(28, "No space left on device"), 2),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
    ],
    ids=str,
)
def test_what_was_foreseen_has_its_own_code(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "names", failing(error))
    found, out, err = run("list", "methods", "--json")
    assert (found, err.count("\n")) == (code, 1)
    assert json.loads(out)["exit_code"] == code
    assert json.loads(out)["error"] in err


def test_the_file_of_a_fault_holds_no_secret(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep("tk-very-secret-1")
    monkeypatch.setattr(tables, "names", failing(ValueError("key tk-very-secret-1 \x1b]0;x\x07")))
    _, _, err = run("list", "methods")
    [file] = state.iterdir()
    assert "very" not in err + file.read_text()
    assert "\x1b" not in err + file.read_text()


def test_a_fault_is_told_even_if_no_file_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge.tempfile, "mkstemp", failing(OSError(30, "Read-only file system")))
    monkeypatch.setattr(tables, "names", failing(ValueError("x")))
    code, _, err = run("list", "methods")
    assert (code, err.count("\n")) == (70, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nothing",),
        ("nothing",),
        ("list", "--nothing"),
        ("verify",),
        ("verify", "claim"),
        ("verify", "claim", "--suspect", "x", "--alpha", "much"),
        ("enroll", "--source", "a", "--out", "b", "--twins", "1.5"),
        ("enroll", "--source", "a", "--out", "b", "--classes", "-3"),
        ("gateway", "--port", "99999"),
        ("zoo",),
        ("bench", "nothing"),
        ("key", "new", "extra"),
    ],
    ids=" ".join,
)
def test_misuse_is_2(arguments: tuple[str, ...]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert err.startswith("birthmark: ")
    assert err.count("\n") == 1


def test_help_and_version_are_0() -> None:
    from birthmark import __version__

    assert run("--version")[:2] == (0, f"birthmark {__version__}\n")
    assert run("--help")[0] == run("verify", "--help")[0] == 0
    assert "--install-completion" in run("--help")[1]


def process(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "birthmark", *arguments]
    return subprocess.run(command, capture_output="stdout" not in more, text=True, check=False, **more)


def test_a_reader_who_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m birthmark list; echo $? >&2"
    done = subprocess.run(["bash", "-c", f"({command}) | head -1"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("methods\n", "0\n")


def test_a_full_disk_is_noticed() -> None:
    with Path("/dev/full").open("w") as full:
        done = process("list", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == "birthmark: No space left on device\n"


def test_a_poor_terminal_is_no_error() -> None:
    done = process("verify", "nowhere–\u202e", "--suspect", "x", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 5
    assert "Traceback" not in done.stderr


def test_a_broken_installation_is_70(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('no numpy')\n")
    place = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = process("list", env={**os.environ, "PYTHONPATH": place})
    assert done.returncode == 70
    assert done.stderr.count("\n") == 1


def test_shell_completion_knows_the_commands() -> None:
    done = process(
        env={**os.environ, "_BIRTHMARK_COMPLETE": "complete_bash", "COMP_WORDS": "birthmark ver", "COMP_CWORD": "1"}
    )
    assert done.stdout.split() == ["verify"]


def test_a_thread_that_fails_prints_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import threading

    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "argv", ["birthmark", "--version"])
    with pytest.raises(SystemExit):
        __main__.main()
    threading.excepthook(SimpleNamespace(exc_value=ValueError("x")))
    assert capsys.readouterr().err.startswith("birthmark: a fault of ours")


HOSTILE = "\x1b]0;owned\x07m\u202eodel [red]\x9b2J[/] \r\n\x1b[8m"


def test_names_and_notes_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A stranger's file name, model name and metadata, in every table and sentence, and in evidence and report."""
    evidence = Evidence(
        **{f.name: None for f in fields(Evidence)}
        | {"verdict": Verdict.NOT_SUPPORTED, "reason": HOSTILE, "method": "kinship", "suspect": HOSTILE, "score": 1.0}
        | {
            "z": 1.0,
            "queries": 5,
            "references_z": (),
            "placebos": (0.0,),
            "notes": (HOSTILE,),
            "settings": {"x": HOSTILE},
        }
    )
    tables.print_evidence(evidence)
    tables.table(HOSTILE, ["name"], [[HOSTILE]])
    edge.say_json(evidence.as_dict())
    suspicion = Suspicion(HOSTILE, 1.0, 2.0, 0.1, 0.1, True)
    page = tracing(Trace((suspicion,), (), 1.0, 0.05, 9, 9, suspect=HOSTILE, notes=(HOSTILE,)))
    shown = capsys.readouterr().out + page + json.dumps(evidence.as_dict(), ensure_ascii=False)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert "owned" not in shown
    assert shown.count("[red]") >= 9
