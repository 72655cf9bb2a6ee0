"""Cohorts: the models an owner makes around the source, as rules for cards.

Twins are reruns of the source under other seeds. References are independent models of several architectures, half on
the source's own data, half on the owner's reserve; treated references are copies and students of those. Surrogates are
small thefts by the owner, on the reserve.

A recipe (TOML, `cohorts/*.toml` or a file of the user's) says which models queries are crafted with:

    about       one line, for people
    twins       reruns of the source among the independents, the same that are placebos elsewhere
    thin        keep every so many-th model of each side only; default 1, all of them
    without     attacks whose models are left out, for ablations; "adv-train" leaves out all adversarially trained ones
    mirrored    whether every treatment is given to an independent, too, in rotation; without that, honest models
                that went through the same treatment are accused
    [[independent]]   recipes, split ("source" for the source's own), training, and how many `times`
    [[treatment]]     attack, settings, split or splits in rotation, students (one model each), and how many `times`
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from birthmark.errors import SettingError, nearest
from birthmark.workshop.card import Card

REFERENCE_ARCHITECTURES = ("cnn", "res", "vgg", "lenet", "mobile", "squeeze")
RELATIVES = {  # of families that no image classifier can stand in for
    "mlp": ("mlp", "mlp-deep", "mlp:width=64"),
    "mlp-deep": ("mlp", "mlp-deep", "mlp:width=64"),
    "unet": ("unet", "unet:width=6", "unet:width=4"),
    "autoencoder": ("autoencoder", "autoencoder:width=48", "autoencoder:width=24,code=8"),
    "forecaster": ("forecaster", "forecaster:width=32", "forecaster:relu=1"),
    "vae": ("vae", "vae:width=128", "vae:width=64,depth=2"),
    "gan": ("gan:width=8", "gan:width=6", "gan:width=10"),
}
GENERATORS, DECODERS = (
    ("vae", "gan"),
    ("mlp:width=96,depth=1", "mlp:width=160,depth=1"),
)  # students of generators map latents to images
TWIN_SEED, REFERENCE_SEED, SURROGATE_SEED, STUDENT_SEED = 1_000, 2_000, 3_000, 4_000
DERIVED_SEED, INDEPENDENT_SEED, TREATED_SEED, MIRRORED_SEED = 5_000, 6_000, 7_000, 8_000


def origin(card: Card) -> Card:
    """The card that the source's twins rerun: the source's own, as a trained model.

    A source that was made from another model (a fine-tuned public backbone) has twins made from the same one, so that
    what all of them share with everybody else's fine-tunes cancels.
    """
    return replace(card, kind="trained", settings={}) if card.kind == "given" else card


def twin_cards(source: Card, n: int) -> list[Card]:
    """The source's card under `n` other seeds."""
    return [replace(origin(source), seed=TWIN_SEED + source.seed * 100_000 + i) for i in range(n)]


def reference_cards(source: Card, n: int, architectures: tuple[str, ...] = REFERENCE_ARCHITECTURES) -> list[Card]:
    """`n` independents, alternately on the source's split and on the reserve, architectures in turn.

    Of a fine-tuned backbone they are other fine-tunes of it: an innocent who started from the same public weights is
    closest.
    """
    names = RELATIVES.get(source.recipe.partition(":")[0], architectures)
    return [
        replace(
            origin(source),
            recipe=names[i % len(names)] if not source.parents else source.recipe,
            split=("reserve", source.split)[i % 2],
            seed=REFERENCE_SEED + source.seed * 100_000 + i,
        )
        for i in range(n)
    ]


def treated_cards(source: Card, n: int, each: int) -> list[list[Card]]:
    """`each` copies and students of every one of `n` references, on the reserve: what thieves do to a model, done to
    innocents.

    Students (of the source's architecture and two others), a fine-tuned and a pruned copy in turn, begun one further at
    every reference.
    """
    family = source.recipe.partition(":")[0]
    rate, epochs = float(source.training.get("rate", 6e-3)), int(source.training.get("epochs", 10))
    others = DECODERS if family in GENERATORS else RELATIVES.get(family, REFERENCE_ARCHITECTURES)
    foreign = family in GENERATORS or (
        ":" in source.recipe and "=" not in source.recipe
    )  # module:function trains no student
    own = others[0] if foreign else source.recipe
    student = {"epochs": max(10, epochs), "rate": rate}
    found = []
    for i, card in enumerate(reference_cards(source, n)):
        treatments: list[tuple[str, dict[str, Any]]] = [
            ("distill", {"student": own, **student}),
            ("ftal", {"epochs": 4, "rate": rate / 2}),
            ("distill", {"student": others[(i + 1) % len(others)], **student}),
            ("prune", {"amount": 0.7, "epochs": 3}),
            ("distill", {"student": others[(i + 2) % len(others)], **student}),
        ]
        turn = [treatments[(i + j) % len(treatments)] for j in range(each)]
        found.append(
            [
                Card(
                    kind="stolen",
                    data=source.data,
                    split="reserve",
                    recipe="",
                    seed=TREATED_SEED + source.seed * 100_000 + each * i + j,
                    attack=attack,
                    settings=settings,
                    parents=(card.key,),
                )
                for j, (attack, settings) in enumerate(turn)
            ]
        )
    return found


