"""TorchServe (no longer maintained, still met): `POST /predictions/{model}`, one query a request.

The handler decides what it takes and answers. Its image handlers take a picture (`encoding` "png" or "jpeg") and answer
{label: score} of the top five; others take JSON {"instances": [row]} here and answer a row.
"""

import re
from typing import Any, ClassVar

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError
from birthmark.suspects.description import SuspectSpec, encoded, picture
from birthmark.suspects.dialect import Dialect, Found, Get, Request, Response, json_request
from birthmark.types import Array


class TorchServe(Dialect):
    """One query in, whatever the handler says out."""

    name: ClassVar[str] = "torchserve"
    order: ClassVar[int] = 40
    batch: ClassVar[int] = 1

    @property
    def limit(self) -> int:
        return 1

    @classmethod
    def split(cls, path: str, spec: SuspectSpec) -> tuple[str, SuspectSpec] | None:
        match = re.fullmatch(r"(.*?)/predictions/([^/]+)(?:/([^/]+))?/?", path)
        return (match[1], spec.completed(model=match[2], version=match[3] or "")) if match else None

    @classmethod
    def probe(cls, get: Get, spec: SuspectSpec, task: Task) -> Found | None:
        ping = get("/ping")
        try:
            healthy = ping is not None and ping.json("probe").get("status") == "Healthy"
        except (OracleError, AttributeError):
            return None
        if not healthy:
            return None
        if not spec.model:
            raise SettingError("TorchServe: declare model, or give the URL .../predictions/NAME")
        return Found(spec, (f"TorchServe, model {spec.model}",))

    def request(self, inputs: Array) -> Request:
        path = f"/predictions/{self.spec.model}" + (f"/{self.spec.version}" if self.spec.version else "")
        if self.spec.encoding in ("png", "jpeg"):
            return Request("POST", path, picture(inputs[0], self.spec), {"Content-Type": f"image/{self.spec.encoding}"})
        return json_request(path, {"instances": encoded(inputs, self.spec).tolist()})

    def answers(self, response: Response, n: int, name: str) -> Any:
        value = response.json(name)
        if isinstance(value, dict) and "predictions" in value:
            value = value["predictions"]
        one_row = isinstance(value, list) and len(value) == 1 and isinstance(value[0], (list, dict))
        return value if one_row else [value]
