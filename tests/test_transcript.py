"""Transcripts: nothing is asked twice, nothing stale is used, nothing altered runs on."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from birthmark import suspects
from birthmark.claim import Claim, Task
from birthmark.errors import ArtifactError, OracleError
from birthmark.evidence import Verdict
from birthmark.oracle import Function, HardLabels, Metered, Oracle, Probabilities, Rounded, TopK
from birthmark.suspects.description import SuspectSpec
from birthmark.transcript import Recorded, Replay, Transcript
from birthmark.types import Answers, Array, Floats
from birthmark.verify import verify
from birthmark.workshop.modelfile import ModelHead, save_model
from birthmark.workshop.whitebox import Open

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3))
INPUTS = np.random.default_rng(1).random((20, 4), dtype=np.float32)


def logits(inputs: Array) -> Floats:
    return np.asarray(inputs.astype(float) @ WEIGHTS)


def model(name: str = "linear") -> Function:
    return Function(logits, Answers.LOGITS, name)


def recorded(path: Path | None, oracle: Oracle | None = None) -> Recorded:
    return Recorded(oracle or model(), Transcript(path, oracle or model()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A transcript of twenty answers and two asked again."""
    asked = recorded(tmp_path / "t.jsonl")
    asked(INPUTS)
    asked.again(INPUTS[:2])
    asked.transcript.close()
    return tmp_path / "t.jsonl"


def test_a_transcript_is_never_asked_twice_and_replays(tmp_path: Path) -> None:
    place, metered = tmp_path / "t.jsonl", Metered(model())
    first = recorded(place, metered)
    rows = first(INPUTS[:12])
    first.transcript.close()
    again = recorded(place, metered)
    assert np.array_equal(again(INPUTS)[:12], rows)
    again.transcript.close()
    assert metered.spent == 20
    assert np.array_equal(Replay(place)(INPUTS), logits(INPUTS))
    assert Replay(place).identify() == model().identify()
    with pytest.raises(OracleError, match="does not hold one of the queries"):
        Replay(place)(INPUTS + 1)


def test_equal_queries_in_one_batch_are_sent_once() -> None:
    metered = Metered(model())
    rows = recorded(None, metered)(INPUTS[[0, 1, 0, 0]])
    assert metered.spent == 2
    assert np.array_equal(rows, logits(INPUTS[[0, 1, 0, 0]]))


@pytest.mark.parametrize("lost", [1, 2, 30, 70])
def test_a_torn_last_line_is_dropped_and_asked_again(lost: int, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-lost])
    metered = Metered(model())
    resumed = recorded(path, metered)
    assert np.array_equal(resumed(INPUTS), logits(INPUTS))
    assert metered.spent == 0
    resumed.again(INPUTS[:2])
    assert metered.spent == 2
    resumed.transcript.close()
    again = recorded(path).transcript
    again.close()
    assert again.sent == resumed.transcript.sent


def test_a_torn_first_line_is_a_new_transcript(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])
    new = recorded(path).transcript
    new.close()
    assert new.known == {}


def test_answers_that_are_not_finite_are_not_kept(tmp_path: Path) -> None:
    broken = recorded(tmp_path / "t.jsonl", Function(lambda x: logits(x) * np.nan, Answers.LOGITS, "linear"))
    with pytest.raises(OracleError, match="expected finite answers"):
        broken(INPUTS)
    broken.transcript.close()
    whole = recorded(tmp_path / "t.jsonl")
    assert np.array_equal(whole(INPUTS), logits(INPUTS))
    whole.transcript.close()


OTHERS: dict[str, tuple[Oracle, str]] = {
    "another suspect": (model("other"), "this transcript is of linear, the suspect is other"),
    "another kind": (Function(logits, Answers.PROBABILITIES, "linear"), "they differ in answers"),
    "labels": (HardLabels(model()), "they differ in answers, shown"),
    "top 2": (TopK(model(), 2), "they differ in answers, shown"),
}


@pytest.mark.parametrize("which", OTHERS)
def test_another_suspects_transcript_is_refused(which: str, path: Path) -> None:
    oracle, match = OTHERS[which]
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match=match) as caught:
        Transcript(path, oracle)
    assert caught.value.exit_code == 5
    assert path.read_bytes() == before


