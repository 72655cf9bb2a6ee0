"""Servers that send the request's token back, at every place of every kind of answer: no message shows it."""

import json
from collections.abc import Callable

import httpx2
import numpy as np
import pytest

from birthmark import suspects
from birthmark.claim import Task
from birthmark.errors import BirthmarkError
from birthmark.suspects.description import SuspectSpec

TOKEN = "tk-9fQ2xLr7/Zp+Vw3K"
TASK = Task((1, 2, 2), 3)


def answers(offset: int, echo: str) -> list[Callable[[], httpx2.Response]]:
    text = "." * offset + echo + "." * 50
    return [
        lambda: httpx2.Response(400, json={"error": text}),
        lambda: httpx2.Response(400, json={"detail": {"seen": [text]}}),
        lambda: httpx2.Response(401, text=text[: offset + 5]),  # cut by the server itself
        lambda: httpx2.Response(200, text=text),
        lambda: httpx2.Response(200, json={text: 1}),
        lambda: httpx2.Response(200, json={"predictions": [{"label": text, "score": 1.0}]}),
        lambda: httpx2.Response(200, json={"predictions": [[text, 0, 0]]}),
        lambda: httpx2.Response(200, json={"predictions": text}),
    ]


def said(reply: Callable[[], httpx2.Response], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TOKEN", TOKEN)

    def handle(request: httpx2.Request) -> httpx2.Response:
        assert TOKEN in request.headers["authorization"]
        answer = reply() if request.method == "POST" else httpx2.Response(404)
        return httpx2.Response(
            answer.status_code, headers=answer.headers, stream=httpx2.ByteStream(answer.content), request=request
        )

    spec = SuspectSpec(dialect="tfserving", auth="env:TOKEN", rate=0.0)
    transport = httpx2.MockTransport(handle)
    suspect = suspects.open(
        "https://host/v1/models/m:predict", spec=spec, task=TASK, authorisation="own", transport=transport
    )
    with pytest.raises(BirthmarkError) as error:
        suspect(np.zeros((1, 1, 2, 2), dtype=np.float32))
    return str(error.value)


@pytest.mark.parametrize("kind", range(8))
def test_no_message_shows_a_token_that_is_sent_back(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for offset in (0, 1, 7, *range(18, 90, 3), *range(170, 205)):
        for echo in (TOKEN, f"Bearer {TOKEN}", json.dumps(TOKEN)[1:-1].replace("/", "\\/")):
            shown = said(answers(offset, echo)[kind], monkeypatch)
            assert not any(TOKEN[i : i + 4] in shown for i in range(len(TOKEN) - 3)), shown


def test_what_a_server_says_of_itself_is_shown_without_token_or_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = said(lambda: httpx2.Response(400, text=f"\x1b]0;owned\x07{TOKEN}\u202e!"), monkeypatch)
    assert shown.isprintable()
    assert "*** !" in shown
    assert "owned" not in shown
