"""The students of the bench plan dynamarks-fmnist: who trains on marked answers, and what they do to get rid of the
mark.

Every student has its own client key. Networks come from the standard loop: 6 epochs on 10,000 attacker images. The
source of Fashion-MNIST is trained for 16, so that it is over-confident; divided by a temperature it is the calibrated
one. Digits and two made-up tables (five classes, two classes) have workshops of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from birthmark import data
from birthmark.answers import softmax
from birthmark.errors import SettingError
from birthmark.marks.keyring import ClientKey, Keyring, logged
from birthmark.marks.keys import Secret
from birthmark.types import Array, Floats, Samples
from birthmark.watermarks.dawn import DAWN
from birthmark.watermarks.dynamarks import DynaMarks
from birthmark.workshop import architectures
from birthmark.workshop.training import Training, fit, outputs

CLIENTS = 200  # other clients of every keyring: students are traced among them, unmarked models tested with their keys
QUERIES = 1000  # held-out inputs of the soft test
ARCHITECTURES = ("mlp", "lenet", "cnn", "vgg")
HEAVY = ("finetune-10", "sharpen-2")  # these are asked all held-out inputs as well
REFERENCES = (  # the owner's own unmarked models: architecture, whose images, whether a student of the source, seed
    ("cnn", "reserve", False, 100),
    ("vgg", "owner", False, 101),
    ("res", "reserve", False, 102),
    ("lenet", "owner", False, 103),
    ("cnn", "reserve", True, 200),
    ("vgg", "reserve", True, 201),
    *(
        (architecture, part, learned, 300 + i)
        for architecture in ("mlp", "lenet", "cnn")
        for i, (part, learned) in enumerate(
            (
                ("owner", False),
                ("reserve", False),
                ("reserve", True),
                ("owner", False),
                ("reserve", True),
                ("reserve", False),
            )
        )
    ),
)
SMALL_REFERENCES = tuple(
    ("mlp", part, learned, 100 + i)
    for i, (part, learned) in enumerate((("reserve", False), ("owner", False), ("reserve", True)))
)
MASTER = Secret(sha256(b"birthmark/bench/dynamarks-fmnist").digest())


@dataclass(frozen=True)
class Cell:
    """One student or unmarked model.

    Attributes:
        strength: of the mark; "none" for unmarked models, "dawn" for the baseline.
        source: "over-confident", "calibrated" (its logits divided by a temperature fitted on the reserve), "digits",
            "table" or "two-classes".
        attack: see `ATTACKS`.
        access: what the thief saw: "probabilities" or "labels".
        student: architecture.
        number: of the client and of the seed.
    """

    strength: str
    source: str
    attack: str
    access: str
    student: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.strength}-{self.source}-{self.attack}-{self.access}-{self.student}-{self.number}"


def cells() -> list[Cell]:
    """All of the plan: cheap networks first, the most important cells first within one."""
    found: list[Cell] = []

    def add(
        strength: str,
        source: str,
        attack: str,
        access: str,
        numbers: Sequence[int],
        students: Sequence[str] = ARCHITECTURES,
    ) -> None:
        found.extend(
            Cell(strength, source, attack, access, student, number) for number in numbers for student in students
        )

    over, calm, soft, hard = "over-confident", "calibrated", "probabilities", "labels"
    small = ("mlp", "lenet")
    for source in ("digits", "table", "two-classes"):
        for strength in ("default", "strong"):
            add(strength, source, "none", soft, range(6), ["mlp"])
        add("strong", source, "none", hard, range(6), ["mlp"])
        add("default", source, "finetune-3", soft, range(6), ["mlp"])
        add("none", source, "unmarked", hard, range(20), ["mlp"])
    for first, last in ((0, 3), (3, 8)):
        part = range(first, last)
        add("default", over, "none", soft, part, small)
        add("default", over, "finetune-3", soft, part, small)
        add("strong", over, "none", hard, part, small)
        add("none", over, "unmarked", hard, range(4 * first, 4 * last), small)
        if not first:
            add("default", over, "none", soft, part, ["cnn", "vgg"])
            add("default", over, "finetune-3", soft, part, ["cnn", "vgg"])
            add("strong", over, "none", hard, part, ["cnn", "vgg"])
            for attack in ("none", *HEAVY):
                add("strong", over, attack, soft, part, small)
            add("strong", over, "augment", hard, part, small)
            add("default", calm, "none", soft, part, small)
            add("default", calm, "finetune-3", soft, part, small)
            add("strong", calm, "none", hard, part, small)
            add("dawn", over, "none", hard, part, small)
            add("dawn", over, "finetune-3", hard, part, small)
            for attack in HEAVY:
                add("strong", over, attack, soft, [0], ["vgg"])
            add("strong", over, "augment", hard, [0], ["vgg"])
    for attack in (
        "finetune-10",
        "prune-50",
        "quantise-4",
        "sharpen-2",
        "temperature-2",
        "round-2",
        "round-1",
        "top-3",
        "top-1",
        "noise-average",
        "augment",
        "half-marked",
        "two-apis",
        "colluding",
        "student-of-student",
        "knockoff-digits",
        "budget-2000",
        "key-recovery",
    ):
        add("default", over, attack, soft, [0, 1], small)
    for attack in ("finetune-10", "student-of-student", "noise-average", "budget-2000", "drop-uncertain"):
        add("strong", over, attack, hard, [0, 1], small)
    for attack in ("key-recovery", "temperature-2", "round-1", "half-marked", "two-apis"):
        add("strong", over, attack, soft, [0], small)
    for attack in ("none", *HEAVY):
        add("heavy", over, attack, soft, [0, 1], small)
    add("none", over, "unmarked", hard, range(40, 44), ["cnn", "vgg"])
    return sorted(found, key=lambda cell: ARCHITECTURES.index(cell.student))  # cheap networks first; stable within one


class Workshop:
    """Data, the source, the owner's references and the keyring; every network made once and kept in `cache`."""

    def __init__(
        self,
        cache: Path,
        dataset: str = "fashion-mnist",
        *,
        epochs: int = 6,
        source_epochs: int = 16,
        train: int = 10_000,
        source: str = "res-wide",
        references: Sequence[tuple[str, str, bool, int]] = REFERENCES,
        seed: int = 1,
    ) -> None:
        torch.set_num_threads(1)
        self.cache, self.epochs = cache, epochs
        self.data = table(TABLES[dataset]) if dataset in TABLES else data.load(dataset)
        self.owner, self.attacker, self.innocent = (
            self.data[f"{part}[:{train}]"] for part in ("owner", "attacker", "innocent")
        )
        self.reserve, self.test = self.data[f"reserve[:{min(train, 9600)}]"], self.data["test"]
        self.held = self.data["queries"].inputs
        self.queries = self.held[:QUERIES]
        self._known: dict[bytes, Floats] = {}
        self.logits = self.network("source", source, self.owner, Training(epochs=source_epochs), seed=seed)
        self.references = [self._reference(i, *what) for i, what in enumerate(references)]
        self.rings: dict[str, Keyring] = {}
        self._wide: dict[str, Floats] = {}

    def _reference(self, i: int, architecture: str, split: str, student: bool, seed: int) -> nn.Module:
        samples = (self.owner if split == "owner" else self.reserve)[:9600]
        soft = self.answers("over-confident", samples.inputs) if student else None
        return self.network(f"reference-{i}", architecture, samples, Training(epochs=self.epochs), seed=seed, soft=soft)

    def network(
        self,
        name: str,
        architecture: str,
        samples: Samples,
        how: Training,
        *,
        seed: int,
        soft: Floats | None = None,
        start: nn.Module | None = None,
    ) -> nn.Module:
        """Train, or read what was trained before under that name."""
        path = self.cache / f"{name}.safetensors"
        model = architectures.build(architecture, samples.shape, samples.classes, seed=seed)
        if path.is_file():
            model.load_state_dict(load_file(path))
            return model.eval()
        if start is not None:
            model.load_state_dict(start.state_dict())
        fit(model, samples, how, seed=seed, soft=soft)
        self.keep(name, model)
        return model

    def keep(self, name: str, model: nn.Module) -> None:
        """Write a network to the cache, whole or not at all."""
        path = self.cache / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, fresh)
        fresh.replace(path)

    def answers(self, source: str, inputs: Array) -> Floats:
        """The unmarked API's probabilities (n, k)."""
        key = sha256(inputs.tobytes()).digest()
        if key not in self._known:
            self._known[key] = outputs(self.logits, inputs)
        return softmax(self._known[key] / (self.temperature if source == "calibrated" else 1.0))

    @cached_property
    def temperature(self) -> float:
        """The temperature that fits the source's confidence to the reserve's labels best, on a grid from 1 to 5."""
        rows = outputs(self.logits, self.reserve.inputs)
        grid = np.arange(1.0, 5.01, 0.1)
        losses = [-np.log(softmax(rows / t)[np.arange(len(rows)), self.reserve.targets] + 1e-12).mean() for t in grid]
        return float(grid[int(np.argmin(losses))])

    def widened(self, source: str, mark: DynaMarks) -> ClientKey:
        """A mark's key over all held-out inputs."""
        assert mark.key is not None
        if source not in self._wide:
            self._wide[source] = np.stack([softmax(outputs(model, self.held)) for model in self.references])
        return logged(mark.key, self.held, self.answers(source, self.held), self._wide[source])

    def ring(self, source: str) -> Keyring:
        """The keyring of a source, over the held-out queries."""
        if source not in self.rings:
            others = np.stack([softmax(outputs(model, self.queries)) for model in self.references])
            self.rings[source] = Keyring.make(
                self.owner.inputs[:5000], self.queries, self.answers(source, self.queries), others, seed=0
            )
        return self.rings[source]


