"""Cohorts: the models an owner makes around the source, as rules for cards.

Twins are reruns of the source under other seeds. References are independent models of several architectures, half on
the source's own data, half on the owner's reserve. Surrogates are small thefts by the owner, on the reserve.
"""

from dataclasses import replace

from birthmark.card import Card

REFERENCE_ARCHITECTURES = ("cnn", "res", "vgg", "lenet", "mobile", "squeeze")
TWIN_SEED, REFERENCE_SEED, SURROGATE_SEED, STUDENT_SEED = 1_000, 2_000, 3_000, 4_000


def origin(card: Card) -> Card:
    """The card that the source's twins rerun: the source's own, as a trained model."""
    return card if card.kind == "trained" else replace(card, kind="trained", settings={})


def twin_cards(source: Card, n: int) -> list[Card]:
    """The source's card under `n` other seeds."""
    return [replace(origin(source), seed=TWIN_SEED + source.seed * 100_000 + i) for i in range(n)]


def reference_cards(source: Card, n: int, architectures: tuple[str, ...] = REFERENCE_ARCHITECTURES) -> list[Card]:
    """`n` independents, alternately on the source's split and on the reserve, architectures in turn."""
    flat = source.recipe.partition(":")[0].startswith("mlp")
    names = ("mlp", "mlp-deep", "mlp:width=64") if flat else architectures
    return [
        replace(
            origin(source),
            recipe=names[i % len(names)],
            split=("reserve", source.split)[i % 2],
            seed=REFERENCE_SEED + source.seed * 100_000 + i,
        )
        for i in range(n)
    ]


def surrogate_cards(source: Card, n: int = 3) -> list[Card]:
    """Thefts of the source by its owner on the reserve: a fine-tuned copy, students on probabilities and on labels."""
    student = "mlp" if source.recipe.partition(":")[0].startswith("mlp") else "cnn"
    thefts = [("ftal", {}), ("distill", {"student": student}), ("retrain", {"student": student})]
    return [
        Card(kind="stolen", data=source.data, split="reserve", recipe="", seed=SURROGATE_SEED + source.seed * 100_000 + i,
             attack=thefts[i % 3][0], settings=thefts[i % 3][1], parents=(source.key,))
        for i in range(n)
    ]  # fmt: skip


def student_cards(source: Card, n: int = 1) -> list[Card]:
    """`n` students extracted from a model on the reserve, alternately from probabilities and from labels."""
    student = "mlp" if source.recipe.partition(":")[0].startswith("mlp") else "cnn"
    return [
        Card(kind="stolen", data=source.data, split="reserve", recipe="", seed=STUDENT_SEED + source.seed * 100_000 + i,
             attack=("distill", "retrain")[i % 2], settings={"student": student}, parents=(source.key,))
        for i in range(n)
    ]  # fmt: skip
