"""The command `enroll`: a claim on a model, from models that are there, or from a recipe that trains them."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark.cli.edge import say_json
from birthmark.cli.options import DECLARED, Json, Seed, Settings, SuspectChoice, Workplace, command, noun, settings_of
from birthmark.errors import SettingError
from birthmark.workshop.choices import DataChoice, Making, ModelFile

if TYPE_CHECKING:
    from birthmark.claim import Claim
    from birthmark.method import Method

top = typer.Typer()


def _models(flag: str, what: str) -> object:
    return Annotated[
        list[str], typer.Option(flag, help=f"{what}; may be given again, or be a pattern ('runs/*.onnx').")
    ]


@noun(
    {
        "source": Annotated[
            str,
            typer.Option(
                "--source",
                help="The model to protect: a file, a folder, a URL, or its TOML description; with --recipe a file.",
            ),
        ],
        "twins": _models("--twin", "A rerun of the source's recipe on its data, under a secret seed"),
        "references": _models("--reference", "An independent model of the same task"),
        "treated": _models("--treated", "A copy or student of a reference; as many of each, the first one's first"),
        **DECLARED,
    }
)
@dataclass(frozen=True)
class ModelsChoice:
    """The owner's models; what is declared holds for all that no TOML file describes."""

    source: str
    twins: Sequence[str] = ()
    references: Sequence[str] = ()
    treated: Sequence[str] = ()
    spec: Path | None = None
    answers: str = ""
    authorisation: str = ""
    architecture: str = ""
    shape: tuple[int, ...] = ()
    classes: int = 0

    @property
    def file(self) -> ModelFile:
        """The source as the file that a recipe's owner has."""
        return ModelFile(Path(self.source), self.architecture, self.shape, self.classes)

    def choice(self, target: str) -> SuspectChoice:
        """One of them as any suspect is given."""
        said = (self.spec, self.answers, self.authorisation, self.architecture, self.shape, self.classes)
        return SuspectChoice(target, *said)


@noun(
    {
        "methods": Annotated[
            list[str], typer.Option("--method", help="Fingerprint method (birthmark list methods); may be given again.")
        ],
        "settings": Settings,
        "twins": Annotated[
            int, typer.Option("--twins", min=0, help="Twins to train: 19 reach p = .05, 99 reach p = .01.")
        ],
        "references": Annotated[
            int, typer.Option("--references", min=0, help="Independent models to train, that guard the verdict.")
        ],
        "surrogates": Annotated[
            int, typer.Option("--surrogates", min=0, help="Own thefts that the expected power is measured on.")
        ],
        "seed": Seed,
        "drawn": Annotated[
            Path | None, typer.Option("--drawn", help="What birthmark draw wrote: decides twins and queries.")
        ],
    }
)
@dataclass(frozen=True)
class ClaimChoice:
    """What claims to make: methods and their settings, numbers of the owner's models."""

    methods: Sequence[str] = ("kinship",)
    settings: Sequence[str] = ()
    twins: int = 19
    references: int = 8
    surrogates: int = 3
    seed: int = 0
    drawn: Path | None = None

    def made(self) -> list["Method"]:
        """The methods, each with those of the settings that it has."""
        from birthmark import registry

        known = {"placebos": self.twins, "references": self.references}
        made = list[Any]()
        for name in self.methods:
            default = registry.make("methods", name)
            own = {key: value for key, value in known.items() if hasattr(default, key)}
            made.append(registry.make("methods", name, {**own, **settings_of(list(self.settings))}))
        return made


