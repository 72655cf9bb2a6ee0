"""The `birthmark` command, and python -m birthmark."""

import os
import sys
import threading
from io import TextIOWrapper

from birthmark.cli.edge import INTERRUPTED, fault, outcome, say


def main() -> None:
    """Entry point of the `birthmark` command: not even a broken installation ends with a verdict's exit code."""
    threading.excepthook = lambda failed: say(f"birthmark: {fault(failed.exc_value or SystemExit())}", err=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another

    def run() -> int:
        from birthmark.cli.commands import app

        return int(app(standalone_mode=False))

    try:
        sys.exit(outcome(run))
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
