"""TorchServe (no longer maintained, still met): `POST /predictions/{model}`, one query a request.

The handler decides what it takes and answers. Its image handlers take a picture (`encoding` "png" or "jpeg") and answer
{label: score} of the top five; others take JSON {"instances": [row]} here and answer a row.
"""

import re
from typing import ClassVar

from birthmark.claim import Task
from birthmark.errors import SettingError
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.dialect import Dialect, Found, Get, Request, Response, json_request, probed
from birthmark.suspects.writing import picture
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
        if probed(get("/ping")).get("status") != "Healthy":
            return None
        if not spec.transport.model:
            raise SettingError("TorchServe: declare model, or give the URL .../predictions/NAME")
        return Found(spec, (f"TorchServe, model {spec.transport.model}",))

    def request(self, inputs: Array) -> Request:
        path = f"/predictions/{self.transport.model}" + (f"/{self.transport.version}" if self.transport.version else "")
        if self.writing.encoding in ("png", "jpeg"):
            kind = self.writing.encoding
            return Request(
                "POST", path, picture(inputs[0], kind, self.writing.quality), {"Content-Type": f"image/{kind}"}
            )
        return json_request(path, {"instances": self.values(inputs)})

    def answers(self, response: Response, n: int, name: str) -> object:
        value = response.json(name)
        if isinstance(value, dict) and "predictions" in value:
            value = value["predictions"]
        one_row = isinstance(value, list) and len(value) == 1 and isinstance(value[0], (list, dict))
        return value if one_row else [value]