def test_the_same_model_shown_otherwise_is_another_suspect(tmp_path: Path) -> None:
    first = recorded(tmp_path / "t.jsonl", Rounded(model(), 2))
    first.transcript.close()
    for other in (Rounded(model(), 3), TopK(model(), 2), Probabilities(model())):
        with pytest.raises(ArtifactError, match="they differ in shown"):
            Transcript(tmp_path / "t.jsonl", other)
    Transcript(tmp_path / "t.jsonl", Metered(Rounded(model(), 2), 100)).close()


def test_another_task_or_format_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="they differ in task"):
        Transcript(path, model(), {"shape": [4], "outputs": 3})
    old = tmp_path / "old.jsonl"
    old.write_text('{"format": "birthmark/transcript/1", "suspect": "linear", "answers": "logits"}\n')
    with pytest.raises(ArtifactError, match=r"transcript/1.*ask again into another file"):
        recorded(old)
    with pytest.raises(ArtifactError, match="transcript/1"):
        Replay(old)


@pytest.mark.parametrize("text", ["hello", "hello\n", "{}\n", '{"format": 1}\n', "\n", "\x00\n"])
def test_what_is_no_transcript_is_refused_and_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(ArtifactError, match="expected a birthmark transcript"):
        recorded(tmp_path / "t")
    assert (tmp_path / "t").read_text() == text


def altered(whole: bytes, dice: random.Random) -> bytes:
    """One alteration: a byte or bit flipped, a value edited, lines swapped, dropped, doubled, moved, or cut inside."""
    lines = whole.splitlines(keepends=True)
    i, j = dice.randrange(len(lines)), dice.randrange(len(lines))
    kind = dice.randrange(8)
    if kind == 0:
        place = dice.randrange(len(whole))
        return whole[:place] + bytes([whole[place] ^ (1 << dice.randrange(8))]) + whole[place + 1 :]
    if kind == 1:
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 2:
        del lines[min(i, len(lines) - 2)]  # a transcript without its last line is one that was cut short
    elif kind == 3:
        lines.insert(i, lines[j])
    elif kind == 4:
        entry = json.loads(lines[i])
        if "answer" in entry:
            entry["answer"][0] += 1e-9
        else:
            entry["suspect"] = "thief"
        lines[i] = json.dumps(entry).encode() + b"\n"
    elif kind == 5:
        place = dice.randrange(len(whole) - 1)
        return whole[:place] + bytes([dice.randrange(256)]) + whole[place:]
    elif kind == 6:
        place = dice.randrange(len(whole) - len(lines[-1]) - 1)
        return whole[:place] + whole[place + 1 :]
    else:
        lines = lines[:i] + [line.replace(b"0.", b"0.1", 1) for line in lines[i:]]
    return b"".join(lines)


def test_five_hundred_alterations_are_noticed(path: Path) -> None:
    whole, dice, said = path.read_bytes(), random.Random(0), set[str]()
    tried = 0
    while tried < 500:
        changed = altered(whole, dice)
        if changed == whole:
            continue
        tried += 1
        path.write_bytes(changed)
        for use in (recorded, Replay):
            with pytest.raises(ArtifactError) as caught:
                use(path)
            said.add(str(caught.value).split(": ", 1)[1][:7])
        assert path.read_bytes() == changed
    assert said >= {"line 2 ", "line 9 "}, said


