"""Hugging Face sequence classifiers: texts, through the tokenizer of their folder, or token ids, to logits."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from birthmark.errors import ArtifactError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
AT_ONCE = 32  # texts
LONGEST = 512  # tokens, where neither tokenizer nor network says


class TextClassifier(nn.Module):
    """Texts (n,), cut at the network's longest, -> logits (n, k) in the columns that `order` names, or in all."""

    def __init__(
        self, network: nn.Module, tokenizer: "PreTrainedTokenizerBase", longest: int, order: list[int]
    ) -> None:
        super().__init__()
        self.network, self.tokenizer, self.longest, self.order = network, tokenizer, longest, order

    def forward(self, texts: list[str]) -> Tensor:
        rows = []
        for start in range(0, len(texts), AT_ONCE):
            part = texts[start : start + AT_ONCE]
            made = self.tokenizer(part, padding=True, truncation=True, max_length=self.longest, return_tensors="pt")
            rows.append(self.network(**made).logits)
        logits = torch.cat(rows)
        return logits[:, self.order] if self.order else logits


class TokenClassifier(nn.Module):
    """Token ids (n, length) -> logits; the padding of the network's config is not looked at."""

    def __init__(self, network: nn.Module, padding: int | None, order: list[int]) -> None:
        super().__init__()
        self.network, self.padding, self.order = network, padding, order

    def forward(self, ids: Tensor) -> Tensor:
        ids = ids.long()
        mask = torch.ones_like(ids) if self.padding is None else (ids != self.padding).long()
        logits: Tensor = self.network(input_ids=ids, attention_mask=mask).logits
        return logits[:, self.order] if self.order else logits


def tokenizer_of(path: Path, config: "PreTrainedConfig") -> tuple["PreTrainedTokenizerBase", int]:
    """A folder's tokenizer, and the most tokens that it and the network take.

    Raises:
        ArtifactError: it has none, or one that cannot be read.
    """
    from transformers import AutoTokenizer

    if not any((path / name).is_file() for name in FILES):
        raise ArtifactError(
            f"{path}: has no tokenizer ({FILES[0]}), without which no text can be asked; save it there with "
            "tokenizer.save_pretrained"
        )
    try:
        found = AutoTokenizer.from_pretrained(str(path), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds
        said = " ".join(str(error).split())[:200]
        raise ArtifactError(f"{path}: its tokenizer cannot be read ({said})") from None
    places = int(getattr(config, "max_position_embeddings", None) or LONGEST)
    offset = getattr(config, "pad_token_id", 0) if "roberta" in str(getattr(config, "model_type", "")) else -1
    longest = min(int(min(found.model_max_length, 1 << 20)), places - 1 - int(offset or 0))
    if found.pad_token is None:
        found.pad_token = found.eos_token or found.unk_token
    return cast("PreTrainedTokenizerBase", found), longest
