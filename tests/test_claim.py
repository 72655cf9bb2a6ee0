"""A claim on disk: what is read back, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from birthmark.artifact import save_folder
from birthmark.claim import FORMAT, Claim, Task
from birthmark.errors import ArtifactError

Change = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
CLAIM = Claim(
    "kinship",
    {"queries": 5},
    Task((1, 2), 3),
    2**80,
    {"queries": np.zeros((5, 1, 2), np.float32), "references": np.ones((4, 5, 3)), "treated": np.ones((4, 2, 5, 3))},
    {"warnings": ["w"]},
    "same-start",
)


def test_a_claim_is_read_as_it_was_saved_and_its_digest_is_of_all_of_it(tmp_path: Path) -> None:
    digest = CLAIM.save(tmp_path / "a")
    claim, again = Claim.load(tmp_path / "a")
    assert again == digest
    assert (claim.method, claim.settings, claim.task, claim.seed) == ("kinship", {"queries": 5}, CLAIM.task, 2**80)
    assert (claim.twins, claim.facts) == ("same-start", {"warnings": ["w"]})
    assert all(np.array_equal(claim.tensors[name], value) for name, value in CLAIM.tensors.items())
    assert replace(CLAIM, seed=1).save(tmp_path / "b") != digest


def test_without_references_there_are_none() -> None:
    bare = replace(CLAIM, tensors={"queries": CLAIM.queries})
    assert bare.references.shape == (0, 5, 3)
    assert bare.treated.shape == (0, 0, 5, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t | {"references": np.ones((4, 4, 3))}, "expected references of shape"),
        (lambda t: t | {"treated": np.ones((3, 2, 5, 3))}, "expected references of shape"),
        (lambda t: t | {"queries": np.zeros((5, 2, 1), np.float32)}, "for a task of shape"),
        (lambda t: {name: t[name] for name in ("references", "treated")}, "the claim lacks"),
    ],
)
def test_tensors_of_another_shape_are_refused(
    change: Callable[..., dict[str, np.ndarray]], said: str, tmp_path: Path
) -> None:
    data = {"method": "kinship", "settings": {}, "task": {"shape": [1, 2], "outputs": 3, "values": False}, "seed": 1}
    save_folder(tmp_path / "c", FORMAT, {**data, "twins": "", "facts": {}}, change(dict(CLAIM.tensors)))
    with pytest.raises(ArtifactError, match=said):
        Claim.load(tmp_path / "c")


@pytest.mark.parametrize(
    "said",
    [
        {"shape": [1, 2], "outputs": 0, "values": False},
        {"shape": [1, 2.0], "outputs": 3, "values": False},
        {"shape": [1] * 9, "outputs": 3, "values": False},
        {"shape": [1], "outputs": 3, "values": 1},
        {"shape": [1], "outputs": True, "values": True},
    ],
    ids=json.dumps,
)
def test_a_task_of_another_kind_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Task.read(said)
