"""NaturalFinger: natural-looking queries on which derived models agree on one class and independent ones on another.

Source: Yang & Lai, "NaturalFinger: generating natural fingerprint with generative adversarial networks", 2023,
arXiv:2305.17868. The algorithm is that of the released code as public descriptions give it; the paper's text was not
read, so no equation is cited.

    minimise over the latent z of x = G(z, c), or over x's pixels:
    mean over drawn derived models CW(M(T(x)), y+) + mean over drawn independent models CW(M(T(x)), y-) + beta ReLU(1 -
    D(x)) CW(Z, y) = max(max_{c != y} Z_c - Z_y, -kappa)

T is a random transform (none, noise, shift, shear; optionally JPEG), G and D a conditional GAN trained on the owner's
data, or a generator of the user's. Kept are the candidates of the highest share of derived models on y+ times share of
independent models off it, mean over transforms. The score is the matching rate with y+, from labels alone.

Departures: candidates are mined where the two sides already differ most, but not mostly on one class. y- is the
independents' favourite other class there; the released code chooses y- by an FGSM step. Its screening keeps a query
if every derived model says y+ and every independent one says y-, under every transform. That leaves nothing on a wide
cohort, so ours ranks, and asks of independents only that they are off y+. kappa is 5, since margins of 50 let a few
easy models dominate; Adam; no flips; D's term has the natural sign. "pixels" drops the GAN, "both" adds a bounded pixel
residual to its images: less natural, and stronger.

Cost: the cohort, the GAN (minutes, not for "pixels"), then minutes of crafting. Use it for suspects that answer labels
only. It needs a cohort as wide as its innocents: honest models treated in a way that no independent of the cohort was
are accused first, adversarially trained ones above all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from birthmark.claim import Claim, Scores
from birthmark.errors import SettingError
from birthmark.method import Method
from birthmark.scoring.matching import matches
from birthmark.types import Access, Floats
from birthmark.workshop.owner import Cohort, Owner

if TYPE_CHECKING:
    from birthmark.crafting.gan import Gan


@dataclass(frozen=True)
class NaturalFinger(Method):
    """Matching rate on points of a decision-difference area.

    Attributes:
        queries: of each owner.
        placebos: twins that the same is done for, cohort and all; 0 for the paper's form: a raw score, inconclusive as
            a verdict.
        references: independent models of the null, unseen in crafting.
        cohort: recipe of derived and independent models to craft with.
        space: what is optimised: "latent", "pixels", or "both": the latent and a pixel residual of at most `residual`.
        residual: L-inf radius of that residual, in pixels of [0, 1].
        generator: "own", trained here, or "module:function", a function (shape, classes) of the user's that returns a
            generator (latents (n, latent), classes (n,)) -> images in [0, 1], or it and a discriminator.
        latent: length of a brought generator's latents.
        iterations: of the GAN's training.
        pool: images that starts are mined from.
        candidates: candidates for each query that is kept, 1 and up.
        one_class: largest share of the candidates on one class y+, 0 to 1, if others have enough; never less than 2 /
            classes.
        kappa: margin, in logits. beta: weight of naturalness.
        steps, rate: of Adam. members: models of each side drawn at a step.
        confer: least quality of the best candidate, 0 to 1.
        compress: JPEG quality the queries must survive, 0 for none.
    """

    name: ClassVar[str] = "naturalfinger"
    needs: ClassVar[Access] = Access.LABELS
    source_paper: ClassVar[str] = "Yang & Lai 2023, arXiv:2305.17868"
    crafted_against: ClassVar[bool] = True

    queries: int = 100
    placebos: int = 0
    references: int = 19
    cohort: str = "wide"
    space: str = "latent"
    residual: float = 0.2
    generator: str = "own"
    latent: int = 64
    iterations: int = 3000
    pool: int = 4000
    candidates: float = 1.5
    one_class: float = 0.2
    kappa: float = 5.0
    beta: float = 0.5
    steps: int = 150
    rate: float = 0.1
    members: int = 5
    confer: float = 0.1
    compress: int = 0

    def __post_init__(self) -> None:
        if self.space not in ("latent", "pixels", "both"):
            raise SettingError(f"expected space 'latent', 'pixels' or 'both', got {self.space!r}")
        if self.queries < 1 or self.placebos < 0 or self.steps < 0 or self.members < 1 or self.candidates < 1:
            raise SettingError(
                f"expected queries, members, candidates >= 1, placebos and steps >= 0, got {self.queries}, "
                f"{self.members}, {self.candidates}, {self.placebos}, {self.steps}"
            )

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        from birthmark.crafting.queries import enrolled

        gan = None if self.space == "pixels" else self._gan(owner, seed)
        return enrolled(
            self,
            owner,
            lambda o, cohort, s: self._craft(o, cohort, gan, s),
            cohort=self.cohort,
            placebos=self.placebos,
            references=self.references,
            seed=seed,
        )

    def score(self, claim: Claim, answers: Floats) -> Scores:
        return matches(claim, answers)

    def _gan(self, owner: Owner, seed: int) -> "Gan":
        from birthmark.crafting.gan import brought, restored, tensors, train
        from birthmark.crafting.queries import kept

        if self.generator == "own":
            what = ["gan", self.iterations, seed, dict(owner.card.data), owner.card.split]
            made = kept(owner, what, lambda: tensors(train(owner.train, iterations=self.iterations, seed=seed)))
            return restored(made, owner.task.shape, owner.task.outputs)
        return brought(self.generator, owner.task.shape, owner.task.outputs, self.latent)

    def _craft(self, owner: Owner, cohort: Cohort, gan: "Gan | None", seed: int) -> dict[str, NDArray[Any]]:
        import torch

        from birthmark.crafting.queries import best, conferrability, finished
        from birthmark.workshop.training import seeded

        n = int(self.queries * self.candidates)
        free, picture, labels, others, classes = (
            _from_pixels(owner, cohort, n, self.pool, self._share(owner), seed)
            if gan is None
            else self._from_latents(owner, cohort, gan, n, seed)
        )
        with seeded(seed):
            self._optimise(cohort, free, picture, torch.from_numpy(labels), torch.from_numpy(others), gan, classes)
        with torch.no_grad():
            queries = finished(picture())
        quality = conferrability(cohort, queries, labels, compress=self.compress)
        return best(
            {"queries": queries, "labels": labels, "others": others},
            quality,
            self.queries,
            self.confer,
            "raise steps, pool or candidates, or lower confer",
        )

    def _share(self, owner: Owner) -> float:
        return max(self.one_class, 2 / owner.task.outputs)

    def _from_latents(self, owner: Owner, cohort: Cohort, gan: "Gan", n: int, seed: int) -> Any:
        import torch

        from birthmark.crafting.gan import sampled
        from birthmark.crafting.queries import mined

        z, c, images = sampled(gan, max(self.pool, n), owner.task.outputs, seed=seed)
        order = mined(cohort, images, n, self._share(owner))
        z, c = z[order.places].requires_grad_(), c[order.places]
        delta = torch.zeros(images[: len(z)].shape, requires_grad=self.space == "both")

        def picture() -> Any:
            image = gan.generator(z, c)
            return image if self.space == "latent" else (image + self.residual * torch.tanh(delta)).clamp(0, 1)

        return [z, delta] if self.space == "both" else [z], picture, order.labels, order.others, c

    def _optimise(
        self,
        cohort: Cohort,
        free: list[Any],
        picture: Callable[[], Any],
        labels: Any,
        others: Any,
        gan: "Gan | None",
        classes: Any,
    ) -> None:
        import torch

        from birthmark.crafting.queries import drawn, margin, prepared, varied

        derived, independent = prepared(cohort.derived), prepared(cohort.independent)
        adam = torch.optim.Adam(free, self.rate)
        for _ in range(self.steps):
            image = picture()
            # one backward pass a model into the picture, one into what makes it: the generator is passed once a step
            view = image.detach().requires_grad_()
            seen = varied(view, self.compress)
            cost = torch.zeros(len(view))
            for side, target in ((derived, labels), (independent, others)):
                some = drawn(side, self.members)
                cost = cost + sum(margin(member(seen), target, self.kappa) for member in some) / len(some)
            if gan is not None and gan.discriminator is not None:
                cost = cost + self.beta * (1 - gan.discriminator(view, classes)).relu()
            (pull,) = torch.autograd.grad(cost.sum(), view)
            adam.zero_grad()
            image.backward(pull)
            adam.step()


def _from_pixels(owner: Owner, cohort: Cohort, n: int, pool: int, share: float, seed: int) -> Any:
    import torch

    from birthmark.crafting.queries import mined, unbounded

    order = np.random.default_rng(seed).permutation(len(owner.train))[: max(pool, n)]
    found = mined(cohort, owner.train.inputs[order], n, share)
    u = unbounded(found.inputs).requires_grad_()
    return [u], lambda: torch.sigmoid(u), found.labels, found.others, None
