"""The command `imprint`: a finished model learns a key, so that copies and students carry it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birthmark.cli.edge import say, say_json
from birthmark.cli.options import Json, KeyFiles, Seed, Split, command, noun
from birthmark.errors import SettingError
from birthmark.workshop.choices import DataChoice, ModelFile

if TYPE_CHECKING:
    from birthmark.marks.keys import Secret


@noun(
    {
        "drawn": Annotated[
            Path | None,
            typer.Option("--drawn", help="What birthmark draw wrote: the key follows from it, and has its date."),
        ],
        "undated": Annotated[
            bool, typer.Option("--undated", help="Take the key from --secret alone; the evidence says it has no date.")
        ],
    }
)
@dataclass(frozen=True)
class KeyDate:
    """What dates the key."""

    drawn: Path | None = None
    undated: bool = False

    def key(self, secret: str) -> "tuple[Secret, str]":
        """The master of the key, and what dates it: the draw's digest, or nothing.

        Raises:
            SettingError: neither a draw nor the word that there is none.
        """
        from hashlib import sha256

        from birthmark.marks.keys import Secret, read_secret
        from birthmark.notary.commitments import Drawn

        if self.drawn is not None:
            drawn = Drawn.read(self.drawn.read_bytes(), str(self.drawn))
            return Secret(drawn.key("master")), sha256(drawn.blob).hexdigest()
        if not self.undated:
            raise SettingError(
                "a key without a date proves little: it could have been searched for. Commit first (birthmark commit, "
                "sign, timestamp), then draw and give --drawn; or say --undated, and the evidence says so"
            )
        return read_secret(secret), ""


@noun(
    {
        "eps": Annotated[float, typer.Option("--eps", help="Mass moved to where the key says, 0 to 1.")],
        "epochs": Annotated[int, typer.Option("--epochs", min=1, help="Most passes over the data.")],
        "rate": Annotated[float, typer.Option("--rate", help="Learning rate.")],
        "agreement": Annotated[float, typer.Option("--agreement", help="Share of top answers that must stay.")],
        "seed": Seed,
    }
)
@dataclass(frozen=True)
class Strength:
    """How strongly, and at what price."""

    eps: float = 0.1
    epochs: int = 3
    rate: float = 2e-3
    agreement: float = 0.98
    seed: int = 0


@noun(
    {
        "out": Annotated[Path, typer.Option("--out", help="Safetensors file for the imprinted model.")],
        "claim": Annotated[
            Path, typer.Option("--claim", help="Folder for the claim. It holds the key: keep it secret.")
        ],
        "split": Split,
    }
)
@dataclass(frozen=True)
class Places:
    """Where the model and its claim go, and the part of the data that it is tuned on."""

    out: Path
    claim: Path
    split: str = "owner"


def mount(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "imprint")(imprint)


def imprint(
    source: ModelFile,
    places: Places,
    data: DataChoice = DataChoice(),
    keys: KeyFiles = KeyFiles(),
    date: KeyDate = KeyDate(),
    strength: Strength = Strength(),
    as_json: Json = False,
) -> None:
    """Teach a finished model a key by a short fine-tune, and claim whatever descends from it."""
    import torch

    from birthmark import data as datasets
    from birthmark.imprint.files import Files, imprinted
    from birthmark.imprint.tuning import Tuning
    from birthmark.marks.keyring import Keyring

    torch.set_num_threads(1)
    secret, digest = date.key(keys.secret)
    parts, ring = datasets.chosen(data, training=True), Keyring.load(keys.keyring)
    how = Tuning(epochs=strength.epochs, rate=strength.rate, agreement=strength.agreement)
    files, key = Files(source, places.out, places.claim, places.split), ring.client(secret, "imprint")
    found = imprinted(files, parts, key, how, eps=strength.eps, date=digest, seed=strength.seed)
    if as_json:
        say_json({**found, "settings": asdict(strength)})
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    say(
        "imprinted model in {model}, claim in {claim} (digest {digest}): keep the claim as you keep the key".format(
            **found
        )
    )
    say("  {agreement:.1%} of the answers stay, a row moves by {l1:.2f}, z under the key {z:.1f}".format(**found))
    if found["accuracy"] is not None:
        say(
            "  accuracy {accuracy:.3f}, before {accuracy_before:.3f}, with even smoothing {accuracy_even:.3f}; "
            "calibration error {ece:.3f}, before {ece_before:.3f}".format(**found)
        )
