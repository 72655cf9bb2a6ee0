"""The owner's side of the notary: from files and names, as the command line has them, to what is signed and sealed."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from birthmark.artifact import file_digest, plain, write_atomically
from birthmark.claim import Claim
from birthmark.errors import ArtifactError, SettingError
from birthmark.notary import folders, inventory, signing, stamps
from birthmark.notary.bundles import model_bundle
from birthmark.notary.commitments import BEFORE_DISPUTE, BEFORE_TRAINING, Commitment, Drawn, commit
from birthmark.notary.folders import COMMITMENT, ENVELOPE, OF_COMMITMENT, STAMP
from birthmark.notary.trees import Tree, tree_of
from birthmark.types import Plain
from birthmark.workshop.card import is_code
from birthmark.workshop.choices import DataChoice, Making, ModelFile

if TYPE_CHECKING:
    from birthmark.workshop.owner import Owner

PART = 0.8  # of the pool that a draw leaves to be asked


class Promised(Protocol):
    """Who commits, and what decides the draws."""

    @property
    def owner(self) -> str: ...
    @property
    def beacon(self) -> str: ...
    @property
    def round(self) -> str: ...
    @property
    def earlier(self) -> Sequence[str]: ...


def planned(
    promise: Promised,
    trial: Plain,
    source: ModelFile | None,
    making: Making,
    data: DataChoice,
    claim: Path | None,
    secret: bytes,
) -> Commitment:
    """The commitment to a plan: before training without a source, before the dispute with one or with a claim.

    Args:
        trial: how suspects will be tested, `commitments.TEST`.

    Raises:
        SettingError: neither a source, a claim nor a recipe.
        ArtifactError: the source or the claim is not one.
    """
    rounds = (promise.beacon, promise.round)
    if claim is not None:
        fixed, tree = _of_claim(claim, trial, secret)
        return commit(BEFORE_DISPUTE, promise.owner, fixed, secret, round=rounds, tree=tree, earlier=promise.earlier)
    if source is None and not making.recipe:
        raise SettingError("give --source (a model that is trained), --recipe (one that will be) or --claim")
    fixed = {**_of_plan(source, making, data), **trial}
    stage = BEFORE_DISPUTE if source else BEFORE_TRAINING
    return commit(stage, promise.owner, fixed, secret, round=rounds, earlier=promise.earlier)


def _of_claim(folder: Path, trial: Plain, secret: bytes) -> tuple[dict[str, Any], Tree]:
    claim, digest = Claim.load(folder)
    about = claim.facts.get("source", {})
    made = {"source": about.get("card", ""), "recipe": about, "environment": claim.facts.get("versions", {})}
    terms = {**trial, "method": claim.method, "settings": claim.settings}
    return {**plain({**made, **terms}), "data": digest, "pool": digest}, tree_of(claim, secret)


def _of_plan(source: ModelFile | None, making: Making, data: DataChoice) -> dict[str, Any]:
    from birthmark import data as datasets
    from birthmark.enrolment import versions
    from birthmark.workshop.opening import enough

    parts = datasets.chosen(data, training=True)
    fixed = {"environment": versions(), "data": parts.about(making.split), "pool": parts["queries"].digest}
    if source is None:
        training = making.training or (enough(len(parts[making.split])) if is_code(making.recipe) else {})
        how = {"recipe": making.recipe, "split": making.split, "training": training}
        return {**fixed, "recipe": plain(how)}
    from birthmark.workshop.modelfile import load_module
    from birthmark.workshop.opening import source_card

    _, _, about = load_module(
        source.path,
        architecture=source.architecture,
        shape=source.shape or parts.shape,
        classes=source.classes or parts.classes,
    )
    digest = file_digest(source.path)
    card, _ = source_card(source, about.get("card"), making, parts, digest)
    return {**fixed, "source": digest, "recipe": plain(asdict(card)), "data": parts.about(card.split)}


def drawn_owner(owner: "Owner", drawn: Drawn) -> "Owner":
    """The owner whose twins' courses, references' kinds and seeds, and part of the pool were drawn."""
    part = drawn.part(len(owner.pool), PART)
    return replace(owner, secret=drawn.seed("twins"), guard=drawn.seed("references"), pool=owner.pool[part])


def says_draw(claim: Claim, drawn: Drawn) -> Claim:
    """The claim, saying what draw it was made with."""
    return replace(claim, facts={**claim.facts, "drawn": sha256(drawn.blob).hexdigest()})


def signed(path: Path, key: signing.Private, claim: Path | None, commitment: Path | None, out: Path | None) -> Path:
    """Sign a commitment's folder or a model file, or seal an evidence folder; where the signature is.

    Raises:
        SettingError: nothing of these, or evidence without claim and place.
    """
    if (path / COMMITMENT).is_file():
        blob = (path / COMMITMENT).read_bytes()
        Commitment.read(blob, str(path / COMMITMENT))
        about = signing.statement({COMMITMENT: sha256(blob).hexdigest()}, OF_COMMITMENT, {})
        return _kept(path / ENVELOPE, signing.sign(about, key))
    if path.suffix == ".safetensors" and path.is_file():
        return _kept(path.with_name(f"{path.name}.sig"), model_bundle(path, key))
    if not (path / "evidence.json").is_file():
        raise SettingError(f"{path}: expected a commitment's folder, a .safetensors file, or what verify --out wrote")
    if claim is None or out is None:
        raise SettingError("to seal evidence give --claim, --out and, if there is one, --commitment")
    folders.save(folders.seal(folders.gather(path, claim, commitment), key), out)
    inventory.note(claim, "disclosed", len(Claim.load(claim)[0].queries), f"whoever reads {out.name}")
    return out


def _kept(path: Path, blob: bytes) -> Path:
    write_atomically(path, blob)
    return path


def stamped(folder: Path, authority: str, query: Path | None, reply: Path | None, roots: Path | None) -> dict[str, str]:
    """Date a signed commitment by an authority's answer; or write the question, to be asked elsewhere.

    Raises:
        ArtifactError: not signed yet, or no stamp on this commitment.
        SettingError: neither an authority nor its answer.
    """
    if not (folder / ENVELOPE).is_file():
        raise ArtifactError(f"{folder}: not signed yet, and a stamp dates the signature too; birthmark sign it first")
    data = (folder / ENVELOPE).read_bytes()
    if query is not None:
        return {"query": str(_kept(query, stamps.request(data)))}
    if not authority and reply is None:
        raise SettingError("give --authority URL, or --query FILE and later --reply FILE")
    stamp = reply.read_bytes() if reply else stamps.ask(authority, data)
    found = {"stamp": str(folder / STAMP)}
    if roots is not None:
        found["time"] = stamps.stamped(stamp, data, stamps.roots(roots), str(reply or authority)).isoformat()
    else:
        found["time"] = f"{stamps.said(stamp, data, str(reply or authority)).isoformat()} (unverified: give --roots)"
    write_atomically(folder / STAMP, stamp)
    return found
