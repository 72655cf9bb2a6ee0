"""Whatever the bytes, every reader refuses them in one line or reads them: a second a reader, `make fuzz` more."""

import json
import time
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birthmark.errors import ArtifactError
from fuzz.harness import Fuzz, Reader, corpus, fuzzing
from fuzz.mutations import EXTREMES
from fuzz.readers import READERS

SECONDS, INPUTS = 0.5, 200  # a reader, whichever ends first
some = settings(
    max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
leaf = st.sampled_from([value for value in EXTREMES if not isinstance(value, str) or len(value) < 100]) | st.floats()
words = st.sampled_from(["", "a", "files", "name", "shape", "data", "format", "rule", "label", "0"])
document = st.recursive(
    leaf, lambda one: st.lists(one, max_size=3) | st.dictionaries(words, one, max_size=3), max_leaves=8
)
anything = (
    document.map(lambda value: json.dumps(value).encode())
    | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=60)
)


@pytest.fixture(scope="module", params=READERS)
def fuzz(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzz]:
    with fuzzing(READERS[request.param], tmp_path_factory.mktemp("fuzz") / "x") as made:
        yield made


def test_what_was_found_stays_mended(fuzz: Fuzz) -> None:
    for case, files in corpus(fuzz.reader.name):
        assert fuzz.run(files, anew=True) == "", case


def test_any_change_is_refused_or_read(fuzz: Fuzz) -> None:
    start = time.monotonic()
    for number in range(INPUTS):
        if time.monotonic() - start > SECONDS:
            break
        files, anew = fuzz.input(Random(number))
        assert fuzz.run(files, anew) == "", f"input {number}"
    assert fuzz.refused


@given(random=st.randoms(use_true_random=False))
@some
def test_any_chosen_change_is_refused_or_read(fuzz: Fuzz, random: Random) -> None:
    assert fuzz.run(*fuzz.input(random)) == ""


@given(data=st.data())
@some
def test_any_content_is_refused_or_read(fuzz: Fuzz, data: st.DataObject) -> None:
    reader, parts = fuzz.reader, fuzz.seeds[0]
    packed = reader.unpack is not None and reader.pack is not None and data.draw(st.booleans())
    parts = reader.unpack(parts) if packed and reader.unpack else parts
    parts = {**parts, data.draw(st.sampled_from(sorted(parts))): data.draw(anything)}
    assert fuzz.run(reader.pack(parts) if packed and reader.pack else parts, packed) == ""


def lying(name: str) -> Reader:
    """A reader that breaks one promise."""

    def read(folder: object) -> object:
        if name == "traceback":
            return {}["x"]
        if name == "lines":
            raise Rude
        if name == "outside":
            return open("/etc/hostname").read()
        return len(str(folder)) and open(f"{folder}/a", "rb").read()

    return Reader(
        name, lambda: [{"a": b"seed"}], lambda folder: "" if "seeding" in state else read(folder), kept=lambda v: v
    )


class Rude(ArtifactError):
    def __str__(self) -> str:
        return "two\nlines"


state: set[str] = set()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("traceback", "KeyError at outside"),
        ("lines", "a message of more than one line"),
        ("outside", "open of /etc/hostname"),
        ("change", "an altered input was accepted as another content"),
    ],
)
def test_a_broken_promise_is_seen(name: str, wrong: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    state.add("seeding")
    with fuzzing(lying(name), tmp_path_factory.mktemp("lies") / "x") as fuzz:
        state.clear()
        assert wrong in fuzz.run({"a": b"other"})
