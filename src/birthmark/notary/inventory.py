"""A claim's queries as an inventory: unused, spent (a suspect has seen them), disclosed (others have).

Kept beside the claim folder, one line an event: a claim itself never changes. A test asks the first queries of a claim,
so what is spent or disclosed is a number of them.
"""

from dataclasses import dataclass
from pathlib import Path

from birthmark.artifact import canonical, disk_errors
from birthmark.errors import ArtifactError
from birthmark.notary.strict import LARGEST, now, parse


@dataclass(frozen=True)
class Inventory:
    """How many queries a claim holds, how many any suspect has seen, and how many are known to others."""

    queries: int
    spent: int = 0
    disclosed: int = 0

    @property
    def unused(self) -> int:
        return self.queries - max(self.spent, self.disclosed)

    def __str__(self) -> str:
        return f"{self.unused} of {self.queries} queries unused, {self.spent} spent, {self.disclosed} disclosed"


def place_of(claim: Path) -> Path:
    """The inventory's file."""
    return claim.with_name(f"{claim.name}.inventory.jsonl")


def inventory(claim: Path, queries: int) -> Inventory:
    """What the claim's inventory says; everything is unused without one.

    Raises:
        ArtifactError: the file is none that birthmark writes.
    """
    path = place_of(claim)
    most = {"spent": 0, "disclosed": 0}
    if path.is_file():
        if path.stat().st_size > LARGEST:
            raise ArtifactError(f"{path}: too large for an inventory")
        for line in path.read_bytes().splitlines():
            entry = parse(line, str(path))
            try:
                kind, n = entry["what"], entry["queries"]
                most[kind] = max(most[kind], min(int(n), queries))
            except (KeyError, TypeError, ValueError):
                raise ArtifactError(f"{path}: a line is none that birthmark writes") from None
    return Inventory(queries, **most)


def note(claim: Path, what: str, n: int, whom: str) -> None:
    """Keep that the first n queries were "spent" on a suspect, or "disclosed" to somebody.

    Raises:
        BirthmarkError: the place is not writable.
    """
    with disk_errors(place_of(claim)), place_of(claim).open("ab") as file:
        file.write(canonical({"what": what, "queries": n, "whom": whom, "time": now()}) + b"\n")
