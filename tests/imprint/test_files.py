"""A model file is imprinted, and files or keyrings that do not go together are refused."""

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from birthmark import data
from birthmark.claim import Claim
from birthmark.errors import SettingError
from birthmark.imprint.files import Files, imprinted
from birthmark.imprint.tuning import Tuning
from birthmark.marks.keyring import ClientKey
from birthmark.workshop import architectures
from birthmark.workshop.choices import ModelFile
from birthmark.workshop.modelfile import ModelHead, load_module, save_model

HOW = Tuning(epochs=1, batch=32, agreement=0.5, z=0.0)


def test_model_and_claim_are_written(plain: list[nn.Module], key: ClientKey, digits: data.Data, tmp_path: Path) -> None:
    save_model(tmp_path / "m", plain[4], ModelHead("mlp", (1, 8, 8), 10))
    files = Files(ModelFile(tmp_path / "m"), tmp_path / "out", tmp_path / "claim")
    found = imprinted(files, digits, key, HOW, eps=0.1, date="", seed=0)
    claim, digest = Claim.load(tmp_path / "claim")
    assert (claim.method, digest) == ("imprint", found["digest"])
    assert load_module(tmp_path / "out")[1].architecture == "mlp"
    assert found["epochs"] == 1
    assert abs(found["accuracy_even"] - found["accuracy_before"]) < 0.1


def test_a_keyring_of_another_task_is_refused(key: ClientKey, digits: data.Data, tmp_path: Path) -> None:
    narrow = architectures.build("mlp", (1, 8, 8), 10, seed=0)
    save_model(tmp_path / "m", narrow, ModelHead("mlp", (1, 8, 8), 10))
    ring = replace(key.ring, task=replace(key.ring.task, outputs=3))
    files = Files(ModelFile(tmp_path / "m"), tmp_path / "out", tmp_path / "claim")
    with pytest.raises(SettingError, match="made of another model"):
        imprinted(files, digits, ClientKey("imprint", key.secret, ring), HOW, eps=0.1, date="", seed=0)
    assert not (tmp_path / "out").exists()
