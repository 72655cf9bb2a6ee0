"""Cohorts: the models an owner makes around the source, as rules for cards.

Twins are reruns of the source from the same start on other courses. References are independent models, half on the
source's own data, half on the owner's reserve, of several architectures; some start where the source does. Treated
references are copies and students of those. Surrogates are small thefts by the owner, on the reserve.

A recipe (TOML, `cohorts/*.toml` or a file of the user's) says which models queries are crafted with:

    about       one line, for people
    twins       reruns of the source among the independents, the same that are placebos elsewhere
    thin        keep every so many-th model of each side only; default 1, all of them
    without     attacks whose models are left out, for ablations; "adv-train" leaves out all adversarially trained ones
    mirrored    whether every treatment is given to an independent, too, in rotation; without that, honest models
                that went through the same treatment are accused
    [[independent]]   recipes, split ("source" for the source's own), training, and how many `times`; with
                      start = "source" of the source's recipe and from its start
    [[treatment]]     attack, settings, split or splits in rotation, students (one model each), and how many `times`
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from birthmark.artifact import toml
from birthmark.errors import SettingError, nearest
from birthmark.types import Plain
from birthmark.workshop.card import VERSION, Card, made_by, stolen
from birthmark.workshop.seeds import drawn

RECIPES = Path(__file__).parents[1] / "cohorts"
MOST = 10_000  # models of one rule
TEXT, LIST, COUNT = (str,), (list,), (int,)
WORDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "": {
        **{"about": TEXT, "twins": COUNT, "thin": COUNT, "without": LIST, "mirrored": (bool,)},
        **{"independent": LIST, "treatment": LIST},
    },
    "independent": {"recipes": LIST, "split": TEXT, "training": (dict,), "start": TEXT, "times": COUNT},
    "treatment": {"attack": TEXT, "settings": (dict,), "split": (str, list), "students": LIST, "times": COUNT},
}
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
SAME_START_TURN = 4  # every so many-th reference starts where the source does
SAME_START, OTHER_START = "same-start", "other-start"


def origin(card: Card) -> Card:
    """The card that the source's twins rerun: the source's own, as a trained model, by today's code.

    A source that was made from another model (a fine-tuned public backbone) has twins made from the same one, so that
    what all of them share with everybody else's fine-tunes cancels.
    """
    today = replace(card, version=VERSION, made_by=made_by())
    return replace(today, kind="trained", settings={}) if card.kind == "given" else today


def seed_of(source: Card, *words: str | int) -> int:
    """A seed of the owner's for one model around the source."""
    return drawn(source.start, source.course, *words)


def twin_cards(source: Card, n: int, *, secret: int = 0, kind: str = SAME_START) -> list[Card]:
    """The source's card under `n` other courses; under other starts, too, if `kind` says so.

    Args:
        secret: of the owner: without it nobody else can tell the twins' courses.
    """
    first = origin(source)
    return [
        replace(
            first,
            course=seed_of(source, "twin", secret, i),
            start=first.start if kind == SAME_START else seed_of(source, "twin's start", secret, i),
        )
        for i in range(n)
    ]


def kin(source: Card, flat: bool, others: tuple[str, ...] = REFERENCE_ARCHITECTURES) -> tuple[str, ...]:
    """Architectures that take what the source takes.

    Args:
        flat: whether inputs are no images: then networks beside one of the user's own are mlps.
    """
    return RELATIVES.get(source.recipe.partition(":")[0], RELATIVES["mlp"] if flat else others)


def reference_cards(
    source: Card,
    n: int,
    architectures: tuple[str, ...] = REFERENCE_ARCHITECTURES,
    *,
    drawn_by: int = 0,
    flat: bool = False,
) -> list[Card]:
    """`n` independents, alternately on the reserve and on the source's split, architectures in turn.

    Every fourth has the source's architecture and start, on the reserve: a stranger who started where the source did is
    closest of all. Of a fine-tuned backbone all are other fine-tunes of it, for the same reason. A recipe of the user's
    own brings its own data, so that no such stranger can be made.
    """
    names = kin(source, flat, architectures)
    tuned, first = source.kind == "stolen", replace(origin(source), code="")
    cards = []
    for i in range(n):
        alike = i % SAME_START_TURN == 2 and not source.own_code
        card = replace(first, split=("reserve", source.split)[i % 2], course=seed_of(source, "reference", i))
        if not tuned and not alike:
            start = seed_of(source, "reference's start", i)
            card = replace(card, recipe=names[i % len(names)], start=start, parents=())
        cards.append(card)
    return cards


