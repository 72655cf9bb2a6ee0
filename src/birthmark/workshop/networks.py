"""Small networks for other tasks than classification: image to image, tabular autoencoders, forecasting, generation.

Generators take latents (n, z) and return flat images (n, k). They learn from samples whose inputs are latents and whose
targets are images, and bring their own training loss: `cost(inputs, targets)`, which `training.fit` uses in place of
its own. So they can be fine-tuned, pruned and distilled by the same attacks as any other network.
"""

from collections.abc import Sequence
from math import isqrt, prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from birthmark.errors import SettingError


class UNet(nn.Module):
    """Image (n, c, h, w) to a flat image (n, k) of the same height and width: one level down, a skip, one level up."""

    def __init__(self, channels: int, out: int, width: int, smooth: bool) -> None:
        super().__init__()
        self.enter = _stage(channels, width, smooth)
        self.down = _stage(width, 2 * width, smooth, stride=2)
        self.deep = _stage(2 * width, 2 * width, smooth)
        self.leave = _stage(3 * width, width, smooth)
        self.head = nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.enter(x * 2.0 - 1.0)
        deep = functional.interpolate(self.deep(self.down(wide)), size=wide.shape[2:])
        return self.head(self.leave(torch.cat([wide, deep], dim=1))).flatten(1)


def _stage(wide: int, out: int, smooth: bool, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(wide, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.SiLU() if smooth else nn.ReLU()
    )


def unet(shape: Sequence[int], outputs: int, width: int = 8, smooth: int = 0) -> nn.Module:
    if len(shape) != 3 or outputs % prod(shape[1:]):
        raise SettingError(
            f"architecture 'unet' maps images to images of the same size, got inputs of shape {tuple(shape)} and "
            f"{outputs} outputs"
        )
    return UNet(shape[0], outputs // prod(shape[1:]), width, bool(smooth))


def autoencoder(shape: Sequence[int], outputs: int, width: int = 32, code: int = 6, depth: int = 1) -> nn.Module:
    """Rows (n, d) through a narrow code and back to (n, outputs)."""
    wide, layers = prod(shape), list[nn.Module]([nn.Flatten()])
    for size in [*[width] * depth, code, *[width] * depth]:
        layers += [nn.Linear(wide, size), nn.ReLU()]
        wide = size
    return nn.Sequential(*layers, nn.Linear(wide, outputs))


class Forecaster(nn.Module):
    """Windows (n, steps) of a series to its next values (n, k): a recurrent cell, then one hidden layer."""

    def __init__(self, outputs: int, width: int, relu: bool) -> None:
        super().__init__()
        self.cell = nn.RNNCell(1, width, nonlinearity="relu") if relu else nn.GRUCell(1, width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), self.cell.hidden_size)
        for value in x.split(1, dim=1):
            state = self.cell(value, state)
        return self.head(state)


def forecaster(shape: Sequence[int], outputs: int, width: int = 24, relu: int = 0) -> nn.Module:
    if len(shape) != 1:
        raise SettingError(
            f"architecture 'forecaster' reads windows (steps,) of a series, got inputs of shape {tuple(shape)}"
        )
    return Forecaster(outputs, width, bool(relu))


class VAE(nn.Module):
    """A variational autoencoder whose decoder is the generator (Kingma & Welling 2014)."""

    def __init__(self, latents: int, outputs: int, width: int, depth: int, beta: float) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*_dense(outputs, width, depth), nn.Linear(width, 2 * latents))
        self.decoder = nn.Sequential(*_dense(latents, width, depth), nn.Linear(width, outputs), nn.Sigmoid())
        self.beta = beta

    def forward(self, latents: Tensor) -> Tensor:
        return self.decoder(latents)

    def cost(self, latents: Tensor, images: Tensor) -> Tensor:
        """Negative evidence bound per pixel, with binary cross-entropy; the latents given are not used."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean() / 2
        logits = self.decoder[:-1](code)
        return (
            functional.binary_cross_entropy_with_logits(logits.float(), images)
            + self.beta * divergence / images.shape[1]
        )


def _dense(wide: int, width: int, depth: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(wide, width), nn.ReLU()]
        wide = width
    return layers


def vae(shape: Sequence[int], outputs: int, width: int = 96, depth: int = 1) -> nn.Module:
    return VAE(prod(shape), outputs, width, depth, beta=1.0)


class GAN(nn.Module):
    """A convolutional generator with the critic it is trained against (Goodfellow et al.

    2014; R1 penalty of Mescheder et al. 2018).
    """

    def __init__(self, latents: int, side: int, width: int) -> None:
        super().__init__()
        small = -(-side // 2)
        self.side = side
        self.penalty = 1.0
        self.generator = nn.Sequential(
            nn.Linear(latents, 2 * width * small * small),
            nn.ReLU(),
            nn.Unflatten(1, (2 * width, small, small)),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 1, 3, padding=1),
            nn.Sigmoid(),
        )
        self.critic = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * (side // 4) ** 2, 1),
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.generator(latents)[:, :, : self.side, : self.side].flatten(1)

    def cost(self, latents: Tensor, images: Tensor) -> Tensor:
        """Both players' losses in one sum.

        Each one's gradient stops at the other's weights. Latents are drawn afresh.
        """
        fake = self(torch.randn_like(latents)).view(-1, 1, self.side, self.side)
        real = images.view(-1, 1, self.side, self.side).requires_grad_()
        said = self.critic(real)
        (slope,) = torch.autograd.grad(said.sum(), real, create_graph=True)
        critic = functional.softplus(-said).mean() + functional.softplus(self.critic(fake.detach())).mean()
        for weight in self.critic.parameters():
            weight.requires_grad_(False)
        generator = functional.softplus(-self.critic(fake)).mean()
        for weight in self.critic.parameters():
            weight.requires_grad_(True)
        return critic + generator + self.penalty / 2 * (slope**2).sum(dim=(1, 2, 3)).mean()


def gan(shape: Sequence[int], outputs: int, width: int = 16) -> nn.Module:
    if isqrt(outputs) ** 2 != outputs:
        raise SettingError(f"architecture 'gan' draws square grey images, got {outputs} outputs")
    return GAN(prod(shape), isqrt(outputs), width)
