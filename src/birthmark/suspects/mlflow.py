"""MLflow's scoring server, also Databricks and SageMaker by MLflow.

`POST /invocations` {"inputs": [...]} (records: {"dataframe_records": [...]}) -> {"predictions": [...]}.
"""

import re
from typing import ClassVar

from birthmark.claim import Task
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.dialect import Dialect, Found, Get, Request, Response, json_request, output_of
from birthmark.types import Array, Form


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
        x = self.values(inputs)
        if self.writing.columns or self.task.form is Form.RECORDS:
            return json_request("/invocations", {"dataframe_records": x})
        return json_request("/invocations", {"inputs": {self.writing.input_name: x} if self.writing.input_name else x})

    def answers(self, response: Response, n: int, name: str) -> object:
        rows = output_of(response.json(name), self.reading.output_name, name)
        return [_columns(row) for row in rows] if isinstance(rows, list) and not self.reading.labels else rows


def _columns(row: object) -> object:
    """A table's row {"0": .., "1": ..} as numbers in the order of its columns' numbers."""
    if isinstance(row, dict) and row and all(str(key).isdecimal() for key in row):
        return [row[key] for key in sorted(row, key=int)]
    return row
