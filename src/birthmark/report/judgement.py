"""A judgement as a page that reads as an expert's report: propositions, checks, error rates, and how to rebut it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from birthmark import __version__, stats
from birthmark.report import words
from birthmark.report.pages import rendered
from birthmark.types import Plain

HEADLINE = {
    "upheld": "The claim that this model was derived from the source is upheld.",
    "rejected": "The claim that this model was derived from the source is rejected.",
    "inconclusive": "Whether this model was derived from the source stays open.",
}
SCALE = (  # of the European Network of Forensic Science Institutes, 2015: from this ratio on, in these words
    (1e6, "extremely strong support"),
    (1e4, "very strong support"),
    (1e3, "strong support"),
    (1e2, "moderately strong support"),
    (1e1, "moderate support"),
    (2.0, "weak support"),
    (0.0, "no support"),
)


@dataclass(frozen=True)
class Ratio:
    """How much likelier the finding is if the suspect was derived than if it is independent.

    Attributes:
        value: the estimate. low, high: its exact 95 % interval, from that of the share of thefts found.
        found, tried: thefts by the owner that the claim ranked as high, and all of them.
    """

    value: float
    low: float
    high: float
    found: int
    tried: int

    @property
    def verbal(self) -> str:
        """What the lower end says, in the words of the scale."""
        return next(text for least, text in SCALE if self.low >= least)


def likelihood(facts: Plain, numbers: Plain) -> Ratio | None:
    """The likelihood ratio of a rank as good as the one found; None where the owner tried no thefts.

    An independent suspect ranks so high in a share of at most p, exactly. How often a derived one does is known from
    the owner's own thefts alone, which enrolment tries.

    Args:
        facts: of the claim. numbers: of the evidence, `p_value` and `answers` among them.
    """
    p, power = numbers.get("p_value"), facts.get("power")
    if not isinstance(p, float) or not isinstance(power, list):
        return None
    labels = numbers.get("answers") == "labels"
    ranks = [row["by_queries"][-1]["p"] for row in power if (row.get("answers") == "labels") == labels]
    if not ranks:
        return None
    found = sum(rank <= p for rank in ranks)
    low, high = stats.clopper_pearson(found, len(ranks))
    return Ratio(found / len(ranks) / p, low / p, high / p, found, len(ranks))


def page(judgement: Mapping[str, Any], facts: Plain) -> str:
    """One HTML page, without script and network.

    Args:
        judgement: as `Judgement.as_dict` gives it. facts: of the claim.
    """
    return rendered(
        "judgement.html.jinja",
        {"number": words.number},
        j=judgement,
        e=judgement["numbers"],
        headline=HEADLINE[str(judgement["finding"])],
        open=[check for check in judgement["checks"] if check["outcome"] in ("not done", "unclear")],
        ratio=likelihood(facts, judgement["numbers"]),
        version=__version__,
    )
