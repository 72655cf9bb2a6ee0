"""The process in which a stranger's recipe trains: a script that `strangers` starts, and nobody imports.

It has lost the network, the right to write and to start programs before the stranger's code is looked at (as
`birthmark.suspects.child` does for suspects' files), trains once, answers the inputs that came
with the order, and ends.
"""

import os
import tempfile

from birthmark.suspects.child import confine, isolate
from birthmark.suspects.pipes import receive, send


def main() -> None:
    """Do the one order that comes over the pipe."""
    isolate()
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for place in (0, 1):  # what a recipe prints is no answer
        os.dup2(nothing, place)
    from birthmark.notary.ordered import done

    head, blob = receive(asked)
    tempfile.tempdir = os.devnull  # or libraries would look for a place to write in
    try:
        confine(int(str(head["memory"])))
        send(answers, *done(head, blob))
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        send(answers, {"error": f"{type(error).__name__}: {text}"})


if __name__ == "__main__":
    main()