def surrogate_cards(source: Card, n: int = 3) -> list[Card]:
    """Thefts of the source by its owner on the reserve: a fine-tuned copy, students on probabilities and on labels."""
    student = RELATIVES.get(source.recipe.partition(":")[0], ("cnn",))[0]
    thefts = [("ftal", {}), ("distill", {"student": student}), ("retrain", {"student": student})]
    return [
        Card(
            kind="stolen",
            data=source.data,
            split="reserve",
            recipe="",
            seed=SURROGATE_SEED + source.seed * 100_000 + i,
            attack=thefts[i % 3][0],
            settings=thefts[i % 3][1],
            parents=(source.key,),
        )
        for i in range(n)
    ]


def student_cards(source: Card, n: int = 1) -> list[Card]:
    """`n` students extracted from a model on the reserve, alternately from probabilities and from labels."""
    student = RELATIVES.get(source.recipe.partition(":")[0], ("cnn",))[0]
    return [
        Card(
            kind="stolen",
            data=source.data,
            split="reserve",
            recipe="",
            seed=STUDENT_SEED + source.seed * 100_000 + i,
            attack=("distill", "retrain")[i % 2],
            settings={"student": student},
            parents=(source.key,),
        )
        for i in range(n)
    ]


@dataclass(frozen=True)
class Family:
    """Cards of one owner's cohort: models derived from it, and independent ones, each with its parents before it."""

    derived: tuple[Card, ...]
    independent: tuple[Card, ...]


def recipe(name: str) -> Mapping[str, Any]:
    """A cohort's recipe by name, or from a TOML file.

    Raises:
        UnknownName: neither a known recipe nor a file.
        SettingError: not TOML, or with words a recipe does not have.
    """
    folder = files("birthmark") / "cohorts"
    known = sorted(place.name.removesuffix(".toml") for place in folder.iterdir() if place.name.endswith(".toml"))
    if name not in known and not Path(name).is_file():
        raise nearest("cohort recipe", name, known)
    text = (folder / f"{name}.toml").read_text() if name in known else Path(name).read_text()
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"cohort recipe {name}: not TOML: {error}") from None
    words = {
        "": ("about", "twins", "thin", "without", "mirrored", "independent", "treatment"),
        "independent": ("recipes", "split", "training", "times"),
        "treatment": ("attack", "settings", "split", "students", "times"),
    }
    for part, table in [
        ("", found),
        *((kind, t) for kind in ("independent", "treatment") for t in found.get(kind, ())),
    ]:
        unknown = set(table) - set(words[part])
        if unknown:
            raise SettingError(
                f"cohort recipe {name}: unknown {', '.join(sorted(unknown))} in {part or 'the recipe'}; it has "
                f"{', '.join(words[part])}"
            )
    return found


def family(plan: Mapping[str, Any], owner: Card, source: Card, *, twins: int = 0, seed: int = 0) -> Family:
    """The cards of one owner's cohort.

    Twins' cohorts have the same independents as the source's; among owners (the source and its twins), each has all
    others as independents. So all owners are treated alike.

    Args:
        plan: a recipe.
        owner: whose cohort it is: the source's card or a twin's.
        source: the source's card.
        twins: owners beside the source, if there are more than the recipe's own twins.
        seed: another one gives another cohort of the same recipe: held-out models to choose settings on.
    """
    base, first = source.seed * 100_000 + 100 * seed, origin(source)
    plain, special = list[Card](), list[Card]()
    for table in plan.get("independent", ()):
        for name in list(table["recipes"]) * int(table.get("times", 1)):
            split = source.split if table.get("split", "source") == "source" else table["split"]
            card = replace(
                first,
                recipe=name,
                split=split,
                seed=INDEPENDENT_SEED + base + len(plain) + len(special),
                training={**first.training, **table.get("training", {})},
            )
            (special if table.get("training") else plain).append(card)
    owners = [source, *twin_cards(source, max(twins, int(plan.get("twins", 0))))]
    treated = list(_treatments(plan, owner, DERIVED_SEED + 100 * seed))
    mirrored = [
        replace(card, parents=(plain[i % len(plain)].key,), seed=MIRRORED_SEED + base + i)
        for i, card in enumerate(treated if plan.get("mirrored") and plain else ())
    ]
    thin, left_out = int(plan.get("thin", 1)), set(plan.get("without", ()))
    treated = [card for card in treated if card.attack not in left_out]
    special = [card for card in special if not (card.training.get("adversarial") and "adv-train" in left_out)]
    mirrored = [card for card in mirrored if card.attack not in left_out]
    others = [card for card in owners if card.key != owner.key]
    independent = (*plain, *others, *special, *mirrored)[::thin]
    needed = {parent for card in independent for parent in card.parents} - {card.key for card in independent}
    return Family(tuple(treated[::thin]), (*(card for card in plain if card.key in needed), *independent))


def _treatments(plan: Mapping[str, Any], owner: Card, seed: int) -> Sequence[Card]:
    cards = list[Card]()
    for table in plan.get("treatment", ()):
        splits = [table["split"]] if isinstance(table["split"], str) else table["split"]
        students = table.get("students") or [""]
        for i in range(len(students) * int(table.get("times", 1))):
            named = {"student": students[i % len(students)]} if students[0] else {}
            cards.append(
                Card(
                    kind="stolen",
                    data=owner.data,
                    split=splits[(i + i // len(students)) % len(splits)],
                    recipe="",
                    attack=table["attack"],
                    settings={**table.get("settings", {}), **named},
                    parents=(owner.key,),
                    seed=seed + owner.seed * 100_000 + len(cards),
                )
            )
    return cards
