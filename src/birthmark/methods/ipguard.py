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
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from birthmark.crafting.parents import Crafted
from birthmark.settings import Allowed
from birthmark.types import Tensors
from birthmark.workshop.owner import Cohort, Owner

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class IPGuard(Crafted):
    """Matching rate on points near the source's boundary.

    Attributes:
        k: depth beyond the boundary, in logits, 0 and up.
        target: class j: "least" likely or "random".
        steps, rate: of Adam, on the sigmoids' arguments.
    """

    name: ClassVar[str] = "ipguard"
    source_paper: ClassVar[str] = "Cao, Jia & Gong, ASIACCS 2021"
    allowed: ClassVar[Allowed] = {"k": "[0, inf)", "steps": "[1, inf)", "target": ("least", "random")}

    steps: int = 300
    k: float = 10.0
    target: str = "least"

    def craft(self, owner: Owner, cohort: Cohort, seed: int) -> Tensors:
        import torch

        from birthmark.crafting.queries import finished, prepared, starts, unbounded
        from birthmark.workshop.training import outputs, seeded

        source = prepared(cohort.derived[:1], bf16=False)[0]
        u = unbounded(starts(owner, cohort.derived[0], self.queries, seed=seed).inputs).requires_grad_()
        with seeded(seed):
            logits = source(torch.sigmoid(u)).detach()
            i, classes = logits.argmax(1), logits.shape[1]
            j = logits.argmin(1) if self.target == "least" else (i + torch.randint(1, classes, i.shape)) % classes
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


def boundary(z: "Tensor", i: "Tensor", j: "Tensor", k: float) -> "Tensor":
    """ReLU(Z_i - Z_j + k) + ReLU(max_{t != i, j} Z_t - Z_i) of each row, tensors (n, classes) -> (n,)."""
    zi, zj = z.gather(1, i[:, None])[:, 0], z.gather(1, j[:, None])[:, 0]
    rest = z.scatter(1, i[:, None], -float("inf")).scatter(1, j[:, None], -float("inf")).amax(1)
    return (zi - zj + k).relu() + (rest - zi).relu()
