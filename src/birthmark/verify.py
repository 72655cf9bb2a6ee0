"""The placebo test: the only place where a verdict is reached.

    p = (1 + #{placebos scoring at least as high}) / (1 + #placebos)

exact over the randomness of the source's seed (or the key) for any method and any innocent suspect. A verdict of
`supported` takes p <= alpha and more: where the owner has references, a suspect closer to the source than every one of
them, and than every copy and student that the owner made of them; and where the claim holds its twins' answers, a rank
p <= alpha among those too, each twin judged as a suspect by the claim without it. The placebos' p is exact over the
source's seed, but a source that lies close to everybody accuses many innocents together; the left-out twins show how
close innocents come to this very source. Both conditions can only withhold an accusation, so the error rate stays
exact. So can the margin of watermarks: innocents that resemble each other are accused together by an unlucky key, and z
must exceed what such a key gives them.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from birthmark import registry, stats
from birthmark.answers import checked, is_labels, rounding_step
from birthmark.artifact import file_digest
from birthmark.claim import Claim, Scores
from birthmark.errors import AccessError, BudgetError, NullError, OracleError, SettingError
from birthmark.evidence import Evidence, Verdict
from birthmark.method import Method
from birthmark.oracle import Function, HardLabels, Oracle, Probabilities, Rounded, TopK
from birthmark.scoring.sanity import doubt
from birthmark.transcript import Recorded, Transcript
from birthmark.types import Access, Answers, Floats
from birthmark.watermark import Watermark

BATCH = 100  # queries between two writes of the transcript
LEAST_REFERENCES = 4  # fewer say nothing about a suspect that lies close to everybody


def verify(
    claim: Claim,
    oracle: Oracle,
    *,
    alpha: float = 0.01,
    budget: int | None = None,
    null: str = "placebos",
    digest: str = "",
    transcript: Path | None = None,
    repeats: int = 5,
    authorisation: str = "",
    progress: Callable[[float], None] | None = None,
) -> Evidence:
    """Test whether a suspect was derived from the source.

    Args:
        alpha: share of innocents that may be accused, 0 to 1.
        budget: most queries to send, consistency checks included; fewer than the claim holds means a smaller test.
        null: "placebos", or "references" (conformal: assumes that an innocent suspect could have been one of them).
        digest: of the claim's artefact, for the evidence.
        transcript: file that every answer is appended to; an interrupted verification continues from it.
        repeats: queries asked once more at the end, to notice randomised answers.
        authorisation: on what ground a remote suspect is queried, for the evidence.
        progress: called with the share done, 0 to 1.

    Raises:
        NullError: no placebos and no references.
        AccessError: the suspect shows less than the method needs.
        OracleError: the suspect fails, or its answers are not what it declares.
        BudgetError: the budget allows no query at all.
    """
    stats.needed(alpha)
    if null not in ("placebos", "references"):
        raise SettingError(f"expected the null 'placebos' or 'references', got {null!r}")
    scorer = registry.scorer(claim)
    suspect = fitting(claim, oracle, scorer.needs)
    n = len(claim.queries)
    repeats = min(repeats, n) if budget is None else max(0, min(repeats, budget - n))
    asked = n if budget is None else min(n, budget - repeats)
    if asked < 1:
        raise BudgetError(f"a budget of {budget} queries allows no test; this claim has {n}")
    log = Transcript(transcript, suspect=oracle.name, answers=suspect.answers)
    recorded = Recorded(suspect, log)
    try:
        answers = ask(claim, recorded, asked, any_outputs=scorer.any_outputs, progress=progress)
        still = steady(claim, recorded, answers, repeats)
    finally:
        log.close()
    scores = scorer.score(claim, answers)
    return judged(
        claim,
        scores,
        answers,
        alpha=alpha,
        null=null,
        digest=digest,
        suspect=oracle.name,
        declared=suspect.answers,
        repeats=repeats,
        sent=log.sent,
        notes=(*oracle.remarks(), *still),
        transcript=file_digest(transcript) if transcript else "",
        authorisation=authorisation,
    )


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
                f"{suspect.name}: answers {rows[0].shape[1]} {kind}, the source has {claim.task.outputs}; only "
                "methods that compare correlations (sac) bear that, or give a label map"
            )
        if progress is not None:
            progress(min(start + size, n) / n)
    return np.concatenate(rows)


def steady(claim: Claim, suspect: Recorded, answers: Floats, repeats: int) -> tuple[str, ...]:
    """Ask a few queries again; a note if the answers moved."""
    if not repeats:
        return ()
    places = np.linspace(0, len(answers) - 1, repeats).astype(int)
    again = checked(suspect.again(claim.queries[places]), repeats, answers.shape[1], suspect.answers, suspect.name)
    moved = int((np.abs(again - answers[places]).max(axis=1) > 1e-3 * max(1.0, float(np.abs(answers).max()))).sum())
    return (f"randomised answers: {moved} of {repeats} repeated queries were answered differently",) if moved else ()


def judged(
    claim: Claim,
    scores: Scores,
    answers: Floats,
    *,
    alpha: float,
    null: str,
    digest: str,
    suspect: str,
    declared: Answers,
    repeats: int,
    notes: tuple[str, ...],
    transcript: str,
    authorisation: str,
    sent: int = 0,
) -> Evidence:
    """Scores -> evidence: p-values under the chosen null, the guard by references and treated references, the verdict
    and its reason.
    """
    references = reference_scores(claim, answers)
    others = [*references, *treated_scores(claim, answers)]
    z = stats.standardised(scores.source, scores.placebos) if scores.placebos else float("nan")
    others_z = tuple(stats.standardised(s.source, s.placebos) for s in others if s.placebos)
    reruns_z = rerun_z(claim, answers)
    against = scores.placebos if null == "placebos" else tuple(s.raw for s in references)
    mine = scores.source if null == "placebos" else scores.raw
    if not against:
        have = "references" if references else "nothing"
        raise NullError(
            f"no {null} to rank against, so no verdict: the claim holds {have}; enrol with twins (--twins) or "
            "references (--references)"
        )
    p = stats.rank_p(mine, against)
    p_others = stats.rank_p(z, others_z) if others_z else None
    p_reruns = stats.rank_p(z, reruns_z) if reruns_z else None
    guards = (p_others, p_reruns) if null == "placebos" else (None, None)
    verdict, reason = decide(
        p, len(against), alpha, null, guards[0], len(others_z), opposed(claim), guards[1], z - margin_of(claim, alpha)
    )
    misread = doubt(claim, answers)
    if misread.shuffled or (misread.why and verdict is not Verdict.SUPPORTED):
        verdict, reason = Verdict.INCONCLUSIVE, f"{reason}; but {misread.why}"
    return Evidence(
        verdict=verdict,
        reason=reason,
        method=claim.method,
        settings=dict(claim.settings),
        claim=digest,
        suspect=suspect,
        answers=declared.value,
        score=mine,
        raw=scores.raw,
        z=z,
        p_value=p,
        null=null,
        n_placebos=len(against),
        p_parametric=stats.student_p(mine, against),
        p_references=p_others,
        p_reruns=p_reruns,
        alpha=alpha,
        placebos=tuple(against),
        references_z=others_z,
        reruns_z=reruns_z,
        queries=len(answers),
        repeats=repeats,
        sent=sent or len(answers) + repeats,
        transcript=transcript,
        notes=(*notes, *claim.facts.get("warnings", ())),
        authorisation=authorisation,
        made=dict(claim.facts.get("versions", {})),
    )


def opposed(claim: Claim) -> int:
    """Independent models that the claim's queries were crafted against.

    0 for claims that were not crafted with a cohort.
    """
    return int(claim.facts.get("cohort", {}).get("independent", 0))


def decide(
    p: float,
    n: int,
    alpha: float,
    null: str,
    p_references: float | None,
    references: int,
    opposed: int = 0,
    p_reruns: float | None = None,
    beyond: float = 0.0,
) -> tuple[Verdict, str]:
    """The verdict and its reason, from ranks alone.

    Args:
        opposed: independents the claim was crafted against. The owner's references resemble them and score lower than
            innocents of another kind do, so that ranks among references support nothing then (docs/results.md).
        p_reruns: rank p among the left-out twins; None if the claim does not hold their answers.
        beyond: by how much z exceeds the margin of one key; negative if it does not.
    """
    best = stats.smallest_p(n)
    if best > alpha:
        return (
            Verdict.INCONCLUSIVE,
            (
                f"{n} {null} cannot give a p below {best:.3g}, and alpha is {alpha:g}; enrol with at least "
                f"{stats.needed(alpha)} {null}, or choose alpha {best:.3g}"
            ),
        )
    if p > alpha:
        return (
            Verdict.NOT_SUPPORTED,
            f"p = {p:.3g} among {n} {null}: such a score is what an innocent model would get in {p:.0%} of cases",
        )
    if null == "references" and opposed:
        return (
            Verdict.INCONCLUSIVE,
            (
                f"p = {p:.3g} among {n} references, but the claim was crafted against {opposed} independents much like "
                "them, and an innocent model of another kind may score higher than all; enrol with placebos, or use a "
                "method that has them (kinship)"
            ),
        )
    if p_references is not None and references >= LEAST_REFERENCES and p_references > stats.smallest_p(references):
        return (
            Verdict.INCONCLUSIVE,
            (
                f"p = {p:.3g} among {n} placebos, but one of the owner's own {references} independent models is as "
                "close "
                "to the source; enrol with more twins and queries, or look for other evidence"
            ),
        )
    if p_reruns is not None and p_reruns > alpha:
        return (
            Verdict.INCONCLUSIVE,
            (
                f"p = {p:.3g} among {n} placebos, but reruns of the source's own recipe come as close to this source "
                "in "
                f"{p_reruns:.0%} of cases; it lies close to innocents: enrol with more queries, or under another seed"
            ),
        )
    if beyond < 0:
        return (
            Verdict.INCONCLUSIVE,
            (
                f"p = {p:.3g} among {n} {null}, but z is {-beyond:.2f} short of the margin that keeps an unlucky key "
                "from "
                "accusing all innocents of one kind; ask more queries"
            ),
        )
    return Verdict.SUPPORTED, f"p = {p:.3g} among {n} {null}" + (
        f", and closer to the source than all {references} independent models of the owner's" if references else ""
    )


def reference_scores(claim: Claim, answers: Floats) -> list[Scores]:
    """Scores of the claim's references, each shown as the suspect's answers are and judged without itself and what was
    made of it.
    """
    scorer = registry.scorer(claim)
    return [
        scorer.score(_without(claim, i), like(rows[: len(answers)], answers, claim.task.values))
        for i, rows in enumerate(claim.references)
    ]


def treated_scores(claim: Claim, answers: Floats) -> list[Scores]:
    """Scores of the copies and students of the references, judged as these are.

    None for labels, which they are no regressors of.
    """
    if not claim.treated.size or (not claim.task.values and is_labels(answers)):
        return []
    scorer = registry.scorer(claim)
    return [
        scorer.score(alone, like(rows[: len(answers)], answers, claim.task.values))
        for i, models in enumerate(claim.treated)
        for alone in [_without(claim, i)]
        for rows in models
    ]


def _without(claim: Claim, i: int) -> Claim:
    """The claim without reference i and what was made of it."""
    fewer = {key: np.delete(claim.tensors[key], i, axis=0) for key in ("references", "treated") if key in claim.tensors}
    return replace(claim, tensors={**claim.tensors, **fewer})


def margin_of(claim: Claim, alpha: float) -> float:
    """The z that a verdict of `supported` takes with this claim.

    -inf for fingerprints, whose guards are references and twins.
    """
    scorer = registry.scorer(claim)
    keyed = isinstance(scorer, Watermark) and scorer.key_correlation
    return stats.margin(alpha, keyed) if keyed else float("-inf")


def rerun_z(claim: Claim, answers: Floats) -> tuple[float, ...]:
    """z of each twin, shown as the suspect's answers are, by the claim without it.

    Empty if the claim does not hold their answers.
    """
    scorer = registry.scorer(claim)
    if not isinstance(scorer, Method):
        return ()
    found = []
    for place in range(int(claim.settings.get("placebos", 0))):
        alone = scorer.left_out(claim, place, len(answers))
        if alone is None:
            return ()
        scores = scorer.score(alone[0], like(alone[1], answers, claim.task.values))
        found.append(stats.standardised(scores.source, scores.placebos))
    return tuple(found)


def like(rows: Floats, seen: Floats, values: bool) -> Floats:
    """Rows degraded to what the suspect showed: labels, top-k, or rounded."""
    if values:
        return rows
    oracle: Oracle = Function(lambda _: rows, Answers.PROBABILITIES)
    none = np.zeros((len(rows), 0), dtype=np.float32)
    if is_labels(seen):
        return HardLabels(oracle)(none)
    shown = int((seen > 0).sum(axis=1).max())
    if shown < seen.shape[1]:
        oracle = TopK(oracle, shown)
    step = rounding_step(seen)
    return (Rounded(oracle, round(-np.log10(step))) if step else oracle)(none)