def treated_cards(source: Card, references: Sequence[Card], each: int, *, flat: bool = False) -> list[list[Card]]:
    """`each` copies and students of every reference, on the reserve: what thieves do to a model, done to innocents.

    Students (of the source's architecture and two others), a fine-tuned and a pruned copy in turn, begun one further at
    every reference.
    """
    family = source.recipe.partition(":")[0]
    rate, epochs = float(source.training.get("rate", 6e-3)), int(source.training.get("epochs", 10))
    others = DECODERS if family in GENERATORS else kin(source, flat)
    own = others[0] if family in GENERATORS or source.own_code else source.recipe
    student = {"epochs": max(10, epochs), "rate": rate}
    found = []
    for i, card in enumerate(references):
        treatments: list[tuple[str, dict[str, Any]]] = [
            ("distill", {"student": own, **student}),
            ("ftal", {"epochs": 4, "rate": rate / 2}),
            ("distill", {"student": others[(i + 1) % len(others)], **student}),
            ("prune", {"amount": 0.7, "epochs": 3}),
            ("distill", {"student": others[(i + 2) % len(others)], **student}),
        ]
        turn = [treatments[(i + j) % len(treatments)] for j in range(each)]
        found.append([stolen(card, *how, "reserve", seed_of(source, "treated", i, j)) for j, how in enumerate(turn)])
    return found


def surrogate_cards(source: Card, n: int = 3, *, flat: bool = False) -> list[Card]:
    """Thefts of the source by its owner on the reserve: a fine-tuned copy, students on probabilities and on labels."""
    student = {"student": kin(source, flat, ("cnn",))[0]}
    thefts = [("ftal", {}), ("distill", student), ("retrain", student)]
    return [stolen(source, *thefts[i % 3], "reserve", seed_of(source, "surrogate", i)) for i in range(n)]


def student_cards(source: Card, n: int = 1) -> list[Card]:
    """`n` students extracted from a model on the reserve, alternately from probabilities and from labels."""
    student = {"student": RELATIVES.get(source.recipe.partition(":")[0], ("cnn",))[0]}
    return [
        stolen(source, ("distill", "retrain")[i % 2], student, "reserve", seed_of(source, "student", i))
        for i in range(n)
    ]


@dataclass(frozen=True)
class Family:
    """Cards of one owner's cohort: models derived from it, and independent ones, each with its parents before it."""

    derived: tuple[Card, ...]
    independent: tuple[Card, ...]


def recipe(name: str) -> Plain:
    """A cohort's recipe by name, or from a TOML file.

    Raises:
        UnknownName: neither a known recipe nor a file.
        SettingError: not TOML, with words a recipe does not have, or values of another kind.
    """
    known = {place.stem: place for place in sorted(RECIPES.glob("*.toml"))}
    if name not in known and not Path(name).is_file():
        raise nearest("cohort recipe", name, known)
    found = toml(known.get(name, Path(name)))
    _check_words(name, "", found)
    for part in ("independent", "treatment"):
        for table in found.get(part, ()):
            _check_words(name, part, table)
    return found


def _check_words(name: str, part: str, table: object) -> None:
    words, where = WORDS[part], part or "the recipe"
    if not isinstance(table, dict) or (unknown := sorted(set(table) - set(words))):
        got = f"unknown {', '.join(unknown)}" if isinstance(table, dict) else f"no table but {table!r:.80}"
        raise SettingError(f"cohort recipe {name}: {got} in {where}; it has {', '.join(words)}")
    needed = {"treatment": {"attack", "split"}, "independent": set() if "start" in table else {"recipes"}}
    if missing := needed.get(part, set()) - set(table):
        raise SettingError(f"cohort recipe {name}: {where} without {', '.join(sorted(missing))}")
    for word, value in table.items():
        if type(value) not in words[word] or not _fits(word, value, part):
            wanted = " or ".join(kind.__name__ for kind in words[word])
            raise SettingError(f"cohort recipe {name}: expected {word} to be {wanted} (0 to {MOST}), got {value!r:.80}")


