"""Hugging Face sequence classifiers in a folder: texts and token ids, in a process of their own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from birthmark import suspects
from birthmark.claim import Task
from birthmark.errors import ArtifactError, SettingError
from birthmark.inputs import texts
from birthmark.suspects.description import SuspectSpec
from birthmark.types import Form

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["good", "bad", "film", "grün", "very"]
TEXTS = texts(["good film", "very bad film", "", "grün " * 90])
NAMES = ("neg", "mid", "pos")
TASK = Task((), 3, form=Form.TEXT)


def saved(folder: Path, **config: object) -> "transformers.PreTrainedModel":
    """A tiny BERT at random with a tokenizer of five words."""
    known = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    named = {"id2label": dict(enumerate(NAMES)), "label2id": {name: i for i, name in enumerate(NAMES)}}
    said = transformers.BertConfig(vocab_size=len(known), max_position_embeddings=32, **{**size, **named, **config})
    network = transformers.BertForSequenceClassification(said).eval()
    network.save_pretrained(folder)
    return network


def logits(network: "transformers.PreTrainedModel", ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return network(input_ids=torch.tensor([ids])).logits[0].numpy()


def test_texts_are_asked_through_the_folders_tokenizer(tmp_path: Path) -> None:
    network = saved(tmp_path)
    found = suspects.open(tmp_path, task=TASK)(TEXTS)
    assert np.allclose(found[0], logits(network, [4, 6]), atol=1e-5)
    assert np.allclose(found[1], logits(network, [8, 5, 6]), atol=1e-5)
    assert np.isfinite(found).all(), "nothing at all, and more words than the network takes"


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    saved(tmp_path)
    plain = suspects.open(tmp_path, task=TASK, weights=True)(TEXTS)
    turned = suspects.open(tmp_path, task=Task((), 3, form=Form.TEXT, names=("pos", "neg", "mid")), weights=True)(TEXTS)
    assert np.allclose(turned, plain[:, [2, 0, 1]])
    other = suspects.open(tmp_path, task=Task((), 3, form=Form.TEXT, names=("a", "b", "c")), weights=True)(TEXTS)
    assert np.allclose(other, plain)


def test_token_ids_are_asked_as_they_are(tmp_path: Path) -> None:
    network = saved(tmp_path)
    ids = np.array([[4, 6, 0, 0], [8, 5, 6, 0]])
    found = suspects.open(tmp_path, task=Task((4,), 3), weights=True)(ids)
    assert np.allclose(found[0], logits(network, [4, 6]), atol=1e-5)


def test_what_cannot_be_asked_is_said(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(SettingError, match=r"has 3 classes \(neg, mid, pos\), the claim 2"):
        suspects.open(tmp_path, task=Task((), 2, form=Form.TEXT), weights=True)
    with pytest.raises((SettingError, ArtifactError), match=r"not an image classifier|made for another task"):
        suspects.open(tmp_path, task=Task((3, 8, 8), 3), weights=True)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ArtifactError, match="its tokenizer cannot be read"):
        suspects.open(tmp_path, task=TASK, weights=True)
    for file in tmp_path.glob("*token*"):
        file.unlink()
    with pytest.raises(ArtifactError, match=r"has no tokenizer \(tokenizer\.json\)"):
        suspects.open(tmp_path, task=TASK)


def test_several_labels_at_once_are_refused_by_name(tmp_path: Path) -> None:
    saved(tmp_path, problem_type="multi_label_classification")
    with pytest.raises(SettingError, match="a multi-label classifier"):
        suspects.open(tmp_path, spec=SuspectSpec(), task=TASK, weights=True)
