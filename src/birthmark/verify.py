"""Asking a suspect the claim's queries; what its answers say is concluded in `birthmark.verdict`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from birthmark import registry, stats
from birthmark.answers import checked
from birthmark.artifact import file_digest
from birthmark.asking import Model, oracle_of
from birthmark.claim import Claim
from birthmark.errors import AccessError, BudgetError, OracleError, SettingError
from birthmark.evidence import Evidence
from birthmark.oracle import Oracle, Probabilities
from birthmark.transcript import Recorded, Transcript
from birthmark.types import Access, Answers, Floats
from birthmark.verdict import NULLS, conclude

BATCH = 100  # queries between two writes of the transcript


@dataclass(frozen=True)
class Terms:
    """On what terms a suspect is asked.

    Attributes:
        repeats: queries asked once more at the end, to notice randomised answers.
        digest: of the claim's artefact, for the evidence.
        authorisation: on what ground a remote suspect is queried, for the evidence.
        progress: called with the share done, 0 to 1.
    """

    repeats: int = 5
    digest: str = ""
    authorisation: str = ""
    progress: Callable[[float], None] | None = None


def verify(
    claim: Claim,
    suspect: Model,
    *,
    alpha: float = 0.05,
    budget: int | None = None,
    null: str = "placebos",
    transcript: Path | None = None,
    terms: Terms = Terms(),
) -> Evidence:
    """Test whether a suspect was derived from the source.

    Args:
        suspect: an oracle (`birthmark.suspects.open`), or a function, an estimator or a network, as for `enroll`.
        alpha: share of innocents that may be accused, 0 to 1.
        budget: most queries to send, consistency checks included; fewer than the claim holds means a smaller test.
        null: "placebos", or "references" (conformal: assumes that an innocent suspect could have been one of them).
        transcript: file that every answer is appended to; an interrupted verification continues from it.

    Raises:
        NullError: no placebos and no references.
        AccessError: the suspect shows less than the method needs.
        OracleError: the suspect fails, or its answers are not what it declares.
        BudgetError: the budget allows no query at all.
    """
    stats.needed(alpha)
    if null not in NULLS:
        raise SettingError(f"expected the null {' or '.join(NULLS)}, got {null!r}")
    scorer, oracle = registry.scorer(claim), suspect_of(claim, suspect)
    fitting(claim, oracle, scorer.needs)
    asked, repeats = _affordable(len(claim.queries), terms.repeats, budget)
    log = Transcript(transcript, oracle, claim.task.plain())
    recorded = Recorded(oracle, log)
    shown = Probabilities(recorded)
    try:
        answers = ask(claim, shown, asked, any_outputs=scorer.any_outputs, progress=terms.progress)
        still = steady(claim, recorded, shown, answers, repeats)
    finally:
        log.close()
    found = conclude(claim, answers, alpha, null)
    standing = found.standing
    return Evidence(
        verdict=found.verdict,
        reason=found.reason,
        method=claim.method,
        settings=dict(claim.settings),
        claim=terms.digest,
        suspect=oracle.name,
        answers=shown.answers.value,
        score=found.score,
        raw=found.scores.raw,
        z=standing.z,
        p_value=standing.p,
        null=standing.null,
        n_placebos=standing.ranked,
        p_parametric=stats.student_p(found.score, found.against),
        p_references=standing.p_references,
        p_reruns=standing.p_reruns,
        alpha=alpha,
        placebos=found.against,
        references_z=found.references_z,
        treated_z=found.treated_z,
        reruns_z=found.reruns_z,
        twins=claim.twins,
        queries=len(answers),
        repeats=repeats,
        sent=log.sent or len(answers) + repeats,
        transcript=file_digest(transcript) if transcript else "",
        notes=(*oracle.remarks(), *still, *standing.missing, *_twins_note(claim), *claim.facts.get("warnings", ())),
        authorisation=terms.authorisation,
        grade=_grade(claim),
        made=dict(claim.facts.get("versions", {})),
    )


def suspect_of(claim: Claim, suspect: Model) -> Oracle:
    """What answers as the claim's task says, as an oracle."""
    kind = "values" if claim.task.values else ""
    return oracle_of(suspect, "suspect", claim.queries, outputs=claim.task.outputs, kind=kind, form=claim.task.form)


