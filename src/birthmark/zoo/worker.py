"""One process of the pool: reads a job a line, writes an outcome a line, ends when its starter does."""

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the starter's to handle
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a recipe prints goes to the error stream, not between the answers
    from birthmark.zoo.executors import Job, perform

    with suppress(BrokenPipeError):  # the starter was killed: nobody is there to answer
        for line in sys.stdin:
            answers.write(json.dumps(asdict(perform(Job(**json.loads(line))))) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
