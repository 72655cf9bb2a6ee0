"""Inputs that are no rows of floats: kept, hashed, sent and shown in their own form."""

from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from birthmark.claim import Claim, Task
from birthmark.errors import ArtifactError, SettingError, ShapeError
from birthmark.inputs import from_bytes, given, packed, query_digest, records, texts, to_bytes, unpacked
from birthmark.methods.cem import CEM
from birthmark.methods.kinship import Kinship
from birthmark.oracle import Function
from birthmark.report.samples import samples
from birthmark.transcript import Transcript
from birthmark.types import Answers, Form, Samples
from birthmark.verify import verify
from birthmark.workshop.enroll import check_inputs
from birthmark.workshop.owner import Owner

WORDS = ["", "grün", "two\nlines", '\U0001f40d snake, and "quotes"']


def claim_of(queries: np.ndarray, form: Form = Form.NUMBERS) -> Claim:
    """A claim of three owners and four references that answer at random."""
    q, random = len(queries), np.random.default_rng(0)
    owners, references = random.dirichlet([1] * 3, (20, q)), random.dirichlet([1] * 3, (4, q))
    tensors = {"queries": queries, "owners": owners, "references": references}
    return Claim("kinship", {"placebos": 19}, Task(queries.shape[1:], 3, form=form), 0, tensors)


def test_strings_survive_packing() -> None:
    assert unpacked(*packed(texts(WORDS))).tolist() == WORDS
    assert from_bytes(*to_bytes(texts(WORDS))).tolist() == WORDS
    with pytest.raises(ValueError, match="ends"):
        unpacked(b"abc", np.array([2, 1, 3]))


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(ShapeError, match="damaged"):
        texts(["\ud800"])


def test_numbers_keep_their_kind() -> None:
    for array in (np.arange(6, dtype=np.int64).reshape(2, 3), np.float32([[1.5, 2]])):
        back = from_bytes(*to_bytes(array))
        assert back.dtype == array.dtype
        assert np.array_equal(back, array)


def test_digests_tell_forms_apart() -> None:
    ids = np.array([1, 2**24 + 1])
    assert query_digest(ids) != query_digest(np.array([1, 2**24]))
    assert len({query_digest("1"), query_digest(np.int64([1])), query_digest(np.float32([1]))}) == 3


def test_records_hold_what_json_holds() -> None:
    assert records([{"age": 3, "city": None}]).tolist() == ['{"age": 3, "city": null}']
    with pytest.raises(ShapeError, match="numbers, texts, true, false and null"):
        records([{"age": float("nan")}])


@pytest.mark.parametrize(
    ("queries", "form"),
    [
        (texts(f"text {i}" for i in range(40)), Form.TEXT),
        (records({"a": i} for i in range(40)), Form.RECORDS),
        (np.arange(120).reshape(40, 3), Form.NUMBERS),
    ],
)
def test_claims_of_every_form_are_kept_asked_and_shown(queries: np.ndarray, form: Form, tmp_path: Path) -> None:
    claim = claim_of(queries, form)
    digest = claim.save(tmp_path / "claim")
    back, same = Claim.load(tmp_path / "claim")
    assert same == digest
    assert back.task == claim.task
    assert back.queries.dtype == queries.dtype
    assert back.queries.tolist() == queries.tolist()
    seen = []

    def copy(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return claim.tensors["owners"][0][[queries.tolist().index(row) for row in x.tolist()]]

    found = verify(back, Function(copy, Answers.PROBABILITIES), transcript=tmp_path / "t.jsonl")
    assert found.p_value == 0.05
    assert all(x.dtype == queries.dtype for x in seen)
    asked = len(seen)
    assert verify(back, Function(copy, Answers.PROBABILITIES), transcript=tmp_path / "t.jsonl") == found
    assert len(seen) == asked, "the transcript knows every query"
    shown = samples(back, claim.tensors["owners"][0], None, [], 1)[0].values
    assert shown == {Form.TEXT: ("text 0",), Form.RECORDS: ("a: 0",)}.get(form, ("0", "1", "2"))


def test_claims_of_floats_are_written_as_before(tmp_path: Path) -> None:
    claim_of(np.zeros((4, 2), np.float32)).save(tmp_path)
    assert b"birthmark/claim/1" in (tmp_path / "manifest.json").read_bytes()
    assert b"form" not in (tmp_path / "data.json").read_bytes()


def test_a_form_that_is_not_the_queries_is_refused(tmp_path: Path) -> None:
    claim = claim_of(np.zeros((4, 2), np.float32))
    replace(claim, task=replace(claim.task, form=Form.TEXT)).save(tmp_path)
    with pytest.raises(ArtifactError, match="lacks queries of the form text"):
        Claim.load(tmp_path)


def test_transcripts_of_floats_are_bound_as_before(tmp_path: Path) -> None:
    assert Task((2,), 3).plain() == {"shape": (2,), "outputs": 3, "values": False}
    Transcript(tmp_path / "t", Function(len, Answers.LABELS), Task((2,), 3).plain()).close()


def test_methods_that_change_inputs_refuse_texts_and_tokens(owner: Owner) -> None:
    pool = Samples(texts(["a", "b"]), np.array([0, 1]), 10)
    words = replace(owner, pool=pool, train=pool)
    check_inputs(words, Kinship())
    with pytest.raises(SettingError, match="these inputs are text; use a method that chooses them"):
        check_inputs(words, CEM())
    tokens = replace(owner, pool=Samples(np.array([[1], [2]]), np.array([0, 1]), 10))
    with pytest.raises(SettingError, match="whole numbers"):
        check_inputs(tokens, CEM())


def test_functions_get_lists_of_texts_and_of_records() -> None:
    assert given(texts(["a", "ä"]), Form.TEXT) == ["a", "ä"]
    assert given(records([{"a": None}]), Form.RECORDS) == [{"a": None}]
    numbers = np.arange(3)
    assert given(numbers, Form.NUMBERS) is not numbers


def test_the_small_checker_knows_every_form(tmp_path: Path) -> None:
    place = Path(__file__).parents[1] / "tools" / "check_evidence.py"
    spec = spec_from_file_location("check_evidence", place)
    assert spec is not None
    assert spec.loader is not None
    checker = module_from_spec(spec)
    spec.loader.exec_module(checker)
    for queries, form in (
        (texts(["a", "", "ä"]), Form.TEXT),
        (np.arange(6).reshape(3, 2), Form.NUMBERS),
        (np.float32([[1], [2]]), Form.NUMBERS),
    ):
        claim_of(queries, form).save(tmp_path / "claim")
        files = {f"claim/{file.name}": file.read_bytes() for file in (tmp_path / "claim").iterdir()}
        assert checker.check_claim(files)[2] == [query_digest(row) for row in queries]
