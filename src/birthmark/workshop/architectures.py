"""Small networks built by name, for any input shape and number of outputs.

Every network takes a float tensor of raw inputs (images in [0, 1]) and returns logits (or values): its
first layer centres the inputs, so that a model file needs no pre-processing beside it. `families` holds
those of images, `networks` those of other tasks.
"""

import re
from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from birthmark.errors import SettingError, nearest
from birthmark.workshop import families, networks
from birthmark.workshop.families import Centre
from birthmark.workshop.seeds import sow


class Average(nn.Module):
    """Several classifiers that answer as one: the logarithm of the weighted mean of their probabilities.

    Args:
        members: networks that return logits.
        share: weight of the first one, 0 to 1; None for equal weights. It is kept with the weights.
    """

    shares: Tensor

    def __init__(self, members: Sequence[nn.Module], share: float | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        n = len(members)
        rest = (1 - share) / (n - 1) if share is not None and n > 1 else 1 / n
        self.register_buffer("shares", torch.tensor([1 / n if share is None else share, *[rest] * (n - 1)]))

    def forward(self, inputs: Tensor) -> Tensor:
        answers = torch.stack([torch.softmax(member(inputs).float(), dim=1) for member in self.members])
        return (answers * self.shares[:, None, None]).sum(dim=0).clamp_min(1e-12).log()


def smoothed(model: nn.Module) -> nn.Module:
    """The network with GELU in place of every ReLU module, in place."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                setattr(parent, name, nn.GELU())
    return model


def mlp(shape: Sequence[int], outputs: int, width: int = 128, depth: int = 2) -> nn.Module:
    layers: list[nn.Module] = [Centre(), nn.Flatten()]
    wide = prod(shape)
    for _ in range(depth):
        layers += [nn.Linear(wide, width), nn.ReLU()]
        wide = width
    return nn.Sequential(*layers, nn.Linear(wide, outputs))


Builder = Callable[..., nn.Module]

ARCHITECTURES: dict[str, tuple[Builder, dict[str, int]]] = {
    "mlp": (mlp, {}),
    "mlp-deep": (mlp, {"width": 96, "depth": 4}),
    "lenet": (families.lenet, {}),
    "cnn": (families.cnn, {}),
    "vgg": (families.vgg, {"repeat": 1}),
    "vgg-deep": (families.vgg, {"repeat": 2}),
    "vgg-wide": (families.vgg, {"width": 24, "repeat": 1}),
    "res": (families.res, {}),
    "res-deep": (families.res, {"repeat": 2}),
    "res-wide": (families.res, {"width": 24}),
    "seres": (families.res, {"gate": True}),
    "dense": (families.dense, {}),
    "mobile": (families.mobile, {}),
    "efficient": (families.mobile, {"width": 16, "expand": 4}),
    "squeeze": (families.squeeze, {}),
    "inception": (families.inception, {}),
    "shuffle": (families.shuffle, {}),
    "xception": (families.xception, {}),
    "convnext": (families.convnext, {}),
    "unet": (networks.unet, {}),
    "autoencoder": (networks.autoencoder, {}),
    "forecaster": (networks.forecaster, {}),
    "vae": (networks.vae, {}),
    "gan": (networks.gan, {}),
}
FLAT = (mlp, networks.autoencoder, networks.forecaster, networks.vae, networks.gan)  # these take rows as well


LARGEST = 16_384  # of a setting
MOST = dict.fromkeys(("depth", "repeat", "members"), 1000)  # of those that count layers or networks


def parse(name: str) -> tuple[str, dict[str, int]]:
    """Split `res:width=24,repeat=2` into the family's name and its integer settings.

    Raises:
        SettingError: a setting is not of the form `name=integer`, or out of all bounds.
    """
    family, _, rest = name.partition(":")
    settings: dict[str, int] = {}
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        if not re.fullmatch("-?[0-9]+", value):
            raise SettingError(f"expected architecture settings like 'res:width=24', got {name!r}; write name=integer")
        settings[key] = int(value) if len(value) < 10 else LARGEST + 1
        if not 0 <= settings[key] <= MOST.get(key, LARGEST):
            raise SettingError(f"expected {key} from 0 to {MOST.get(key, LARGEST)} in architecture {name[:80]!r}")
    return family, settings


def build(name: str, shape: Sequence[int], outputs: int, *, seed: int) -> nn.Module:
    """Make a freshly initialised network; the same seed gives the same bits, and no global generator moves.

    Args:
        name: a family of `ARCHITECTURES`, with settings after a colon (`vgg:width=24`). Every family has two more:
            members=3 averages the answers of three networks (`Average`), gelu=1 puts GELU for ReLU (`smoothed`).
        shape: one input's own shape, (channels, height, width) or (features,).
        outputs: number of classes, or of values.

    Raises:
        UnknownName: no such family.
        SettingError: a setting the family does not have, or an image family for inputs that are no images.

    The network's `architecture` attribute is `name`.
    """
    family, settings = parse(name)
    if family not in ARCHITECTURES:
        raise nearest("architecture", family, ARCHITECTURES)
    builder, defaults = ARCHITECTURES[family]
    members, gelu = settings.pop("members", 1), settings.pop("gelu", 0)
    if builder not in FLAT and len(shape) != 3:
        raise SettingError(
            f"architecture {family!r} needs images (channels, height, width), got inputs of shape {tuple(shape)}; use "
            "'mlp'"
        )
    with torch.random.fork_rng(devices=[]):
        sow(seed)
        try:
            several = [builder(shape, outputs, **{**defaults, **settings}) for _ in range(max(members, 1))]
        except TypeError as error:
            raise SettingError(f"architecture {name!r}: {error}") from None
    model = several[0] if members < 2 else Average(several)
    if gelu:
        smoothed(model)
    model.__dict__["architecture"] = (
        name  # copies keep it, so that any model made from this one can be written and read again
    )
    return model.to(memory_format=torch.channels_last) if len(shape) == 3 else model  # type: ignore[call-overload]


def architecture_of(module: nn.Module) -> str:
    """The name the network was built by; empty for networks of the user's own."""
    return str(module.__dict__.get("architecture", ""))
