"""A card says how one model is made; its key is the hash of what it says.

The same card always makes the same bits, so a model is built once and shared by every plan, cohort and
benchmark that names it. What a model is *for* (positive, reference, twin...) is the plan's business, not the card's.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from importlib.metadata import version

from birthmark.artifact import digest_of, whole
from birthmark.errors import SettingError
from birthmark.types import Plain
from birthmark.workshop.seeds import LEAST_SECRET

VERSION = 2  # of training and attack code: raise it when the same card would make other bits


@cache
def made_by() -> str:
    """The releases that decide a model's bits beside our own code."""
    return ", ".join(f"{name} {version(name).partition('+')[0]}" for name in ("torch", "numpy"))


@dataclass(frozen=True)
class Card:
    """How one model is made.

    Attributes:
        kind: "given" (a model file of the user's, `settings` hold its digest), "trained" (by `recipe`) or "stolen" (by
            `attack` from `parents`).
        data: data set by name and content, as `Data.about` says it.
        split: which part it is trained on, e.g. "owner", "attacker[:5000]", "reserve[1/3]".
        recipe: an architecture's name (trained by the standard loop) or "module:function".
        start: seed of the initial weights; without use where they come from `parents`.
        course: seed of everything else random: order of the data, augmentation, dropout; of stolen models all of it.
        training: settings of the standard loop that differ from its defaults.
        attack, settings: name and settings of the attack, for stolen models.
        parents: keys of the models it is made from; the first is the one it is derived from, or starts from.
        shown: how the first parent's answers reach the thief (`birthmark.zoo.marked`): "watermark" with its name, the
            client and settings, keys screened by the other parents; "evasion", wrappers around it. Empty: as they are.
        code: SHA-256 of the source text behind a recipe or an attack of the user's own; empty for built-in ones.
        version, made_by: of our training code; of the releases of others.
    """

    kind: str
    data: Plain
    split: str
    recipe: str
    start: int = field(default=0, repr=False)
    course: int = field(default=0, repr=False)
    training: Plain = field(default_factory=dict)
    attack: str = ""
    settings: Plain = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    code: str = ""
    version: int = VERSION
    shown: Plain = field(default_factory=dict)
    made_by: str = field(default_factory=made_by)

    def __post_init__(self) -> None:
        if self.kind not in ("given", "trained", "stolen"):
            raise SettingError(f"expected a card of kind given, trained or stolen, got {self.kind!r}")
        if (self.kind == "stolen") != bool(self.attack) or (self.kind == "stolen" and not self.parents):
            raise SettingError(
                f"a card is 'stolen' when it names an attack and a parent; got kind {self.kind!r}, attack "
                f"{self.attack!r}, {len(self.parents)} parents"
            )
        for name in ("start", "course"):
            if not 0 <= getattr(self, name) < 2**128:
                raise SettingError(f"expected a {name} from 0 to 2**128 - 1, got {getattr(self, name)}")

    @cached_property
    def key(self) -> str:
        """The first 16 hex digits of the SHA-256 of the card's canonical JSON."""
        return digest_of(asdict(self))[:16]

    @property
    def title(self) -> str:
        """The card in a few words, for people."""
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        what = f"{self.attack}({settings}) of {self.parents[0][:6]}" if self.attack else self.recipe
        seeds = {"course": self.course} if self.parents else {"start": self.start, "course": self.course}
        said = (f"{name} {'of 128 bits' if value >= LEAST_SECRET else value}" for name, value in seeds.items())
        return f"{what} on {self.split}, {', '.join(said)}"

    @property
    def own_code(self) -> bool:
        """Whether the recipe is the user's own code, "module:function"."""
        return is_code(self.recipe)


def stolen(parent: Card, attack: str, settings: Plain, split: str, course: int) -> Card:
    """The card of a theft of `parent`'s model with the data of `split`."""
    return Card(
        "stolen", parent.data, split, "", course=course, attack=attack, settings=settings, parents=(parent.key,)
    )


def is_code(recipe: str) -> bool:
    """Whether a recipe names code, "module:function", rather than an architecture with settings ("res:width=24")."""
    return ":" in recipe and "=" not in recipe


def as_card(value: Plain) -> Card:
    """A card from plain JSON data.

    Raises:
        SettingError: a field it does not have.
    """
    if "seed" in value:  # of birthmark 0.1, which knew one seed for both
        value = {"start": value["seed"], "course": value["seed"], **{k: v for k, v in value.items() if k != "seed"}}
    try:
        seeds = {name: whole(value[name]) for name in ("start", "course") if name in value}
        return _sound(Card(**{**value, **seeds, "parents": tuple(value.get("parents", ()))}))
    except SettingError:
        raise
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise SettingError(f"not a card: {error}") from None


def _sound(card: Card) -> Card:
    """The card; raises TypeError or ValueError where a field is of another kind, or holds what JSON cannot."""
    texts = (card.split, card.recipe, card.attack, card.code, *card.parents)
    if not all(isinstance(text, str) for text in texts) or not isinstance(card.data, Mapping) or not card.key:
        raise TypeError("a field of another kind")
    return card
