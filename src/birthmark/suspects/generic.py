"""Any JSON API, described in one TOML file: a request body with placeholders, headers, and a JMESPath to the answers.

    url = "https://api.example.org/classify"
    dialect = "generic"
    headers = { X-Api-Key = "env:EXAMPLE_KEY" }
    rows = "results[*].scores"
    [body]
    images = "$inputs"

`$inputs` becomes the whole batch as nested lists; `$input`, `$png_base64` and `$jpeg_base64` become one query, and one
request is sent for each. Without `rows` the body itself is the answers. For one query, `rows` yields its one row.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import jmespath
from jmespath.exceptions import JMESPathError

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError
from birthmark.secrets import MOST_READ, printable
from birthmark.suspects.description import SuspectSpec, base64_text, encoded, picture
from birthmark.suspects.dialect import Dialect, Request, Response, json_request
from birthmark.types import Array

BATCH, ONE = "$inputs", ("$input", "$png_base64", "$jpeg_base64")


class Generic(Dialect):
    """A template in, a path out.

    Raises:
        SettingError: no placeholder, two kinds of them, or a JMESPath that cannot be read.
    """

    name: ClassVar[str] = "generic"
    order: ClassVar[int] = 90

    def __init__(self, spec: SuspectSpec, task: Task) -> None:
        super().__init__(spec, task)
        found = set(_placeholders(spec.body))
        if len(found) != 1:
            raise SettingError(
                f"generic: expected body to hold one of {BATCH}, {', '.join(ONE)}, got "
                f"{', '.join(sorted(found)) or 'none'}"
            )
        self.placeholder = found.pop()
        try:
            self.path = jmespath.compile(spec.rows) if spec.rows else None
        except JMESPathError as error:
            raise SettingError(f"generic: rows {spec.rows!r} is no JMESPath ({str(error).splitlines()[0]})") from None

    @property
    def limit(self) -> int:
        return super().limit if self.placeholder == BATCH else 1

    def request(self, inputs: Array) -> Request:
        if self.placeholder in (BATCH, "$input"):
            x = encoded(inputs, self.spec).tolist()
            value: Any = x if self.placeholder == BATCH else x[0]
        else:
            value = base64_text(
                picture(inputs[0], replace(self.spec, encoding=self.placeholder[1:].removesuffix("_base64")))
            )
        return json_request("", _filled(self.spec.body, self.placeholder, value))

    def answers(self, response: Response, n: int, name: str) -> Any:
        value = response.json(name)
        if self.path is not None:
            try:
                value = self.path.search(value)
            except (JMESPathError, RecursionError) as error:
                raise OracleError(
                    f"{name}: rows {self.spec.rows!r} does not fit the answer ({str(error).splitlines()[0][:120]})"
                ) from None
            if value is None:
                raise OracleError(
                    f"{name}: rows {self.spec.rows!r} finds nothing in the answer "
                    f"{printable(response.body[:MOST_READ].decode('utf-8', 'replace'), 100)!r}"
                )
        if self.placeholder == BATCH:
            return value
        one_row = isinstance(value, list) and len(value) == 1 and isinstance(value[0], (list, dict))
        return value if one_row else [value]


def _placeholders(body: Any) -> list[str]:
    if isinstance(body, Mapping):
        return [found for item in body.values() for found in _placeholders(item)]
    if isinstance(body, list):
        return [found for item in body for found in _placeholders(item)]
    return [body] if body in (BATCH, *ONE) else []


def _filled(body: Any, placeholder: str, value: Any) -> Any:
    if isinstance(body, Mapping):
        return {key: _filled(item, placeholder, value) for key, item in body.items()}
    if isinstance(body, list):
        return [_filled(item, placeholder, value) for item in body]
    return value if body == placeholder else body
