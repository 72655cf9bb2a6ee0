"""MLflow's scoring server, also Databricks and SageMaker by MLflow.

`POST /invocations` {"inputs": [...]} -> {"predictions": [...]}.
"""

import re
from typing import Any, ClassVar

from birthmark.claim import Task
from birthmark.suspects.description import SuspectSpec, encoded
from birthmark.suspects.dialect import Dialect, Found, Get, Request, Response, field_of, json_request
from birthmark.types import Array


class MLflow(Dialect):
    """One tensor in, rows or a table out."""

    name: ClassVar[str] = "mlflow"
    order: ClassVar[int] = 30

    @classmethod
    def split(cls, path: str, spec: SuspectSpec) -> tuple[str, SuspectSpec] | None:
        match = re.fullmatch(r"(.*?)/invocations/?", path)
        return (match[1], spec) if match else None

    @classmethod
    def probe(cls, get: Get, spec: SuspectSpec, task: Task) -> Found | None:
        version = get("/version")
        if version is None or not re.fullmatch(rb"\d+\.\d+\.\d+\S*", version.body.strip()[:30]) or get("/ping") is None:
            return None
        return Found(spec, (f"MLflow {version.body.decode('ascii').strip()}",))

    def request(self, inputs: Array) -> Request:
        x = encoded(inputs, self.spec).tolist()
        return json_request("/invocations", {"inputs": {self.spec.input_name: x} if self.spec.input_name else x})

    def answers(self, response: Response, n: int, name: str) -> Any:
        rows = field_of(response.json(name), "predictions", name)
        if self.spec.output_name:
            return (
                [field_of(row, self.spec.output_name, name) for row in rows]
                if isinstance(rows, list)
                else field_of(rows, self.spec.output_name, name)
            )
        return [_columns(row) for row in rows] if isinstance(rows, list) and not self.spec.labels else rows


def _columns(row: Any) -> Any:
    """A table's row {"0": .., "1": ..} as numbers in the order of its columns' numbers."""
    if isinstance(row, dict) and row and all(str(key).isdigit() for key in row):
        return [row[key] for key in sorted(row, key=int)]
    return row
