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
independents' favourite other class there; the released code chooses y- by an FGSM step. Its screening keeps a query if
every derived model says y+ and every independent one says y-, under every transform. That leaves nothing on a wide
cohort, so ours ranks, and asks of independents only that they are off y+. The margin kappa is 5, since margins of 50
let a few easy models dominate; Adam; no flips; D's term has the natural sign. Of the spaces "pixels" drops the GAN,
"both" adds a bounded pixel residual to its images: less natural, and stronger.

Cost: the cohort, the GAN (minutes, not for "pixels"), then minutes of crafting. Use it for suspects that answer labels
only. It needs a cohort as wide as its innocents: honest models treated in a way that no independent of the cohort was
are accused first, adversarially trained ones above all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from birthmark.claim import Claim
from birthmark.crafting.parents import CraftedAgainst
from birthmark.settings import Allowed
from birthmark.types import Labels, Tensors
from birthmark.workshop.owner import Cohort, Owner

if TYPE_CHECKING:
    from torch import Tensor

    from birthmark.crafting.gan import Gan


class Painting(NamedTuple):
    """Pictures that are being made: what is optimised, how it becomes pictures, y+ and y-, and classes of latents."""

    free: "list[Tensor]"
    picture: "Callable[[], Tensor]"
    labels: Labels
    others: Labels
    classes: "Tensor | None" = None


@dataclass(frozen=True)
class NaturalFinger(CraftedAgainst):
    """Matching rate on points of a decision-difference area.

    Attributes:
        space: what is optimised: "latent", "pixels", or "both": the latent and a pixel residual of at most `residual`.
        residual: L-inf radius of that residual, in pixels of [0, 1].
        generator: "own", trained here, or "module:function", a function (shape, classes) of the user's that returns a
            generator (latents (n, latent), classes (n,)) -> images in [0, 1], or it and a discriminator.
        latent: length of a brought generator's latents.
        iterations: of the GAN's training.
        pool: images that starts are mined from.
        one_class: largest share of the candidates on one class y+, 0 to 1, if others have enough; never less than 2 /
            classes.
        kappa: margin, in logits. beta: weight of naturalness.
        confer: least quality of the best candidate, 0 to 1.
    """

    name: ClassVar[str] = "naturalfinger"
    source_paper: ClassVar[str] = "Yang & Lai 2023, arXiv:2305.17868"
    allowed: ClassVar[Allowed] = {"space": ("latent", "pixels", "both"), "members": "[1, inf)"}

    rate: float = 0.1
    members: int = 5
    space: str = "latent"
    residual: float = 0.2
    generator: str = "own"
    latent: int = 64
    iterations: int = 3000
    pool: int = 4000
    one_class: float = 0.2
    kappa: float = 5.0
    beta: float = 0.5
    confer: float = 0.1

    def fit(self, owner: Owner, *, seed: int) -> Claim:
        gan = None if self.space == "pixels" else self._gan(owner, seed)
        return self.enrolled(owner, lambda o, cohort, s: self._crafted(o, cohort, gan, s), seed)

    def craft(self, owner: Owner, cohort: Cohort, seed: int) -> Tensors:
        return self._crafted(owner, cohort, None if self.space == "pixels" else self._gan(owner, seed), seed)

    def _gan(self, owner: Owner, seed: int) -> "Gan":
        from birthmark.crafting.gan import brought, restored, tensors, train
        from birthmark.crafting.queries import kept

        if self.generator == "own":
            what = ["gan", self.iterations, seed, dict(owner.card.data), owner.card.split]
            made = kept(owner, what, lambda: tensors(train(owner.train, iterations=self.iterations, seed=seed)))
            return restored(made, owner.task.shape, owner.task.outputs)
        return brought(self.generator, owner.task.shape, owner.task.outputs, self.latent)

    def _crafted(self, owner: Owner, cohort: Cohort, gan: "Gan | None", seed: int) -> Tensors:
        import torch

        from birthmark.crafting.queries import best, conferrability, finished
        from birthmark.workshop.training import seeded

        made = self._from_pixels(owner, cohort, seed) if gan is None else self._from_latents(owner, cohort, gan, seed)
        with seeded(seed):
            self._optimise(cohort, made, gan)
        with torch.no_grad():
            queries = finished(made.picture())
        quality = conferrability(cohort, queries, made.labels, compress=self.compress)
        crafted: Tensors = {"queries": queries, "labels": made.labels, "others": made.others}
        return best(crafted, quality, self.queries, self.confer, "raise steps, pool or candidates, or lower confer")

    def _share(self, owner: Owner) -> float:
        return max(self.one_class, 2 / owner.task.outputs)

    def _from_pixels(self, owner: Owner, cohort: Cohort, seed: int) -> Painting:
        import torch

        from birthmark.crafting.queries import mined, unbounded

        n = int(self.queries * self.candidates)
        order = np.random.default_rng(seed).permutation(len(owner.train))[: max(self.pool, n)]
        start = mined(cohort, owner.train.inputs[order], n, self._share(owner))
        u = unbounded(start.inputs).requires_grad_()
        return Painting([u], lambda: torch.sigmoid(u), start.labels, start.others)

    def _from_latents(self, owner: Owner, cohort: Cohort, gan: "Gan", seed: int) -> Painting:
        import torch

        from birthmark.crafting.gan import sampled
        from birthmark.crafting.queries import mined

        n = int(self.queries * self.candidates)
        z, c, images = sampled(gan, max(self.pool, n), owner.task.outputs, seed=seed)
        start = mined(cohort, images, n, self._share(owner))
        z, c = z[start.places].requires_grad_(), c[start.places]
        delta = torch.zeros(images[: len(z)].shape, requires_grad=self.space == "both")

        def picture() -> "Tensor":
            image: Tensor = gan.generator(z, c)
            return image if self.space == "latent" else (image + self.residual * torch.tanh(delta)).clamp(0, 1)

        return Painting([z, delta] if self.space == "both" else [z], picture, start.labels, start.others, c)

    def _optimise(self, cohort: Cohort, made: Painting, gan: "Gan | None") -> None:
        import torch

        from birthmark.crafting.queries import drawn, margin, prepared, varied

        sides = (
            (prepared(cohort.derived), torch.from_numpy(made.labels)),
            (prepared(cohort.independent), torch.from_numpy(made.others)),
        )
        adam = torch.optim.Adam(made.free, self.rate)
        for _ in range(self.steps):
            image = made.picture()
            # one backward pass a model into the picture, one into what makes it: the generator is passed once a step
            view = image.detach().requires_grad_()
            seen = varied(view, self.compress)
            cost = torch.zeros(len(view))
            for side, target in sides:
                some = drawn(side, self.members)
                cost = cost + sum(margin(member(seen), target, self.kappa) for member in some) / len(some)
            if gan is not None and gan.discriminator is not None:
                cost = cost + self.beta * (1 - gan.discriminator(view, made.classes)).relu()
            (pull,) = torch.autograd.grad(cost.sum(), view)
            adam.zero_grad()
            image.backward(pull)
            adam.step()
