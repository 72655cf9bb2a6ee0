"""The edge between the program and whoever runs it: what is printed, how errors end, and with which exit code.

Exit codes: 0 not supported (or done), 10 supported (or a client named, or upheld), 11 rejected by the judge, 2 misuse,
3 inconclusive, 4 suspect failed or budget spent, 5 artefact invalid, 70 a fault of ours, 130 interrupted. No accident
ends with a verdict's code.
"""

import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import typer
from typer.core import TyperGroup

from birthmark import __version__
from birthmark.errors import BirthmarkError
from birthmark.evidence import plain_data
from birthmark.secrets import printable

MISTYPED = cast(type[typer.BadParameter], typer.BadParameter.__mro__[2])  # Click's error, Typer's own copy of it or not
FAULT, INTERRUPTED = 70, 130


def say(text: object = "", *, lead: str = "", colour: str = "", err: bool = False) -> None:
    """Print a line, after a `lead` of our own; nothing that a stranger put into it steers the terminal.

    A reader who has left (`| head`) is no error: the rest goes nowhere.
    """
    stream = sys.stderr if err else sys.stdout
    try:
        if lead:
            typer.secho(lead, fg=colour or None, bold=True, err=err, nl=False)
        typer.echo(printable(text), err=err)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):
            raise


def say_json(value: object) -> None:
    """Print one JSON document; numbers that are not finite become null."""
    typer.echo(json.dumps(plain_data(value)))


def say_notes(notes: Iterable[str]) -> None:
    """Print what must be known of the data, or of how a suspect was asked."""
    for note in notes:
        say(f"  note: {note}")


def outcome(call: Callable[[], int | None], as_json: bool = False) -> int:
    """The exit code of a call; whatever goes wrong is one line on standard error, and under --json an object, too."""
    try:
        return call() or 0
    except typer.Exit as end:
        return end.exit_code
    except BaseException as error:
        said, code = _explained(error)
    if as_json:
        say_json({"error": said, "exit_code": code})
    say(f"birthmark: {said}", err=True)
    return code


def _explained(error: BaseException) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, BirthmarkError):
        return str(error), error.exit_code
    if isinstance(error, MISTYPED):
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "birthmark"
        return f"{error.format_message()} (see {path} --help)", 2
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted; what was finished is kept, run the same command again", INTERRUPTED
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 2
    return fault(error), FAULT


def fault(error: BaseException) -> str:
    """What to say of an error that nobody foresaw; its traceback is written to a file."""
    lines = [
        f"birthmark {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"arguments: {sys.argv[1:]}",
        *"".join(traceback.format_exception(error)).splitlines(),
    ]
    said = "".join(traceback.format_exception_only(error)).strip() or type(error).__name__
    place = _written("".join(f"{printable(line)}\n" for line in lines))
    advice = (
        f"the traceback is in {place}, without known secrets: read it through and open an issue with it"
        if place
        else "please open an issue with what you typed"
    )
    return f"a fault of ours, no verdict: {printable(said, 200)}; {advice}"


def _written(text: str) -> str:
    """The new file that the text was written to; "" if there is no place for it."""
    for folder in (_state_folder(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"birthmark-fault-{time.strftime('%Y%m%d-%H%M%S')}-"
            handle, place = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError:
            continue
        return place
    return ""


def _state_folder() -> Path:
    place = os.environ.get("XDG_STATE_HOME", "")
    return (Path(place) if place.startswith("/") else Path("~/.local/state").expanduser()) / "birthmark"


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
    ) -> int:
        """Run what was typed and end with its exit code, or return it."""
        typed = list(sys.argv[1:] if args is None else args)

        def call() -> int | None:
            self._main_shell_completion(extra, prog_name or "birthmark", complete_var)
            with self.make_context(prog_name or "birthmark", typed, **extra) as context:
                return self.invoke(context)

        code = outcome(call, "--json" in typed)
        code = outcome(sys.stdout.flush, "--json" in typed) or code if sys.stdout else code  # a full disk is noticed
        return sys.exit(code) if standalone_mode else code