TABLES = {"table": 5, "two-classes": 2}


def table(classes: int) -> data.Data:
    """A made-up table of 20 columns (scikit-learn's make_classification), standardised.

    9,000 rows to train on, 3,000 held out.
    """
    from sklearn.datasets import make_classification

    x, y = make_classification(
        12_000,
        20,
        n_informative=12,
        n_redundant=2,
        n_classes=classes,
        n_clusters_per_class=8 // classes + 1,
        class_sep=1.5,
        random_state=classes,
    )
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    samples = Samples(x, y.astype(np.int64), classes)
    return data.split(f"table of {classes} classes", samples[:9000], samples[9000:], seed=0)


def workshop(cache: Path, source: str) -> Workshop:
    """The workshop that a source belongs to."""
    if source in ("over-confident", "calibrated"):
        return Workshop(cache)
    epochs = 60 if source == "digits" else 25
    return Workshop(
        cache / source, source, epochs=epochs, source_epochs=epochs, source="mlp", references=SMALL_REFERENCES
    )


def marked(shop: Workshop, cell: Cell) -> tuple[DynaMarks | DAWN, Callable[[Array], Floats]]:
    """The cell's watermark under its client's key, and the API that it marks."""
    key = shop.ring(cell.source).client(MASTER, f"client-{cell.number}-{cell.student}")
    mark = DAWN(key=key) if cell.strength == "dawn" else DynaMarks(strength=cell.strength, key=key)
    return mark, lambda inputs: mark.mark(inputs, shop.answers(cell.source, inputs))


