"""Hugging Face image and text classification: Inference Providers, Endpoints, `transformers` pipelines behind HTTP.

One input a request, a text or an image in base64. The answer is [{"label", "score"}, ...], best first, so `labels` must
be declared: the suspect's name for each of the source's classes. Pixels travel as 8-bit PNG (or JPEG).
"""

from typing import ClassVar

from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.dialect import Dialect, Request, Response, json_request
from birthmark.suspects.writing import base64_text, picture
from birthmark.types import Array, Form


class HuggingFace(Dialect):
    """One picture or text in, labels with scores out."""

    name: ClassVar[str] = "hf"
    order: ClassVar[int] = 60
    batch: ClassVar[int] = 1

    @property
    def limit(self) -> int:
        return 1

    @classmethod
    def split(cls, path: str, spec: SuspectSpec) -> tuple[str, SuspectSpec] | None:
        return (path, spec) if "/hf-inference/models/" in path else None

    def request(self, inputs: Array) -> Request:
        kind = self.writing.encoding if self.writing.encoding in ("png", "jpeg") else "png"
        plain = {"logits": "none", "log-odds": "none", "values": "none", "sigmoid": "sigmoid"}
        parameters = {
            "top_k": self.reading.top or self.task.outputs,
            "function_to_apply": plain.get(self.reading.answers, "softmax"),
        }
        if self.task.form is Form.NUMBERS:
            asked: object = base64_text(picture(inputs[0], kind, self.writing.quality))
        else:
            asked = self.values(inputs)[0]
        return json_request("", {"inputs": asked, "parameters": parameters})

    def answers(self, response: Response, n: int, name: str) -> object:
        value = response.json(name)
        nested = isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)
        return value if nested else [value]
