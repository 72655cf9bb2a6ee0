"""Tasks: their data, their networks, and the attacks that any network bears."""

import numpy as np
import pytest
import torch

from birthmark import data as datasets
from birthmark import registry
from birthmark.data import tasks
from birthmark.data.stored import Read, Stored
from birthmark.errors import SettingError, UnknownName
from birthmark.types import Answers, Samples
from birthmark.workshop import architectures
from birthmark.workshop.card import stolen
from birthmark.workshop.cohort import reference_cards, surrogate_cards, twin_cards
from birthmark.workshop.networks import GAN, VAE
from birthmark.workshop.training import Training, accuracy, fit, outputs
from birthmark.workshop.whitebox import Open
from birthmark.zoo.catalogue import read
from birthmark.zoo.task_plans import plan, source_card

TABLES = ("diabetes", "friedman1", "autoencoder", "forecast")


def pictures() -> Read:
    """Garments of the right shapes, for tests that must not look for files."""
    random = np.random.default_rng(0)
    made = [
        Stored(random.random((n, 28, 28), dtype=np.float32), random.integers(0, 10, n), 10) for n in (14_000, 5_000)
    ]
    return Read(*made)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_cut_into_disjoint_parts_the_same_every_time(name: str) -> None:
    one, other = datasets.load(name), tasks.parts(name, 0, pictures)
    assert set(one.parts) == set(tasks.PARTS)
    assert all(
        np.array_equal(one[part].inputs, other[part].inputs) and np.array_equal(one[part].targets, other[part].targets)
        for part in tasks.PARTS
    )
    rows = np.concatenate([one[part].inputs for part in ("owner", "reserve", "attacker", "innocent", "test")])
    assert len(np.unique(rows, axis=0)) == len(rows)
    assert one.classes == 0
    assert not np.array_equal(one["owner"].inputs, tasks.parts(name, 1, pictures)["owner"].inputs)


@pytest.mark.parametrize(
    ("name", "outputs_", "classes"), [("segmentation", 196, 0), ("vae", 196, 0), ("garments-mlp", 10, 10)]
)
def test_pictures_are_halved_and_latents_stand_before_images(name: str, outputs_: int, classes: int) -> None:
    made = tasks.parts(name, 0, pictures)
    samples = made["owner"]
    assert samples.shape == ((12,) if name == "vae" else (1, 14, 14))
    assert samples.outputs == outputs_
    assert samples.classes == classes
    assert samples.inputs.dtype == np.float32


@pytest.mark.parametrize(
    "name",
    [
        "unet:width=4",
        "unet:width=4,smooth=1",
        "autoencoder:width=8",
        "forecaster:width=6",
        "forecaster:width=6,relu=1",
        "vae:width=8",
        "gan:width=4",
    ],
)
def test_networks_train_by_the_one_loop_with_the_same_bits(name: str) -> None:
    shape = (1, 6, 6) if name.startswith("unet") else (7,)
    random = np.random.default_rng(0)
    samples = Samples(random.random((40, *shape), dtype=np.float32), random.random((40, 36), dtype=np.float32), 0)
    made = [
        fit(architectures.build(name, shape, 36, seed=0), samples, Training(epochs=2, batch=16, bf16=False), seed=1)
        for _ in range(2)
    ]
    assert outputs(made[0], samples.inputs).shape == (40, 36)
    assert np.array_equal(outputs(made[0], samples.inputs), outputs(made[1], samples.inputs))
    fresh = architectures.build(name, shape, 36, seed=0)
    assert not np.array_equal(outputs(made[0], samples.inputs), outputs(fresh, samples.inputs))
    assert made[0].__dict__["architecture"] == name


def test_networks_that_cannot_fit_say_so() -> None:
    with pytest.raises(SettingError, match="square grey images"):
        architectures.build("gan", (4,), 35, seed=0)
    with pytest.raises(SettingError, match="same size"):
        architectures.build("unet", (1, 6, 6), 35, seed=0)
    with pytest.raises(SettingError, match="windows"):
        architectures.build("forecaster", (1, 6, 6), 4, seed=0)


