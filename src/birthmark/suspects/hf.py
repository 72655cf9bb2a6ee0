"""Hugging Face image classification: Inference Providers and Endpoints, and `transformers` pipelines behind HTTP.

One image a request, base64 in JSON; the answer is [{"label", "score"}, ...], best first, so `labels` must be declared:
the suspect's name for each of the source's classes. Pixels travel as 8-bit PNG (or JPEG).
"""

from dataclasses import replace
from typing import Any, ClassVar

from birthmark.suspects.description import SuspectSpec, base64_text, picture
from birthmark.suspects.dialect import Dialect, Request, Response, json_request
from birthmark.types import Array


class HuggingFace(Dialect):
    """One picture in, labels with scores out."""

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
        spec = replace(self.spec, encoding=self.spec.encoding if self.spec.encoding in ("png", "jpeg") else "png")
        function = {"logits": "none", "values": "none"}.get(spec.answers, "softmax")
        parameters = {"top_k": spec.top or self.task.outputs, "function_to_apply": function}
        return json_request("", {"inputs": base64_text(picture(inputs[0], spec)), "parameters": parameters})

    def answers(self, response: Response, n: int, name: str) -> Any:
        value = response.json(name)
        nested = isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)
        return value if nested else [value]