def _fits(word: str, value: object, part: str) -> bool:
    """Whether a value of the right kind is in range: lists of a part hold texts, numbers lie from 0 or 1 to MOST."""
    if isinstance(value, list):
        return part == "" or all(isinstance(one, str) for one in value)
    return type(value) is not int or (word != "twins") <= value <= MOST


def family(plan: Plain, owner: Card, source: Card, *, twins: Sequence[Card], seed: int = 0) -> Family:
    """The cards of one owner's cohort.

    Twins' cohorts have the same independents as the source's; among owners (the source and its twins), each has all
    others as independents. So all owners are treated alike.

    Args:
        plan: a recipe.
        owner: whose cohort it is: the source's card or a twin's.
        source: the source's card.
        twins: the owners beside the source; the plan's own twins are the first of them.
        seed: another one gives another cohort of the same recipe: held-out models to choose settings on.
    """
    plain, special = _independents(plan, source, seed)
    every, treated = int(plan.get("thin", 1)), list(_treatments(plan, owner, seed))
    mirrored = [
        replace(card, parents=(plain[i % len(plain)].key,), course=seed_of(source, "mirrored", seed, i))
        for i, card in enumerate(treated if plan.get("mirrored") and plain else ())
    ]
    others = [card for card in (source, *twins) if card.key != owner.key]
    independent = (*plain, *others, *special, *_wanted(plan, mirrored))[::every]
    needed = {parent for card in independent for parent in card.parents} - {card.key for card in independent}
    return Family(
        tuple(_wanted(plan, treated)[::every]), (*(card for card in plain if card.key in needed), *independent)
    )


def _wanted(plan: Plain, cards: Sequence[Card]) -> list[Card]:
    """Those whose attack the plan does not leave out."""
    return [card for card in cards if card.attack not in plan.get("without", ())]


def _independents(plan: Plain, source: Card, seed: int) -> tuple[list[Card], list[Card]]:
    """Independents trained as the source is, and those with a training of their own."""
    plain, special = list[Card](), list[Card]()
    for table in plan.get("independent", ()):
        same = table.get("start") == "source"
        if same and source.own_code:
            continue
        for name in ([source.recipe] if same else list(table["recipes"])) * int(table.get("times", 1)):
            card = _independent(table, name, source, seed, len(plain) + len(special))
            (special if table.get("training") else plain).append(card)
    if "adv-train" in plan.get("without", ()):
        special = [card for card in special if not card.training.get("adversarial")]
    return plain, special


def _independent(table: Plain, name: str, source: Card, seed: int, place: int) -> Card:
    first = origin(source)
    return replace(
        first,
        recipe=name,
        code=first.code if name == source.recipe else "",
        split=source.split if table.get("split", "source") == "source" else table["split"],
        start=source.start if table.get("start") == "source" else seed_of(source, "independent's start", seed, place),
        course=seed_of(source, "independent", seed, place),
        training={**first.training, **table.get("training", {})},
    )


def _treatments(plan: Plain, owner: Card, seed: int) -> Sequence[Card]:
    cards = list[Card]()
    for table in plan.get("treatment", ()):
        splits = [table["split"]] if isinstance(table["split"], str) else table["split"]
        students = table.get("students") or [""]
        for i in range(len(students) * int(table.get("times", 1))):
            named = {"student": students[i % len(students)]} if students[0] else {}
            settings, split = {**table.get("settings", {}), **named}, splits[(i + i // len(students)) % len(splits)]
            cards.append(stolen(owner, table["attack"], settings, split, seed_of(owner, "derived", seed, len(cards))))
    return cards
