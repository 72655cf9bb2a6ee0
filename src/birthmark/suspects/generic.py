"""Any HTTP API, described in one TOML file: a request body with placeholders, headers, and a JMESPath to the answers.

    url = "https://api.example.org/classify"
    dialect = "generic"
    headers = { X-Api-Key = "env:EXAMPLE_KEY" }
    rows = "results[*].scores"
    [body]
    images = "$inputs"

`$inputs` becomes the whole batch: nested lists of numbers, texts or records. `$input` is one query, and one request is
sent for each. `$text` is one text, also inside another ("Which topic? $text"). A picture of one query is `$png_base64`
or `$jpeg_base64`, also inside a text ("data:image/png;base64,$png_base64"); or `$png` or `$jpeg`, the file itself: then
the body is a form (multipart/form-data) of its fields, or the file alone if the body is nothing else. A header
`Content-Type: application/x-www-form-urlencoded` sends body's fields as such a form. Without `rows` the whole answer is
the answers. For one query, `rows` yields its one row.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlencode

import jmespath
from jmespath.exceptions import JMESPathError

from birthmark.claim import Task
from birthmark.errors import OracleError, SettingError
from birthmark.secrets import MOST_READ, printable
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.dialect import Dialect, Request, Response, json_request
from birthmark.suspects.writing import base64_text, picture
from birthmark.types import Array, Form

if TYPE_CHECKING:
    from jmespath.parser import ParsedResult

BATCH, ONE = "$inputs", ("$input", "$text", "$png_base64", "$jpeg_base64", "$png", "$jpeg")
INSIDE = re.compile(
    r"\$(png_base64|jpeg_base64|text)\b"
)  # these may stand inside a text, the others are a value by themselves
FIELDS = "application/x-www-form-urlencoded"
BOUNDARY = "birthmark-4f1c9a7e2b6d8053"  # no picture's bytes hold it


class Generic(Dialect):
    """A template in, a path out.

    Raises:
        SettingError: no placeholder, two kinds of them, or a JMESPath that cannot be read.
    """

    name: ClassVar[str] = "generic"
    order: ClassVar[int] = 90

    def __init__(self, spec: SuspectSpec, task: Task) -> None:
        super().__init__(spec, task)
        self.placeholder = _placeholder(self.writing.body, task)
        named = {name.lower(): value for name, value in spec.transport.headers.items()}
        self.fields = named.get("content-type", "").startswith(FIELDS)
        self.file = self.placeholder[1:] if self.placeholder in ("$png", "$jpeg") else ""
        form = self.writing.body
        if self.file and form != self.placeholder and self.placeholder not in getattr(form, "values", list)():
            raise SettingError(f"generic: expected {self.placeholder} alone, or as one of the form's fields in body")
        self.path = _path(self.reading.rows) if self.reading.rows else None

    @property
    def limit(self) -> int:
        return super().limit if self.placeholder == BATCH else 1

    def request(self, inputs: Array) -> Request:
        if self.placeholder in (BATCH, "$input"):
            x = self.values(inputs)
            value = x if self.placeholder == BATCH else x[0]
            return self._sent(lambda text: value if text == self.placeholder else text)
        if self.placeholder == "$text":
            return self._sent(lambda text: INSIDE.sub(lambda _: str(inputs[0]), text))
        image = picture(inputs[0], self.placeholder[1:].removesuffix("_base64"), self.writing.quality)
        if not self.file:
            return self._sent(lambda text: INSIDE.sub(base64_text(image), text))
        if isinstance(self.writing.body, Mapping):
            return _form(self.writing.body, self.placeholder, image)
        return Request("POST", "", image, {"Content-Type": f"image/{self.file}"})

    def _sent(self, fill: Callable[[str], object]) -> Request:
        """The filled body as JSON, or as a form's fields where a header says so."""
        body = _filled(self.writing.body, fill)
        if not self.fields or not isinstance(body, Mapping):
            return json_request("", body)
        text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in body.items()}
        return Request("POST", "", urlencode(text).encode(), {"Content-Type": FIELDS})

    def answers(self, response: Response, n: int, name: str) -> object:
        value = response.json(name)
        if self.path is not None:
            try:
                value = self.path.search(value)
            except (JMESPathError, TypeError, ValueError) as error:
                raise OracleError(
                    f"{name}: rows {self.reading.rows!r} does not fit the answer "
                    f"({printable(str(error).splitlines()[0], 120)})"
                ) from None
            if value is None:
                raise OracleError(
                    f"{name}: rows {self.reading.rows!r} finds nothing in the answer "
                    f"{printable(response.body[:MOST_READ].decode('utf-8', 'replace'), 100)!r}"
                )
        if self.placeholder == BATCH:
            return value
        one_row = isinstance(value, list) and len(value) == 1 and isinstance(value[0], (list, dict))
        return value if one_row else [value]


def _path(text: str) -> "ParsedResult":
    try:
        return jmespath.compile(text)
    except (JMESPathError, RecursionError) as error:
        raise SettingError(f"generic: rows {text[:80]!r} is no JMESPath ({str(error).splitlines()[0]})") from None


def _placeholder(body: object, task: Task) -> str:
    """The one kind of placeholder in a body."""
    found = sorted(set(_placeholders(body)))
    if len(found) != 1:
        raise SettingError(
            f"generic: expected body to hold one of {BATCH}, {', '.join(ONE)}, got {', '.join(found) or 'none'}"
        )
    if found == ["$text"] and task.form is Form.NUMBERS:
        raise SettingError("generic: $text is for claims whose queries are texts; give $input or $inputs")
    return found[0]


def _placeholders(body: object) -> list[str]:
    if isinstance(body, Mapping):
        return [found for item in body.values() for found in _placeholders(item)]
    if isinstance(body, list):
        return [found for item in body for found in _placeholders(item)]
    if not isinstance(body, str):
        return []
    return [body] if body in (BATCH, *ONE) else [f"${kind}" for kind in INSIDE.findall(body)]


def _filled(body: object, fill: Callable[[str], object]) -> object:
    if isinstance(body, Mapping):
        return {key: _filled(item, fill) for key, item in body.items()}
    if isinstance(body, list):
        return [_filled(item, fill) for item in body]
    return fill(body) if isinstance(body, str) else body


def _form(body: Mapping[str, object], placeholder: str, image: bytes) -> Request:
    """A form as browsers upload it (RFC 7578): the picture is a file, other fields are text or JSON."""
    kind, parts = placeholder[1:], []
    for name, value in body.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{re.sub(r"[^ -!#-~]", "_", name)}"'
        if value == placeholder:
            head += f'; filename="query.{kind}"\r\nContent-Type: image/{kind}'
        content = image if value == placeholder else (value if isinstance(value, str) else json.dumps(value)).encode()
        parts.append(head.encode() + b"\r\n\r\n" + content + b"\r\n")
    blob = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return Request("POST", "", blob, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