@command(top, "enroll")
def enroll(
    models: ModelsChoice,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder that the claim is written to; with several methods one folder each inside it."
        ),
    ],
    making: Making = Making(),
    data: DataChoice = DataChoice(),
    choice: ClaimChoice = ClaimChoice(),
    place: Workplace = Workplace(),
    as_json: Json = False,
) -> None:
    """Make a claim on a model: from its twins and references, or by training them; and check it on your own models.

    19 twins are 19 trainings. docs/placebos.md says which claims cost less: birthmark imprint (one fine-tune), compare
    (the suspect's file at hand), gateway (keys at an API).
    """
    from birthmark.cli.tables import print_claim

    work = _from_answers if _given(models, making) else _from_recipe
    claims = work(models, making, data, choice, place, quiet=as_json)
    folders = [out] if len(claims) == 1 else [out / claim.method for claim in claims]
    found = [
        {"claim": str(folder), "digest": claim.save(folder), "method": claim.method, **claim.facts}
        for claim, folder in zip(claims, folders, strict=True)
    ]
    if as_json:
        say_json(found if len(found) > 1 else found[0])
        return
    for facts in found:
        print_claim(facts)


def _given(models: ModelsChoice, making: Making) -> bool:
    """Whether the models are there; raises SettingError where both are said."""
    given = bool(models.twins or models.references)
    if making.same_start and making.other_start:
        raise SettingError("twins start where the source does, or elsewhere: --same-start or --other-start")
    if given and making.recipe:
        raise SettingError("--recipe trains twins and references, --twin and --reference give them: one of the two")
    return given


def _from_answers(
    models: ModelsChoice, making: Making, data: DataChoice, choice: ClaimChoice, place: Workplace, *, quiet: bool
) -> list["Claim"]:
    from birthmark import data as datasets
    from birthmark.cli.parties import opened
    from birthmark.cli.progress import bar
    from birthmark.enrolment import Also, enrolled, start_of

    start = start_told(making)
    if models.twins:
        start_of(start)
    if not data.pool:
        raise SettingError("expected inputs to choose queries from: --pool, with inputs that no model was trained on")
    made, parts = choice.made(), datasets.chosen(data)
    with ExitStack() as stack, bar(f"asking {models.source}", quiet=quiet) as progress:
        parties, notes = opened(models, parts, place.cache, stack)
        also = Also(train=parts.parts.get("owner"), seed=choice.seed, progress=progress)
        notes = [*parts.notes, *notes]
        return [enrolled(parties, method, start=start, notes=notes, also=also) for method in made]


def start_told(making: Making) -> str | int:
    """Where twins start, as `birthmark.enroll` takes it; a secret start may lie in a file or the environment.

    Raises:
        SettingError: a start that is no number.
    """
    from birthmark.suspects.address import refers_to_secret, secret

    if not making.other_start:
        return "same" if making.same_start else ""
    text = secret(making.start) if refers_to_secret(making.start) else making.start
    try:
        return int(text, 0)
    except ValueError:
        raise SettingError(
            "expected the source's own start with --other-start: --start file:PATH, env:NAME or a number, that "
            "birthmark.seed() drew"
        ) from None


def _from_recipe(
    models: ModelsChoice, making: Making, data: DataChoice, choice: ClaimChoice, place: Workplace, *, quiet: bool
) -> list["Claim"]:
    import torch

    from birthmark.cli.progress import bar
    from birthmark.notary.commitments import Drawn
    from birthmark.notary.planning import drawn_owner, says_draw
    from birthmark.workshop.enroll import train_and_enroll
    from birthmark.workshop.opening import open_owner

    torch.set_num_threads(1)
    made, claims = choice.made(), list["Claim"]()
    with closing(place.open()) as engine, bar(f"enrolling with {', '.join(choice.methods)}", quiet=quiet) as progress:
        owner, test = open_owner(models.file, making, data, cache=place.cache, engine=engine, progress=progress)
        drawn = Drawn.read(choice.drawn.read_bytes(), str(choice.drawn)) if choice.drawn else None
        owner, seed = (drawn_owner(owner, drawn), 0) if drawn else (owner, choice.seed)
        for method in made:
            claim = train_and_enroll(owner, method, seed=seed, test=test, surrogates=choice.surrogates)
            claims.append(says_draw(claim, drawn) if drawn else claim)
    return claims


def mount(app: typer.Typer) -> None:
    """Add this command to the `birthmark` command."""
    app.add_typer(top)