@cache
def clients(ring: Keyring) -> list[ClientKey]:
    """The plan's CLIENTS other clients of a keyring."""
    return [ring.client(MASTER, f"other-{i}") for i in range(CLIENTS)]


def student(shop: Workshop, cell: Cell) -> nn.Module:
    """The thief's network after everything done to be rid of the mark."""
    if cell.attack == "unmarked":
        return _unmarked(shop, cell)
    x, seed = shop.attacker.inputs, 5000 + 97 * cell.number + len(cell.student)
    _, api = marked(shop, cell)
    random = np.random.default_rng(seed)

    def learn(name: str, inputs: Array, rows: Floats, how: Training) -> nn.Module:
        hard = Samples(inputs, rows.argmax(axis=1).astype(np.int64), shop.attacker.classes)
        return shop.network(name, cell.student, hard, how, seed=seed, soft=None if cell.access == "labels" else rows)

    how = Training(epochs=shop.epochs)
    plain = replace(cell, attack="none").name
    match cell.attack.split("-"):
        case ["none"]:
            return learn(plain, x, api(x), how)
        case ["finetune", epochs]:
            start = learn(plain, x, api(x), how)
            slow = Training(epochs=int(epochs), rate=1e-3, cycle=False)
            return shop.network(cell.name, cell.student, shop.attacker, slow, seed=seed + 1, start=start)
        case ["prune", share]:
            return _pruned(learn(plain, x, api(x), how), int(share) / 100)
        case ["quantise", bits]:
            return _quantised(learn(plain, x, api(x), how), int(bits))
        case ["sharpen", power]:
            return learn(cell.name, x, _powered(api(x), float(power)), how)
        case ["temperature", heat]:
            return learn(cell.name, x, _powered(api(x), 1 / float(heat)), how)
        case ["round", digits]:
            return learn(cell.name, x, _powered(np.round(api(x), int(digits)) + 1e-9, 1.0), how)
        case ["top", k]:
            rows = api(x)
            return learn(
                cell.name, x, _powered(np.where(rows >= np.sort(rows, axis=1)[:, [-int(k)]], rows, 0), 1.0), how
            )
        case ["noise", "average"]:
            noisy = [
                api(np.clip(x + random.normal(scale=0.05, size=x.shape), 0, 1).astype(np.float32)) for _ in range(6)
            ]
            rows = np.mean(
                [np.eye(shop.attacker.classes)[r.argmax(axis=1)] for r in noisy] if cell.access == "labels" else noisy,
                axis=0,
            )
            return learn(cell.name, x, rows, how)
        case ["augment"]:
            return learn(cell.name, x, api(x), replace(how, epochs=shop.epochs + 2, shift=2, flip=True))
        case ["half", "marked"]:
            rows = api(x)
            rows[1::2] = shop.answers(cell.source, x[1::2])
            return learn(cell.name, x, rows, how)
        case ["two", "apis"]:
            return learn(cell.name, x, (api(x) + softmax(outputs(shop.references[0], x))) / 2, how)
        case ["colluding"]:
            other = DynaMarks(strength=cell.strength, key=clients(shop.ring(cell.source))[0])
            return learn(cell.name, x, (api(x) + other.mark(x, shop.answers(cell.source, x))) / 2, how)
        case ["student", "of", "student"]:
            first = learn(plain, x, api(x), how)
            return learn(cell.name, shop.innocent.inputs, softmax(outputs(first, shop.innocent.inputs)), how)
        case ["knockoff", "digits"]:
            foreign = _other_domain(len(x), shop.attacker.shape, random)
            return learn(cell.name, foreign, api(foreign), how)
        case ["budget", n]:
            return learn(cell.name, x[: int(n)], api(x[: int(n)]), replace(how, epochs=3 * shop.epochs))
        case ["drop", "uncertain"]:
            rows = api(x)
            top = np.sort(rows, axis=1)
            sure = top[:, -1] - top[:, -2] > 0.7
            return learn(cell.name, x[sure], rows[sure], how)
        case ["key", "recovery"]:
            return learn(cell.name, x, _unmarked_guess(shop, cell, api(x), random), how)
    raise SettingError(f"no attack named {cell.attack!r} in this plan")


