"""TensorFlow Serving's REST API, also KServe V1 and Vertex AI: `POST /v1/models/{model}:predict` {"instances": [...]}.

Answers are {"predictions": [...]}: rows, one number a query, or objects where a model has several outputs.
"""

import re
from typing import Any, ClassVar

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError
from birthmark.secrets import printable
from birthmark.suspects.description import SuspectSpec, encoded
from birthmark.suspects.dialect import Dialect, Found, Get, Request, Response, field_of, json_request
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
        about = _json(get(f"/v1/models/{spec.model}" if spec.model else "/v1/models"))
        if not isinstance(about, dict) or not {"models", "name", "model_version_status"} & set(about):
            return None
        if not spec.model:
            models = about.get("models") or []
            if len(models) != 1:
                raise SettingError(
                    f"TensorFlow Serving or KServe V1 with models {printable(', '.join(map(str, models)), 200)}; "
                    "declare model"
                )
            spec = spec.completed(model=str(models[0]))
        return Found(spec, (f"TensorFlow Serving or KServe V1, model {spec.model}",))

    def request(self, inputs: Array) -> Request:
        version = f"/versions/{self.spec.version}" if self.spec.version else ""
        path = (
            f"/v1/models/{self.spec.model}{version}:predict" if self.spec.model else ":predict"
        )  # the latter as Vertex AI's addresses
        return json_request(path, {"instances": encoded(inputs, self.spec).tolist()})

    def answers(self, response: Response, n: int, name: str) -> Any:
        rows = field_of(response.json(name), "predictions", name)
        if self.spec.output_name:
            return (
                [field_of(row, self.spec.output_name, name) for row in rows]
                if isinstance(rows, list)
                else field_of(rows, self.spec.output_name, name)
            )
        return rows


def _json(response: Response | None) -> Any:
    try:
        return None if response is None else response.json("probe")
    except OracleError:
        return None
