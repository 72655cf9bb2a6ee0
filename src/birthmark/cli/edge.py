"""The edge between the program and whoever runs it: what is printed, how errors end, and with which exit code.

Exit codes: 0 not supported (or done), 10 supported (or a client named), 2 misuse, 3 inconclusive, 4 suspect failed or
budget spent, 5 artefact invalid, 70 a fault of ours, 130 interrupted. No accident ends with a verdict's code.
"""

import json
import os
import platform
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer._click.exceptions import ClickException, UsageError
from typer.core import TyperGroup

from birthmark import __version__
from birthmark.errors import BirthmarkError
from birthmark.secrets import printable

FAULT, INTERRUPTED = 70, 130


def say(*lines: str, err: bool = False) -> None:
    """Print lines; nothing that a stranger put into them steers the terminal, and a reader who left is no error."""
    stream = sys.stderr if err else sys.stdout
    try:
        for line in lines:
            print(printable(line) if "\x1b" not in line or not _styled(line) else line, file=stream)
        if stream is not None:
            stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def outcome(call: Callable[[], int | None], as_json: bool = False) -> int:
    """The exit code of a call; whatever goes wrong is one line on standard error, and under --json an object, too."""
    try:
        return call() or 0
    except typer.Exit as end:
        return end.exit_code
    except BirthmarkError as error:
        return _failed(str(error), error.exit_code, as_json)
    except ClickException as error:
        return _failed(f"{error.format_message()}{_see(error)}", 2, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _failed("interrupted; what was finished is kept, run the same command again", INTERRUPTED, as_json)
    except OSError as error:
        if error.errno is None:
            return _failed(fault(error), FAULT, as_json)
        return _failed(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 2, as_json)
    except BaseException as error:
        return _failed(fault(error), FAULT, as_json)


def fault(error: BaseException) -> str:
    """What to say of an error that nobody foresaw; its traceback is written to a file."""
    lines = [
        f"birthmark {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"arguments: {sys.argv[1:]}",
        *"".join(traceback.format_exception(error)).splitlines(),
    ]
    text = "".join(f"{printable(line)}\n" for line in lines)
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    for folder in (_state_folder(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"birthmark-fault-{time.strftime('%Y%m%d-%H%M%S')}-"
            handle, place = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)
        except OSError:
            continue
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        return (
            f"a fault of ours, no verdict: {printable(said, 200)}; the traceback is in {place}, without the secrets "
            "birthmark knows of: read it through and open an issue with it"
        )
    return f"a fault of ours, no verdict: {printable(said, 200)}; please open an issue with what you typed"


def _state_folder() -> Path:
    place = os.environ.get("XDG_STATE_HOME", "")
    return (Path(place) if place.startswith("/") else Path.home() / ".local" / "state") / "birthmark"


def _failed(message: str, code: int, as_json: bool) -> int:
    if as_json:
        say(json.dumps({"error": printable(message), "exit_code": code}))
    say(f"birthmark: {message}", err=True)
    return code


def _see(error: ClickException) -> str:
    path = error.ctx.command_path if isinstance(error, UsageError) and error.ctx else "birthmark"
    return f" (see {path} --help)"


class Commands(TyperGroup):
    """The commands; unlike Typer's own, no error of theirs, not even in what was typed, gets past `outcome`."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run what was typed and end with its exit code."""
        typed = list(sys.argv[1:] if args is None else args)

        def call() -> int | None:
            self._main_shell_completion(extra, prog_name or "birthmark", complete_var)
            with self.make_context(prog_name or "birthmark", typed, **extra) as context:
                return self.invoke(context)

        sys.exit(_flushed(outcome(call, "--json" in typed)))


def _flushed(code: int) -> int:
    """The code, once everything printed has left: what the reader or a full disk refuses must not change it late."""
    return outcome(lambda: say()) or code


def main() -> None:
    """Entry point of the `birthmark` command: not even a broken installation ends with a verdict's exit code."""
    threading.excepthook = lambda failed: say(f"birthmark: {fault(failed.exc_value or SystemExit())}", err=True)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another

    def run() -> None:
        from birthmark.cli.commands import app

        app()

    try:
        sys.exit(outcome(run))
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
