"""Whatever JSON or TOML comes: rows of the right shape, or one of our errors; property-tested."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birthmark.claim import Task
from birthmark.errors import BirthmarkError, OracleError, SettingError
from birthmark.suspects import dialects
from birthmark.suspects.address import without_secret
from birthmark.suspects.description import PLACES, SuspectSpec, declared
from birthmark.suspects.dialect import Response
from birthmark.suspects.reading import rows
from birthmark.suspects.writing import encoded

TASK = Task((1, 2, 2), 3)
X = np.zeros((2, 1, 2, 2), dtype=np.float32)
number = st.floats() | st.integers(-5, 5) | st.sampled_from([0.5, 1e308, 10**30, 0, 1])
leaf = st.none() | st.booleans() | number | st.sampled_from(["a", "b", "c", "", "0", "label", "\x1b[2J"])
words = st.sampled_from(
    ["a", "b", "c", "label", "score", "predictions", "outputs", "name", "shape", "datatype", "data", "parameters"]
)
anything = st.recursive(leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4))
tensors = st.fixed_dictionaries(
    {"name": leaf, "shape": anything, "datatype": leaf | st.sampled_from(["FP32", "BYTES", "BF16"]), "data": anything}
)
answer = (
    anything
    | st.lists(anything, min_size=2, max_size=2)
    | st.fixed_dictionaries({"predictions": anything})
    | st.fixed_dictionaries({"outputs": st.lists(tensors, max_size=2)})
)
reading = (
    st.fixed_dictionaries(
        {"answers": st.sampled_from(["", "labels", "topk", "probabilities", "logits", "sigmoid"])},
        optional={"order": st.permutations([0, 1, 2])},
    )
    | st.fixed_dictionaries({"answers": st.sampled_from(["topk", "sigmoid"]), "scale": st.just(100.0)})
    | st.fixed_dictionaries({"labels": st.just(["a", "b", "c"]), "answers": st.sampled_from(["", "labels", "topk"])})
)
often = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@contextmanager
def one_line(kind: type[BirthmarkError]) -> Iterator[None]:
    """An error of ours may come, in one line."""
    try:
        yield
    except BirthmarkError as error:
        text = str(error)
        assert isinstance(error, kind)  # noqa: PT017
        assert text.isprintable()


def checked(found: np.ndarray) -> None:
    assert found.shape[0] == 2
    assert found.ndim == 2
    assert found.dtype == np.float64


@given(answer, reading)
@often
def test_any_answer_is_rows_or_an_error(value: object, said: dict[str, object]) -> None:
    with one_line(OracleError):
        checked(rows(value, 2, declared(SuspectSpec(**said), TASK).reading, TASK, "s"))


@pytest.mark.parametrize("name", ["oip", "tfserving", "mlflow", "torchserve", "hf", "generic"])
@given(value=answer, said=reading)
@often
def test_any_body_of_any_dialect_is_rows_or_an_error(name: str, value: object, said: dict[str, object]) -> None:
    spec = declared(SuspectSpec(**said, body={"x": "$inputs"}, output_name="a" if name == "oip" else ""), TASK)
    dialect = dialects()[name](spec, TASK)
    with one_line(OracleError):
        checked(
            rows(dialect.answers(Response(200, {}, json.dumps(value).encode()), 2, "s"), 2, spec.reading, TASK, "s")
        )


@given(st.binary(max_size=200), st.dictionaries(st.just("inference-header-content-length"), st.text(max_size=5)))
@often
def test_any_bytes_are_rows_or_an_error(body: bytes, headers: dict[str, str]) -> None:
    spec = declared(SuspectSpec(), TASK)
    for kind in dialects().values():
        if kind.name != "generic":
            with one_line(OracleError):
                checked(
                    rows(kind(spec, TASK).answers(Response(200, headers, body), 2, "s"), 2, spec.reading, TASK, "s")
                )


@given(st.dictionaries(st.sampled_from(sorted(PLACES)), anything | st.text(max_size=20) | number, max_size=3))
@often
def test_any_description_is_one_or_an_error(said: dict[str, object]) -> None:
    with one_line(SettingError):
        spec = SuspectSpec(**said)
        assert SuspectSpec(**spec.flat()) == spec
        assert isinstance(spec.declaration(), dict)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isfinite(encoded(X, spec.writing)).all()


@given(
    st.text(alphabet="htps:/[]@?#&=.%0aé \x00:9é-", max_size=40) | st.from_regex(r"https?://\S{0,30}", fullmatch=True)
)
@often
def test_any_address_is_one_or_an_error(url: str) -> None:
    with one_line(SettingError):
        assert without_secret(url).hostname


@given(text=st.text(max_size=60))
@often
def test_any_text_is_a_description_or_an_error(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with one_line(BirthmarkError):
        SuspectSpec.read(file)