@pytest.mark.parametrize("kind", [VAE, GAN])
def test_a_generators_own_loss_teaches_generator_and_opponent(kind: type) -> None:
    torch.manual_seed(0)
    network = VAE(4, 64, 16, 1, 1.0) if kind is VAE else GAN(4, 8, 4)
    network.cost(torch.randn(8, 4), torch.rand(8, 64)).backward()
    assert all(
        weight.grad is not None and weight.grad.abs().sum() > 0
        for name, weight in network.named_parameters()
        if weight.ndim > 1
    )
    assert all(weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize(
    ("attack", "settings"),
    [
        ("ftll", {}),
        ("ftal", {}),
        ("rtal", {}),
        ("prune", {"amount": 0.5, "epochs": 2}),
        ("quantise", {}),
        ("weight-noise", {}),
        ("distill", {"student": "mlp:width=32"}),
    ],
)
def test_attacks_serve_regressors(attack: str, settings: dict[str, object]) -> None:
    data = datasets.load("friedman1")
    part = Samples(data["attacker"].inputs[:800], data["attacker"].targets[:800], 0)
    source = fit(
        architectures.build("mlp:width=32", (10,), 1, seed=0),
        part,
        Training(epochs=12, batch=32, rate=4e-3, bf16=False),
        seed=0,
    )
    assert accuracy(source, data["test"]) > 0.8
    thief = registry.make("attacks", attack, settings).steal(Open(source, Answers.VALUES), part, seed=1)
    assert accuracy(thief, data["test"]) > 0.5
    assert not np.array_equal(outputs(thief, part.inputs), outputs(source, part.inputs))


def test_a_fine_tuned_backbone_has_twins_from_the_same_weights() -> None:
    public = source_card("garments-mlp", 9)
    tuned = stolen(public, "ftal", {"epochs": 2}, "owner", 1)
    for card in [*twin_cards(tuned, 3), *reference_cards(tuned, 3)]:
        assert card.parents == tuned.parents
        assert card.attack == "ftal"
        assert card.key != tuned.key
    assert surrogate_cards(tuned)[0].parents == (tuned.key,)


def test_the_plan_of_a_task_keeps_innocents_apart_from_sources() -> None:
    made = read("fingerbench-tasks/friedman1")
    assert made.sources == (1, 2, 3)
    assert {entry.role for entry in made.entries} == {"source", "twin", "craft", "positive", "negative"}
    positives = [entry for entry in made.entries if entry.role == "positive"]
    keys = {entry.source: entry.card.key for entry in made.entries if entry.role == "source"}
    assert all(entry.card.parents == (keys[entry.source],) for entry in positives)
    assert not {card.key for card in made.cards()} & {source_card("friedman1", 0).key}
    assert len({entry.card.key for entry in made.entries}) == len(made.entries)
    with pytest.raises(UnknownName, match="friedman1"):
        plan("friedman")


def test_a_tasks_plan_of_99_twins_is_another_plan_around_the_same_sources() -> None:
    small, large = read("fingerbench-tasks/friedman1"), read("fingerbench-tasks/friedman1-99-twins")
    assert (large.name, large.data, large.sources) == (
        "fingerbench-tasks-99-twins",
        small.data,
        small.sources,
    )  # not one row with the other's records
    assert {card.key for card in small.cards()} < {card.key for card in large.cards()}
    assert sum(entry.role == "twin" for entry in large.of(1)) == large.methods["tafa"]["placebos"] == 99


def test_plans_beside_a_tasks_own() -> None:
    own = {entry.name: entry for entry in plan("garments-mlp").of(1)}
    hard = {entry.name: entry for entry in plan("garments-mlp-hard").of(1)}
    assert [name for name, entry in hard.items() if entry.role == "positive"][:3] == [
        "ftal-full",
        "rtal",
        "prune-80-ft",
    ]
    assert hard["distill-tuned"].card.parents == (own["ftal-heavy"].card.key,) == (hard["ftal-heavy"].card.key,)
    coarse = {entry.name: entry for entry in plan("garments-mlp-coarse").of(1)}
    assert coarse["ftll round:digits=2"].card == own["ftll"].card
    assert (coarse["ftll argmax"].group, coarse["same-data-0 argmax"].tier) == (
        "argmax",
        "same data, other seed, argmax",
    )
    others = plan("garments-mlp:4,11")
    assert others.sources == (4, 11)
    assert others.of(4)[0].card == source_card("garments-mlp", 4)
    shared = [entry.card for entry in others.entries if entry.source is None]
    assert not {card.key for card in shared} & {entry.card.key for entry in own.values()}
    with pytest.raises(SettingError, match=r"seeds of sources as in garments-mlp:4,5, got 'four'"):
        plan("garments-mlp:four")
