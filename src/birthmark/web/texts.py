"""All English words of the pages that are not in templates: what states and verdicts mean."""

import time

from birthmark.web.database import CANCELLED, DONE, FAILED, RUNNING, WAITING, Run

STATES = {
    WAITING: "waits for a worker",
    RUNNING: "is being asked",
    DONE: "is done",
    FAILED: "failed",
    CANCELLED: "was cancelled",
}
KINDS = {"verify": "Verification", "story": "The digits story"}


def headline(run: Run) -> str:
    """One sentence on a run."""
    if run.kind == "story":
        story = {DONE: f"The digits story: {run.reason}", RUNNING: "A model is being stolen and caught"}
        return story.get(run.state, f"The digits story {STATES[run.state]}")
    return f"{run.suspect}: {run.verdict}" if run.verdict else f"{run.suspect} {STATES[run.state]}"


def when(seconds: float) -> str:
    """A moment in words."""
    return time.strftime("%d %b %Y, %H:%M", time.gmtime(seconds)) if seconds else ""


def span(seconds: float | None) -> str:
    """A length of time in words."""
    if seconds is None:
        return "nobody can tell yet"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
