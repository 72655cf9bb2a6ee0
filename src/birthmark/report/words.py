"""What the numbers say in plain language; nothing here says more than the test does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from birthmark import stats
from birthmark.evidence import Evidence, Verdict
from birthmark.types import Plain

HEADLINE = {
    Verdict.SUPPORTED: "The evidence supports that this model was derived from the source.",
    Verdict.NOT_SUPPORTED: "The evidence does not support that this model was derived from the source.",
    Verdict.INCONCLUSIVE: "The evidence does not settle whether this model was derived from the source.",
}

LIMITS = {
    Verdict.SUPPORTED: (
        "It does not mean that anything was stolen: a licence, a leak, a shared supplier or the owner’s own doing all "
        "leave the same mark. "
        "Nor is it the probability that the suspect is derived: that also depends on everything else that is known of "
        "the case."
    ),
    Verdict.NOT_SUPPORTED: (
        "It does not mean that the suspect is independent. Every test misses some derived models, and some thefts "
        "leave nothing to find."
    ),
    Verdict.INCONCLUSIVE: "It is neither half a proof nor an acquittal.",
}


RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 3) -> str:
    """A number for readers: significant digits, a true minus sign, a dash for nothing."""
    if value is None or value != value:
        return "–"
    if abs(value) == float("inf"):
        return "∞" if value > 0 else "−∞"
    if value and abs(value) < 10.0**-digits:
        mantissa, _, power = f"{value:.1e}".partition("e")
        return f"{mantissa} × 10{str(int(power)).translate(RAISED)}".replace("-", "−")
    text = f"{value:.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", "−")


def fixed(value: float, digits: int) -> str:
    """A number of a column: so many digits after the point, unless it is large."""
    return f"{value:.{digits}f}".replace("-", "−") if abs(value) < 1000 else number(value)


def percent(share: float | None) -> str:
    """A share, 0 to 1, as a percentage with one digit after the point."""
    return "–" if share is None else f"{100 * share:.1f} %"


def chance(p: float | None, n: int) -> str:
    """A rank p among `n` as what it is: so many cases out of n + 1."""
    return "–" if p is None else f"{round(p * (n + 1))} of {n + 1}"


def plural(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


@dataclass(frozen=True)
class Null:
    """How a report speaks of what a score is ranked against.

    Attributes:
        one, many: the noun: twin, random key, reference.
        what: what they are.
        likeness: what a high rank shows.
        assumes: what must hold for p to be an error rate.
    """

    one: str
    many: str
    what: str
    likeness: str
    assumes: str


TWINS = Null(
    "twin",
    "twins",
    (
        "Twins are models trained by the source’s own recipe on the source’s own data, with other random seeds. Nobody "
        "but the owner has met them, so no suspect can derive from them."
    ),
    "the suspect resembles the source in ways that the source does not share with its own twins",
    "If the suspect is independent, the source and its twins are exchangeable: each is equally likely to be the "
    "closest one. "
    "This holds for any suspect, whatever its data, architecture or accuracy, as long as the twins truly share the "
    "source’s recipe and data.",
)
KEYS = Null(
    "other key",
    "other keys",
    "Other keys are random keys drawn exactly as the true one, and never used to mark an answer.",
    "the suspect’s answers carry the mark of the source’s secret key more than that of keys drawn at random",
    "If the suspect never learned from marked answers, the true key and the others are exchangeable: each is equally "
    "likely to fit best. "
    "This holds for any suspect, as long as the true key was drawn at random and kept secret.",
)
REFERENCES = Null(
    "reference",
    "references",
    "References are independent models that the owner trained, of several architectures and on several samples.",
    "the suspect resembles the source more than independent models of the owner’s do",
    "The p-value means something only if an independent suspect could have been one of these references: trained for "
    "the same task, in similar ways. "
    "This is a stronger assumption than the placebo test makes.",
)


def null_of(evidence: Evidence, watermark: bool) -> Null:
    if evidence.null == "references":
        return REFERENCES
    return KEYS if watermark else TWINS


def found(evidence: Evidence, null: Null) -> str:
    """The finding in two sentences."""
    n, p = evidence.n_placebos, evidence.p_value
    if p is None:
        return "No p-value was reached."
    above = round(p * (n + 1)) - 1
    who = "the true key" if null is KEYS else "the source"
    if null is REFERENCES:
        others = "none" if not above else str(above)
        return (
            f"Of {plural(n, null.one, null.many)}, {others} {'is' if above < 2 else 'are'} as close to {who}. "
            f"Were the suspect one of their kind, so high a rank would come up by luck in {chance(p, n)} cases (p = "
            f"{number(p)})."
        )
    if not above:
        return (
            f"It fits {who} better than any of {plural(n, null.one, null.many)}. Were it independent, "
            f"{who} would come first by luck in {chance(p, n)} cases (p = {number(p)})."
        )
    return (
        f"It fits {above} of {plural(n, null.one, null.many)} at least as well as {who}. Were it independent, "
        f"so high a rank would come up by luck in {chance(p, n)} cases (p = {number(p)})."
    )


def meaning(evidence: Evidence, null: Null) -> str:
    """What the verdict means, in one sentence."""
    if evidence.verdict is Verdict.SUPPORTED:
        return f"{null.likeness[0].upper()}{null.likeness[1:]}, and luck alone would rarely give such a rank."
    if evidence.verdict is Verdict.NOT_SUPPORTED:
        return "An independent model would often do as well."
    return (
        f"This test, with these {null.many}, references and queries, cannot decide between the two propositions. The "
        "reason above says what would settle it."
    )


def several(evidences: Sequence[Evidence]) -> str:
    """What looking at many suspects does to their p-values; empty for a single one."""
    tests = len(evidences)
    if tests < 2:
        return ""
    alpha = max(e.alpha for e in evidences)
    values = [e.p_value for e in evidences if e.p_value is not None]
    stand = sum(stats.bonferroni(p, tests) <= alpha for p in values)
    text = (
        f"Each p-value is about one suspect alone. {tests} were tested against one source, so their p-values depend "
        "on each other and must not be multiplied. "
        f"Corrected for {tests} tests (Bonferroni), {'none stays' if not stand else plural(stand, 'stays', 'stay')} "
        f"at or below {number(alpha)}"
    )
    if not stand and values and stats.bonferroni(stats.smallest_p(max(e.n_placebos for e in evidences)), tests) > alpha:
        return text + (
            f", and none could: that takes {stats.needed(alpha / tests)} placebos. To accuse out of a list, enrol "
            "with so many, or name one suspect beforehand."
        )
    return text + "."


def truth(evidences: Sequence[Evidence], kinds: Sequence[str]) -> str:
    """How the verdicts compare with the origin of the suspects, where that is known of all of them."""
    if not kinds or not set(kinds) <= {"derived", "independent"}:
        return ""
    parts = []
    for kind in ("derived", "independent"):
        verdicts = [e.verdict for e, k in zip(evidences, kinds, strict=True) if k == kind]
        if not verdicts:
            continue
        hits = verdicts.count(Verdict.SUPPORTED)
        low, high = stats.clopper_pearson(hits, len(verdicts))
        parts.append(
            f"{hits} of {len(verdicts)} {kind} models were supported (95 % interval {percent(low)} to {percent(high)})"
        )
    return f"The origin of these models is known: {'; '.join(parts)}."


def enrolled(facts: Plain) -> list[tuple[str, str]]:
    """What enrolment found, as far as the claim tells: how good source and twins are, and what the self-check said."""
    lines = []
    source, twins, check = (
        facts[key] if isinstance(facts.get(key), Mapping) else {} for key in ("source", "twins", "self_check")
    )
    if isinstance(source.get("accuracy"), float):
        text = f"accuracy {percent(source['accuracy'])} on held-out data"
        rates = twins.get("accuracy")
        if isinstance(rates, list) and rates:
            text += f"; its twins {percent(min(rates))} to {percent(max(rates))}"
        lines.append(("Source", text))
    if isinstance(check.get("n"), int) and isinstance(check.get("accused_at_.05"), int):
        lines.append(
            (
                "Self-check",
                (
                    f"the claim gives {check['accused_at_.05']} of the owner’s "
                    f"{plural(check['n'], 'independent reference')} a p of 0.05 or less"
                ),
            )
        )
    return lines