def _affordable(n: int, repeats: int, budget: int | None) -> tuple[int, int]:
    """How many of a claim's `n` queries are asked, and how many of them again."""
    budget = 2 * n if budget is None else budget
    repeats = max(0, min(repeats, n, budget - n))
    asked = min(n, budget - repeats)
    if asked < 1:
        raise BudgetError(f"a budget of {budget} queries allows no test; this claim has {n}")
    return asked, repeats


def fitting(claim: Claim, oracle: Oracle, needs: Access) -> Oracle:
    """The suspect as the claim's method reads it: probabilities for logits; refused if it shows too little."""
    if oracle.access < needs:
        raise AccessError(
            f"{claim.method} needs {needs.name}, but {oracle.name} grants {oracle.access.name}; enrol with a method "
            "that works on labels (kinship, akh)"
        )
    if claim.task.values != (oracle.answers is Answers.VALUES):
        wanted = "values" if claim.task.values else "labels, probabilities or logits"
        raise OracleError(
            f"{oracle.name}: the claim is about {wanted}, the suspect is declared to answer {oracle.answers.value}"
        )
    return Probabilities(oracle)


def ask(
    claim: Claim, suspect: Oracle, n: int, *, any_outputs: bool = False, progress: Callable[[float], None] | None = None
) -> Floats:
    """The suspect's validated answers (n, k) to the claim's first n queries."""
    rows = []
    size = max(BATCH, suspect.batch)
    for start in range(0, n, size):
        batch = claim.queries[start : min(start + size, n)]
        rows.append(checked(suspect(batch), len(batch), None, suspect.answers, suspect.name))
        if not any_outputs and rows[0].shape[1] != claim.task.outputs:
            kind = "values" if claim.task.values else "classes"
            raise OracleError(
                f"{suspect.name}: answers {rows[0].shape[1]} {kind}, the source has {claim.task.outputs}; declare "
                "order, the suspect's column of each of the source's classes (with a background first: 1, 2, ...), or "
                "labels where it answers names; methods that compare correlations (sac) bear other classes"
            )
        if progress is not None:
            progress(min(start + size, n) / n)
    return np.concatenate(rows)


@np.errstate(over="ignore")
def steady(claim: Claim, recorded: Recorded, shown: Probabilities, answers: Floats, repeats: int) -> tuple[str, ...]:
    """Ask a few queries again; a note if the answers moved."""
    if not repeats:
        return ()
    places = np.linspace(0, len(answers) - 1, repeats).astype(int)
    rows = shown.read(recorded.again(claim.queries[places]))
    again = checked(rows, repeats, answers.shape[1], shown.answers, shown.name)
    moved = int((np.abs(again - answers[places]).max(axis=1) > 1e-3 * max(1.0, float(np.abs(answers).max()))).sum())
    return (f"randomised answers: {moved} of {repeats} repeated queries were answered differently",) if moved else ()


def _grade(claim: Claim) -> str:
    """No judge has seen it yet; and where the source's own training is not on record, that is said, too."""
    about = claim.facts.get("source")
    given = isinstance(about, dict) and about.get("kind") != "trained"
    return "tested: the owner's own word" + ("; the source is given, not rebuilt from a card" if given else "")


TWINS = {
    "same-start": "placebos are twins that start from the source's own initial weights",
    "other-start": "placebos are twins of other initial weights: they take it that the source's start was secret",
    "": "the claim does not say where its twins start, as those of birthmark 0.1 do not: a stranger who starts where "
    "the source did may be accused; enrol again",
}


def _twins_note(claim: Claim) -> tuple[str, ...]:
    return (TWINS[claim.twins],) if claim.settings.get("placebos") and "owners" in claim.tensors else ()
