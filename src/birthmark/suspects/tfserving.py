"""TensorFlow Serving's REST API, also KServe V1 and Vertex AI: `POST /v1/models/{model}:predict` {"instances": [...]}.

Answers are {"predictions": [...]}: rows, one number a query, or objects where a model has several outputs.
"""

import re
from typing import ClassVar

from birthmark.claim import Task
from birthmark.errors import SettingError
from birthmark.secrets import printable
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.dialect import Dialect, Found, Get, Request, Response, json_request, output_of, probed
from birthmark.types import Array


class TFServing(Dialect):
    """Rows in, rows out."""

    name: ClassVar[str] = "tfserving"
    order: ClassVar[int] = 20

    @classmethod
    def split(cls, path: str, spec: SuspectSpec) -> tuple[str, SuspectSpec] | None:
        if match := re.fullmatch(r"(.*?)/v1/models/([^/:]+)(?:/versions/([^/:]+))?(?::predict)?/?", path):
            return match[1], spec.completed(model=match[2], version=match[3] or "")
        return (path.removesuffix(":predict"), spec) if path.endswith(":predict") else None

    @classmethod
    def probe(cls, get: Get, spec: SuspectSpec, task: Task) -> Found | None:
        about = probed(get(f"/v1/models/{spec.transport.model}" if spec.transport.model else "/v1/models"))
        if not {"models", "name", "model_version_status"} & set(about):
            return None
        if not spec.transport.model:
            models = about.get("models")
            models = list(map(str, models)) if isinstance(models, list) else []
            if len(models) != 1:
                raise SettingError(
                    f"TensorFlow Serving or KServe V1 with models {printable(', '.join(models), 200)}; declare model"
                )
            spec = spec.completed(model=models[0])
        return Found(spec, (f"TensorFlow Serving or KServe V1, model {spec.transport.model}",))

    def request(self, inputs: Array) -> Request:
        version = f"/versions/{self.transport.version}" if self.transport.version else ""
        path = (
            f"/v1/models/{self.transport.model}{version}:predict" if self.transport.model else ":predict"
        )  # the latter as Vertex AI's addresses
        return json_request(path, {"instances": self.values(inputs)})

    def answers(self, response: Response, n: int, name: str) -> object:
        return output_of(response.json(name), self.reading.output_name, name)
