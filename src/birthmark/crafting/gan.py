"""A small conditional GAN: pictures like the owner's, for fingerprints that look natural.

Up-convolution generator with a class embedding, spectral-norm projection discriminator (Miyato & Koyama 2018), hinge
loss, a slow average of the generator's weights. For images of 8 to 64 pixels, any number of channels.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from birthmark.errors import SettingError, ShapeError
from birthmark.types import Array, Samples
from birthmark.workshop.training import seeded


class Generator(nn.Module):
    """Latents (n, latent) and class numbers (n,) -> images (n, c, h, w) in [0, 1]."""

    def __init__(self, shape: tuple[int, ...], classes: int, latent: int = 64, width: int = 128) -> None:
        super().__init__()
        channels, self.high, self.wide = shape
        self.latent, self.rows, self.columns = latent, -(-self.high // 4), -(-self.wide // 4)
        self.embed = nn.Embedding(classes, 32)
        self.first = nn.Linear(latent + 32, width * self.rows * self.columns)
        self.body = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width // 2, width // 4, 3, padding=1),
            nn.BatchNorm2d(width // 4),
            nn.ReLU(),
            nn.Conv2d(width // 4, channels, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, z: Tensor, classes: Tensor) -> Tensor:
        rows = self.first(torch.cat([z, self.embed(classes)], 1)).reshape(len(z), -1, self.rows, self.columns)
        images: Tensor = self.body(rows)
        return images[:, :, : self.high, : self.wide]


class Discriminator(nn.Module):
    """Images (n, c, h, w) and class numbers (n,) -> scores (n,); high is natural."""

    def __init__(self, shape: tuple[int, ...], classes: int, width: int = 128) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.spectral_norm
        self.body = nn.Sequential(
            norm(nn.Conv2d(shape[0], width // 4, 4, 2, 1)),
            nn.LeakyReLU(0.1),
            norm(nn.Conv2d(width // 4, width // 2, 4, 2, 1)),
            nn.LeakyReLU(0.1),
            norm(nn.Conv2d(width // 2, width, 3, 1, 1)),
            nn.LeakyReLU(0.1),
        )
        self.head = norm(nn.Linear(width, 1))
        self.embed = norm(nn.Embedding(classes, width))

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        features = self.body(images * 2 - 1).sum((2, 3))
        scores: Tensor = self.head(features)[:, 0] + (self.embed(classes) * features).sum(1)
        return scores


@dataclass(frozen=True)
class Gan:
    """A generator, and the discriminator it was trained against (None if it came without)."""

    generator: nn.Module
    discriminator: nn.Module | None
    latent: int


def train(samples: Samples, *, iterations: int, batch: int = 64, seed: int) -> Gan:
    """Train the GAN on images in [0, 1] with class numbers; Adam 2e-4 / 4e-4, three discriminator steps to two of the
    generator.

    Raises:
        ShapeError: the samples are no images of 8 to 64 pixels, or have no classes.
    """
    if (
        len(samples.shape) != 3
        or not 8 <= min(samples.shape[1:]) <= max(samples.shape[1:]) <= 64
        or not samples.classes
    ):
        raise ShapeError(
            "expected classified images of 8 to 64 pixels a side to train a GAN, got inputs of shape "
            f"{samples.shape}; bring a generator, or use space='pixels'"
        )
    images, labels = torch.from_numpy(samples.inputs), torch.from_numpy(samples.targets.astype(np.int64))
    with seeded(seed):
        made, judge = Generator(samples.shape, samples.classes), Discriminator(samples.shape, samples.classes)
        slow = copy.deepcopy(made)
        g = torch.optim.Adam(made.parameters(), 2e-4, (0.0, 0.9))
        d = torch.optim.Adam(judge.parameters(), 4e-4, (0.0, 0.9))
        for step in range(iterations):
            for _ in range(1 + step % 2):
                part = torch.randint(len(images), (batch,))
                fake_of = torch.randint(samples.classes, (batch,))
                with torch.no_grad():
                    fake = made(torch.randn(batch, made.latent), fake_of)
                cost = (
                    functional.relu(1 - judge(images[part], labels[part])).mean()
                    + functional.relu(1 + judge(fake, fake_of)).mean()
                )
                d.zero_grad(set_to_none=True)
                cost.backward()
                d.step()
            fake_of = torch.randint(samples.classes, (batch,))
            cost = -judge(made(torch.randn(batch, made.latent), fake_of), fake_of).mean()
            g.zero_grad(set_to_none=True)
            cost.backward()
            g.step()
            with torch.no_grad():
                for average, now in zip(slow.parameters(), made.parameters(), strict=True):
                    average.lerp_(now, 0.005 if step > 200 else 1.0)
                for kept, buffer in zip(slow.buffers(), made.buffers(), strict=True):
                    kept.copy_(buffer)
    return Gan(slow.eval().requires_grad_(False), judge.eval().requires_grad_(False), made.latent)


def tensors(gan: Gan) -> dict[str, NDArray[Any]]:
    """A GAN of `train` as arrays by name."""
    parts = {"generator": gan.generator, "discriminator": gan.discriminator}
    return {
        f"{part}.{key}": value.numpy()
        for part, module in parts.items()
        if module is not None
        for key, value in module.state_dict().items()
    }


def restored(arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...], classes: int) -> Gan:
    """The GAN that `tensors` were taken of."""
    generator, discriminator = Generator(shape, classes), Discriminator(shape, classes)
    for part, module in (("generator", generator), ("discriminator", discriminator)):
        module.load_state_dict(
            {
                key.partition(".")[2]: torch.from_numpy(value.copy())
                for key, value in arrays.items()
                if key.startswith(f"{part}.")
            }
        )
    return Gan(generator.eval().requires_grad_(False), discriminator.eval().requires_grad_(False), generator.latent)


def brought(name: str, shape: tuple[int, ...], classes: int, latent: int) -> Gan:
    """A generator of the user's: "module:function", a function (shape, classes) that returns it, or it and a
    discriminator.

    Raises:
        SettingError: no such function, or it returns no module.
        ShapeError: the generator's images have another shape, or leave [0, 1].
    """
    try:
        found = resolve_name(name)(shape, classes)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingError(
            f"cannot import the generator {name!r} ({error}); expected 'own' or module:function"
        ) from None
    generator, discriminator = found if isinstance(found, tuple) else (found, None)
    if not isinstance(generator, nn.Module):
        raise SettingError(
            f"expected the generator's function to return a torch module, got {type(generator).__name__}"
        )
    with torch.no_grad(), seeded(0):
        images = generator.eval()(torch.randn(4 * classes, latent), torch.arange(classes).repeat(4))
    if tuple(images.shape[1:]) != tuple(shape):
        raise ShapeError(
            f"expected the generator to make images of shape {tuple(shape)}, got {tuple(images.shape[1:])}"
        )
    if not torch.isfinite(images).all() or images.min() < -1e-3 or images.max() > 1 + 1e-3:
        raise ShapeError(
            f"expected the generator's images in [0, 1], got {images.min():.3g} to {images.max():.3g}; rescale them, "
            "(x + 1) / 2 if it ends in tanh"
        )
    return Gan(generator.requires_grad_(False), discriminator, latent)


@torch.no_grad()
def sampled(gan: Gan, n: int, classes: int, *, seed: int) -> tuple[Tensor, Tensor, Array]:
    """`n` random latents (n, latent), class numbers (n,) and their images (n, *d)."""
    with seeded(seed):
        z, c = torch.randn(n, gan.latent), torch.randint(classes, (n,))
    images = torch.cat([gan.generator(a, b) for a, b in zip(z.split(500), c.split(500), strict=True)])
    return z, c, images.numpy()