def test_an_altered_line_is_named(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[6] = lines[6].replace(b"0.", b"1.", 1)
    path.write_bytes(b"".join(lines))
    with pytest.raises(ArtifactError, match="line 7 does not follow from the lines before it"):
        recorded(path)


@pytest.fixture
def files(tmp_path: Path, stolen: nn.Module, innocent: nn.Module) -> tuple[Path, Path]:
    """A thief's and an innocent's file of the same name."""
    for folder, module in (("A", stolen), ("I", innocent)):
        (tmp_path / folder).mkdir()
        save_model(tmp_path / folder / "model.safetensors", module, ModelHead("mlp", (1, 8, 8), 10))
    return tmp_path / "A/model.safetensors", tmp_path / "I/model.safetensors"


def test_another_file_of_the_same_name_is_refused_both_ways(
    files: tuple[Path, Path], digits_claim: Claim, tmp_path: Path
) -> None:
    for place, (first, second, verdict) in enumerate(
        ((*files, Verdict.SUPPORTED), (*files[::-1], Verdict.NOT_SUPPORTED))
    ):
        log = tmp_path / f"{place}.jsonl"

        def judged(file: Path, to: Path = log, **spec: object) -> Verdict:
            suspect = suspects.open(file, task=digits_claim.task, spec=SuspectSpec(**spec))
            return verify(digits_claim, suspect, alpha=0.05, transcript=to).verdict

        assert judged(first) is verdict
        names = (f"{file.parent.name}/model.safetensors \\(sha256 [0-9a-f]{{16}}\\)" for file in (first, second))
        with pytest.raises(ArtifactError, match="this transcript is of {}, the suspect is {}".format(*names)):
            judged(second)
        with pytest.raises(ArtifactError, match="they differ in high"):
            judged(first, high=2.0)
        assert judged(first) is verdict
        moved = tmp_path / "moved.safetensors"
        moved.write_bytes(first.read_bytes())
        assert judged(moved) is verdict  # what counts is the bits


def test_networks_in_memory_are_told_apart(
    stolen: nn.Module, innocent: nn.Module, digits_claim: Claim, tmp_path: Path
) -> None:
    verify(digits_claim, Open(stolen), alpha=0.05, transcript=tmp_path / "t.jsonl")
    with pytest.raises(ArtifactError, match=r"this transcript is of model .sha256"):
        verify(digits_claim, Open(innocent), alpha=0.05, transcript=tmp_path / "t.jsonl")


def test_a_transcript_holds_what_was_received(stolen: nn.Module, digits_claim: Claim, tmp_path: Path) -> None:
    found = verify(digits_claim, Open(stolen), alpha=0.05, transcript=tmp_path / "t.jsonl")
    replay = Replay(tmp_path / "t.jsonl")
    assert replay.answers is Answers.LOGITS
    assert np.array_equal(replay(digits_claim.queries), Open(stolen)(digits_claim.queries))
    again = verify(digits_claim, replay, alpha=0.05)
    assert (again.score, again.p_value) == (found.score, found.p_value)


def test_external_data_of_an_onnx_file_counts(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")

    def saved(scale: float) -> Oracle:
        (tmp_path / "m.data").unlink(missing_ok=True)
        weights = onnx.numpy_helper.from_array(np.full((64, 10), scale, dtype=np.float32), "w")
        nodes = [onnx.helper.make_node("Flatten", ["x"], ["f"]), onnx.helper.make_node("MatMul", ["f", "w"], ["y"])]
        shapes = [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in (("x", ["n", 1, 8, 8]), ("y", ["n", 10]))
        ]
        graph = onnx.helper.make_graph(nodes, "g", shapes[:1], shapes[1:], [weights])
        onnx.save(
            onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8),
            tmp_path / "m.onnx",
            save_as_external_data=True,
            location="m.data",
            size_threshold=0,
        )
        return suspects.open(tmp_path / "m.onnx", task=Task((1, 8, 8), 10))

    first, text = saved(1.0).identify(), (tmp_path / "m.onnx").read_bytes()
    assert saved(1.0).identify() == first
    assert saved(2.0).identify() != first
    assert (tmp_path / "m.onnx").read_bytes() == text


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    from birthmark.suspects.files import identity

    (tmp_path / "config.json").write_text("{}")
    before = identity(tmp_path)["sha256"]
    (tmp_path / "preprocessor_config.json").write_text("{}")
    assert identity(tmp_path)["sha256"] != before


def test_a_declaration_holds_no_secret() -> None:
    spec = SuspectSpec(
        auth="env:TOKEN", headers={"X-Key": "env:OTHER", "X-Model": "plain words"}, proxy="http://proxy:8080", rate=3.0
    )
    said = spec.declaration()
    assert "plain words" not in str(said)
    assert "proxy:8080" not in str(said)
    assert said["auth"] == '"env:TOKEN"'
    assert "rate" not in said
    for other in ({"headers": {"X-Key": "env:OTHER", "X-Model": "others"}}, {"order": (1, 0)}, {"model": "v2"}):
        assert spec.having(**other).declaration() != said


def test_weights_decide_the_digest() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    before = Open(net).identify()
    assert Open(net, name="other").identify() == before
    net[1].running_mean += 1
    assert Open(net).identify() != before