def _unmarked(shop: Workshop, cell: Cell) -> nn.Module:
    """An honest model (even numbers), or a student of the unmarked source (odd): other data and seeds in turn."""
    samples = (shop.attacker, shop.innocent, shop.owner)[cell.number // 2 % 3]
    if cell.number % 2 and samples is shop.owner:
        samples = shop.innocent
    soft = shop.answers(cell.source, samples.inputs) if cell.number % 2 else None
    return shop.network(
        cell.name, cell.student, samples, Training(epochs=shop.epochs), seed=9000 + cell.number, soft=soft
    )


def _powered(rows: Floats, power: float) -> Floats:
    raised = rows**power
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _pruned(model: nn.Module, share: float) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p[p.abs() < p.abs().flatten().kthvalue(max(1, int(share * p.numel()))).values] = 0
    return model


def _quantised(model: nn.Module, bits: int) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                step = p.abs().max() / (2 ** (bits - 1) - 1)
                p.copy_((p / step).round() * step)
    return model


def _other_domain(n: int, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Handwritten digits, enlarged, shifted and mixed, as the knockoff thief's images."""
    images = np.kron(data.load("digits")["owner"].inputs[:, 0], np.ones((3, 3)))
    canvas = np.zeros((n, *shape), dtype=np.float32)
    for i in range(n):
        a, b = random.integers(len(images), size=2)
        dy, dx = random.integers(shape[1] - 23, size=2)
        canvas[i, :, dy : dy + 24, dx : dx + 24] = np.maximum(images[a], images[b] * (random.random() < 0.5))
    return canvas


def _unmarked_guess(shop: Workshop, cell: Cell, rows: Floats, random: np.random.Generator) -> Floats:
    """What a thief who knows the algorithm, but not the key, takes the unmarked answers to be.

    The thief whitens the own images alike, trains an own model on true labels as a proxy of the unmarked source, fits
    the log-ratio of answers and proxy by ridge regression on 1,500 random waves of the right frequency, and divides it
    out.
    """
    proxy = shop.network(f"proxy-{cell.student}", cell.student, shop.attacker, Training(epochs=shop.epochs), seed=77)
    ratio = np.log(np.maximum(rows, 1e-6)) - np.log(np.maximum(softmax(outputs(proxy, shop.attacker.inputs)), 1e-6))
    ring = shop.ring(cell.source)
    psi = type(ring.whitening).fit(shop.attacker.inputs[:5000])(shop.attacker.inputs)
    directions = random.normal(size=(1500, psi.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    waves = np.cos(psi @ (ring.omega * directions.T) + random.uniform(0, 2 * np.pi, 1500))
    cellwise = np.eye(rows.shape[1])[rows.argmax(axis=1)]
    usual = cellwise @ np.linalg.lstsq(cellwise, ratio, rcond=None)[0]
    weights = np.linalg.solve(waves.T @ waves + 300.0 * np.eye(1500), waves.T @ (ratio - usual))
    return _powered(np.maximum(rows, 1e-6) * np.exp(-(waves @ weights)), 1.0)
