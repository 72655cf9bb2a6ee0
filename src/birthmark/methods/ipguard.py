"""IPGuard: does the suspect agree with the source near the source's own decision boundary?

Source: Cao, Jia & Gong, "IPGuard: protecting intellectual property of deep neural networks via fingerprinting the
classification boundary", ASIACCS 2021. The objective is as public code gives it; the paper's text was not read, so no
equation is cited.

    minimise  ReLU(Z_i - Z_j + k) + ReLU(max_{t != i, j} Z_t - Z_i)

from a training image that the source gives class i; j is the least likely class or a random one. The score is the
matching rate: the share of queries on which the suspect answers as the source.

Departures: pixels are sigmoids, so that they stay in range; labels are the source's after rounding to 8 bits. The
descent runs until the objective is zero at depth `k`, or all steps are done; QuRD's version stops at the first crossing
of the boundary.

Cost: seconds; no cohort. Use it for copies of the weights. It fails on extracted students and on adversarial training.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from birthmark.claim import Claim, Scores
from birthmark.errors import SettingError
from birthmark.method import Method
from birthmark.scoring.matching import matches
from birthmark.types import Access, Floats
from birthmark.workshop.owner import Cohort, Owner


@dataclass(frozen=True)
class IPGuard(Method):
    """Matching rate on points near the source's boundary.

    Attributes:
        queries: of each owner.
        placebos: twins that bring their own points; 0 for the paper's form, ranked among references.
        references: independent models of the null.
        k: depth beyond the boundary, in logits, 0 and up.
        target: class j: "least" likely or "random".
        steps, rate: of Adam, on the sigmoids' arguments.
    """

    name: ClassVar[str] = "ipguard"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Cao, Jia & Gong, ASIACCS 2021"

    queries: int = 100
    placebos: int = 0
    references: int = 19
    k: float = 10.0
    target: str = "least"
    steps: int = 300
    rate: float = 0.05

    def __post_init__(self) -> None:
        if (
            self.queries < 1
            or self.placebos < 0
            or self.k < 0
            or self.steps < 1
            or self.target not in ("least", "random")
        ):
            raise SettingError(
                "expected queries >= 1, placebos >= 0, k >= 0, steps >= 1 and target 'least' or 'random', got "
                f"{self.queries}, {self.placebos}, {self.k}, {self.steps}, {self.target!r}"
            )

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.crafting.queries import enrolled

        return enrolled(
            self, owner, self._craft, cohort="", placebos=self.placebos, references=self.references, seed=seed
        )

    def score(self, claim: Claim, answers: Floats) -> Scores:
        return matches(claim, answers)

    def _craft(self, owner: Owner, cohort: Cohort, seed: int) -> dict[str, NDArray[Any]]:
        import torch

        from birthmark.crafting.queries import finished, prepared, starts, unbounded
        from birthmark.workshop.training import outputs, seeded

        source = prepared(cohort.derived[:1], bf16=False)[0]
        u = unbounded(starts(owner, cohort.derived[0], self.queries, seed=seed).inputs).requires_grad_()
        with seeded(seed):
            rows = source(torch.sigmoid(u)).detach()
            i = rows.argmax(1)
            j = (
                rows.argmin(1)
                if self.target == "least"
                else (i + torch.randint(1, rows.shape[1], i.shape)) % rows.shape[1]
            )
            adam = torch.optim.Adam([u], self.rate)
            for _ in range(self.steps):
                cost = boundary(source(torch.sigmoid(u)), i, j, self.k)
                if not cost.any():
                    break
                adam.zero_grad()
                cost.sum().backward()
                adam.step()
        queries = finished(torch.sigmoid(u))
        return {"queries": queries, "labels": outputs(cohort.derived[0], queries).argmax(1).astype(np.int64)}


def boundary(z: Any, i: Any, j: Any, k: float) -> Any:
    """ReLU(Z_i - Z_j + k) + ReLU(max_{t != i, j} Z_t - Z_i) of each row, tensors (n, classes) -> (n,)."""
    zi, zj = z.gather(1, i[:, None])[:, 0], z.gather(1, j[:, None])[:, 0]
    rest = z.scatter(1, i[:, None], -float("inf")).scatter(1, j[:, None], -float("inf")).amax(1)
    return (zi - zj + k).relu() + (rest - zi).relu()
