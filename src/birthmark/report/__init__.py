"""Evidence -> one JSON file, or one self-contained HTML page that reads as an expert's report.

The page needs no script, no network and no other file; it follows the reader's light or dark scheme and prints. With
SOURCE_DATE_EPOCH set, the same evidence gives the same bytes.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from birthmark import __version__, registry, stats
from birthmark.artifact import file_digest, write_atomically
from birthmark.claim import Claim
from birthmark.errors import ArtifactError, SettingError
from birthmark.evidence import Evidence, Verdict
from birthmark.report import plots, words
from birthmark.report.pages import FILTERS, rendered
from birthmark.report.samples import is_picture, png, samples, source_answers
from birthmark.secrets import printable
from birthmark.transcript import Replay
from birthmark.types import Floats

FORMAT = "birthmark/report/1"
ORDER = (Verdict.SUPPORTED, Verdict.INCONCLUSIVE, Verdict.NOT_SUPPORTED)
MOST_JSON = 200_000  # characters of evidence repeated inside the page
MOST_SECTIONS = 40  # suspects with a section of their own; all stand in the table and in the overview


@dataclass(frozen=True)
class Row:
    """What is known of a suspect besides its evidence.

    Attributes:
        name: how the report calls it; the evidence's name if empty.
        kind: "derived" or "independent" where the truth is known, else empty.
        attack: how it was derived, where that is known.
        tier: the group it is shown in, e.g. "weights", "extraction", "same data".
        agreement: share of held-out inputs on which it gives the source's top class, 0 to 1.
        transcript: the recorded answers, for sample queries; must be the file that the evidence names.
    """

    name: str = ""
    kind: str = ""
    attack: str = ""
    tier: str = ""
    agreement: float | None = None
    transcript: Path | None = None


@dataclass(frozen=True)
class Details:
    """What a report says besides the evidence.

    Attributes:
        source: how the source is called.
        labels: names of the classes, in order.
        source_answers: the source's answers (q, k) to the claim's queries, if the claim does not hold them.
        notes: lines shown with the verdict, e.g. how the suspects were obtained.
        samples: sample queries shown for each suspect.
    """

    source: str = "the source"
    labels: tuple[str, ...] = ()
    source_answers: Floats | None = None
    notes: tuple[str, ...] = ()
    samples: int = 6


def as_data(evidences: Sequence[Evidence], rows: Sequence[Row] = ()) -> dict[str, Any]:
    """Plain JSON data of a report: one entry a suspect, with its whole evidence."""
    return {
        "format": FORMAT,
        "suspects": [
            {
                "name": r.name,
                "kind": r.kind,
                "attack": r.attack,
                "tier": r.tier,
                "agreement": r.agreement,
                "evidence": e.as_dict(),
            }
            for e, r in zip(evidences, _named(evidences, rows), strict=True)
        ],
    }


def write_json(evidences: Sequence[Evidence], path: Path, *, rows: Sequence[Row] = ()) -> None:
    """Write the evidence of one or several suspects as JSON.

    Raises:
        BirthmarkError: the disk is full or the place is not writable.
    """
    write_atomically(
        path, (json.dumps(as_data(evidences, rows), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    )


def write(
    evidences: Sequence[Evidence], claim: Claim, path: Path, *, rows: Sequence[Row] = (), details: Details = Details()
) -> None:
    """Write one HTML page about one or several suspects tested with one claim.

    Args:
        rows: what else is known of each suspect, in the order of the evidence.

    Raises:
        SettingError: no evidence, or not one row for each.
        ArtifactError: a transcript is not the one that the evidence names.
        BirthmarkError: the disk is full or the place is not writable.
    """
    write_atomically(path, page(evidences, claim, rows=rows, details=details).encode())


def page(evidences: Sequence[Evidence], claim: Claim, *, rows: Sequence[Row] = (), details: Details = Details()) -> str:
    """The page that `write` writes."""
    rows = _named(evidences, rows)
    if not evidences:
        raise SettingError("expected the evidence of at least one suspect to report on, got none")
    null = words.null_of(evidences[0], claim.method not in registry.found("methods"))
    scale = plots.axis_of([plots.stand(e) for e in evidences])
    blocks = [_block(f"suspect-{i + 1}", e, rows[i], null, scale) for i, e in enumerate(evidences)]
    shown = _with_samples(blocks[:MOST_SECTIONS], claim, details)
    used = max(len(block["samples"]) for block in shown) if is_picture(claim.task.shape) else 0
    data = json.dumps(as_data(evidences, rows), indent=1, ensure_ascii=False, default=str)
    return rendered(
        "report.html.jinja",
        FILTERS,
        blocks=blocks,
        shown=shown,
        groups=_groups(blocks),
        claim=claim,
        details=details,
        null=null,
        scale=scale,
        ruler=plots.ruler(scale),
        counts=[(verdict.value, sum(e.verdict is verdict for e in evidences)) for verdict in ORDER],
        several=words.several(evidences),
        truth=words.truth(evidences, [row.kind for row in rows]),
        smallest=stats.smallest_p(evidences[0].n_placebos),
        pictures=list(map(png, claim.queries[:used])),
        aspect=_aspect(claim),
        style=_style(),
        warnings=_warnings(evidences, rows),
        enrolled=words.enrolled(claim.facts),
        version=__version__,
        made=moment(),
        data=data if len(data) <= MOST_JSON else "",
        **_columns(rows),
    )


def _columns(rows: Sequence[Row]) -> dict[str, bool]:
    """What is known of any suspect, and so has a column."""
    return {
        "known": any(row.kind for row in rows),
        "attacks": any(row.attack for row in rows),
        "tiers": any(row.tier for row in rows),
        "agreements": any(row.agreement is not None for row in rows),
        "once": len(rows) > 1 and all(row.transcript is None for row in rows),
    }


def _with_samples(blocks: list[dict[str, Any]], claim: Claim, details: Details) -> list[dict[str, Any]]:
    source = source_answers(claim) if details.source_answers is None else details.source_answers
    for block in blocks:
        answers = _answers(block["e"], block["row"], claim)
        block["samples"] = samples(claim, source, answers, details.labels, details.samples)
    return blocks


def _named(evidences: Sequence[Evidence], rows: Sequence[Row]) -> list[Row]:
    """One row for each evidence, with a name."""
    rows = rows or [Row()] * len(evidences)
    if len(rows) != len(evidences):
        raise SettingError(f"expected one row for each of {len(evidences)} suspects, got {len(rows)}")
    return [replace(row, name=printable(row.name or e.suspect)) for e, row in zip(evidences, rows, strict=True)]


def _block(name: str, e: Evidence, row: Row, null: words.Null, scale: plots.Axis) -> dict[str, Any]:
    """Everything the template says of one suspect, its samples aside."""
    where = plots.stand(e)
    own = plots.axis_of([where])
    label = f"{row.name}: {e.verdict.value}; z = {words.number(where.z)} among {e.n_placebos} {null.many}"
    return {
        "id": name,
        "row": row,
        "e": e,
        "z": where.z,
        "mark": e.verdict.value.replace(" ", "-"),
        "strip": plots.row(where, scale, e.verdict.value, label),
        "lanes": plots.lanes(where, own, e.verdict.value, label),
        "axis": own,
        "ruler": plots.ruler(own),
        "references": where.references,
        "found": words.found(e, null),
        "chance": words.chance(e.p_value, e.n_placebos),
        "headline": words.HEADLINE[e.verdict],
        "means": words.meaning(e, null),
        "limit": words.LIMITS[e.verdict],
    }


def _answers(e: Evidence, row: Row, claim: Claim) -> Floats | None:
    """The suspect's recorded answers to the queries it was asked."""
    if row.transcript is None:
        return None
    if e.transcript and file_digest(row.transcript) != e.transcript:
        raise ArtifactError(
            f"{row.transcript}: expected the transcript with SHA-256 {e.transcript}, got another one; it was edited "
            "or belongs to another run"
        )
    answers = Replay(row.transcript)(claim.queries[: e.queries])
    return answers if np.isfinite(answers).all() else None


def _groups(blocks: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Suspects by kind and tier, in the order they came."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for block in blocks:
        row: Row = block["row"]
        groups.setdefault(" · ".join(part for part in (row.kind, row.tier) if part), []).append(block)
    return list(groups.items())


def _warnings(evidences: Sequence[Evidence], rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """Each note once, with the suspects it is about (none named if it is about all)."""
    about: dict[str, list[str]] = {}
    for e, row in zip(evidences, rows, strict=True):
        for note in e.notes:
            about.setdefault(note, []).append(row.name)
    return [(note, names if len(names) < len(rows) else []) for note, names in about.items()]


def _aspect(claim: Claim) -> tuple[int, int]:
    return (claim.task.shape[2], claim.task.shape[1]) if is_picture(claim.task.shape) else (1, 1)


def _style() -> Markup:
    return Markup((Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8"))


def moment() -> tuple[str, str]:
    """Day and minute of the report: SOURCE_DATE_EPOCH's if it is set, else now."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return f"{moment.day} {moment:%B %Y}", f"{moment:%H:%M} UTC"
