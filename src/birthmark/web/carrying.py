"""What a run does: ask a suspect and conclude, or play the whole story on digits.

A run writes into its own folder only: transcript, evidence, report. Started again after a kill it continues from the
transcript, so nothing is asked twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

import numpy as np

from birthmark import report, suspects
from birthmark.artifact import canonical, write_atomically
from birthmark.claim import Claim
from birthmark.errors import BirthmarkError
from birthmark.evidence import Evidence, plain_data
from birthmark.notary import inventory
from birthmark.oracle import Oracle
from birthmark.transcript import Replay
from birthmark.types import Plain
from birthmark.verdict import conclude
from birthmark.verify import Terms, verify
from birthmark.web import shelf
from birthmark.web.asking import declared
from birthmark.web.database import DONE, Database, Run
from birthmark.web.hosts import allowed
from birthmark.web.site import Site

STEPS = 20  # points of the evidence curve


class Cancelled(BirthmarkError):
    """The run is no longer this worker's."""


@dataclass(frozen=True)
class Carrier:
    """A worker's hold on one run."""

    site: Site
    database: Database
    run: Run
    worker: str

    @property
    def folder(self) -> Path:
        return self.site.run(self.run.id)

    def says(self, **new: object) -> None:
        """Tell the database what is new.

        Raises:
            Cancelled: the run was cancelled, or another worker has it.
        """
        if not self.database.beat(self.run.id, self.worker, **new):
            raise Cancelled(f"run {self.run.id} was cancelled")


def carried(carrier: Carrier) -> Plain:
    """Carry a run out; returns what its row says in the end."""
    return KINDS[carrier.run.kind](carrier)


def _verify(carrier: Carrier) -> Plain:
    site, run = carrier.site, carrier.run
    claim, digest = shelf.opened(site, run.claim)
    oracle = suspect(site, carrier.folder, claim, run.asked)
    transcript = carrier.folder / "transcript.jsonl"
    watched = _Watched(carrier, claim, transcript)
    evidence = verify(
        claim,
        oracle,
        alpha=run.asked["alpha"],
        budget=run.asked.get("budget"),
        transcript=transcript,
        terms=Terms(digest=digest, authorisation=run.asked.get("authorisation", ""), progress=watched),
    )
    _written(carrier.folder, evidence, claim, report.Row(transcript=transcript))
    inventory.note(shelf.place(site, run.claim), "spent", evidence.queries, oracle.name)
    return {"verdict": evidence.verdict.value, "reason": evidence.reason, "share": 1.0}


def suspect(site: Site, folder: Path, claim: Claim, asked: Plain) -> Oracle:
    """The suspect of a run: the file that was uploaded, or an address that may be asked.

    Raises:
        SettingError: an address that may not be asked, or something must be declared.
        ArtifactError: a file that is not what it says.
    """
    target = str(folder / asked["file"]) if asked.get("file") else allowed(asked["url"], site.hosts)
    ground = asked.get("authorisation", "")
    return suspects.open(target, spec=declared(asked), task=claim.task, authorisation=ground)


@dataclass(frozen=True)
class _Watched:
    """Progress of a verification: the share done, and what the evidence is so far."""

    carrier: Carrier
    claim: Claim
    transcript: Path

    def __call__(self, share: float) -> None:
        n = round(share * len(self.claim.queries))
        curve = [*self.carrier.run.curve, *self._point(n)]
        self.carrier.run.curve[:] = curve  # type: ignore[index]
        self.carrier.says(share=share, curve=_json(curve))

    def _point(self, n: int) -> list[Plain]:
        """What the first n answers say; nothing where they say nothing yet."""
        if any(point["queries"] == n for point in self.carrier.run.curve):
            return []
        answers = Replay(self.transcript)(self.claim.queries[:n])
        found = conclude(self.claim, answers, self.carrier.run.asked["alpha"], "placebos")
        among = np.array(found.against, dtype=np.float64)
        if not np.isfinite((*among, found.standing.z)).all() or not among.std():
            return []
        low, high = np.quantile((among - among.mean()) / among.std(ddof=1), (0, 1))
        return [{"queries": n, "z": found.standing.z, "p": found.standing.p, "low": float(low), "high": float(high)}]


def _json(curve: object) -> str:
    return canonical(plain_data(curve)).decode()


def _written(folder: Path, evidence: Evidence, claim: Claim, row: report.Row) -> None:
    write_atomically(folder / "evidence.json", canonical(evidence.as_dict()))
    report.write([evidence], claim, folder / "report.html", rows=[row])


def _story(carrier: Carrier) -> Plain:
    """The digits story: a source, its thefts, innocents, and the verdict on each; its claim joins the others."""
    from birthmark.cli import demo

    found = demo.run(
        carrier.folder / "story", seed=0, workers=1, quiet=True, watch=lambda share: carrier.says(share=share)
    )
    folder, claims = carrier.folder / "story", carrier.site.claims
    if not (claims / "digits").exists():
        copytree(folder / "claim", claims / "digits")
        shelf.refreshed(carrier.site, carrier.database)
    write_atomically(carrier.folder / "report.html", (folder / "report.html").read_bytes())
    rows = found["suspects"]
    caught = sum(row["verdict"] == "supported" for row in rows if row["kind"] == "derived")
    accused = sum(row["verdict"] == "supported" for row in rows if row["kind"] == "independent")
    thefts = sum(row["kind"] == "derived" for row in rows)
    reason = f"{caught} of {thefts} thefts supported, {accused} of {len(rows) - thefts} innocents accused"
    return {"reason": reason, "share": 1.0}


KINDS: dict[str, Callable[[Carrier], Plain]] = {"verify": _verify, "story": _story}
__all__ = ["DONE", "KINDS", "Cancelled", "Carrier", "carried", "suspect"]
