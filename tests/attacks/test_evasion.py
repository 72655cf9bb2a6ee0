"""Evasions: each does what it says, stacks are named in one line, and answers do not depend on how batches are cut."""

import numpy as np
import pytest

from birthmark.attacks.evasion import EVASIONS, Detector, evade, settings_of
from birthmark.checks import small_owner
from birthmark.data import Data
from birthmark.errors import BirthmarkError, DataError, SettingError, UnknownName
from birthmark.oracle import Function, HardLabels, Oracle, Probabilities
from birthmark.types import Access, Answers, Array, Floats
from birthmark.workshop.whitebox import Open

REQUIRED = {"topk": "k=2", "round": "digits=2"}


def seen(stack: str, inputs: Array, data: Array | None = None) -> Array:
    """What the model gets to see behind a stack."""
    caught = list[Array]()

    def note(x: Array) -> Floats:
        caught.append(x)
        return np.eye(3)[np.zeros(len(x), dtype=int)] * 0.8 + 0.1

    evade(Function(note, Answers.PROBABILITIES), stack, data=data)(inputs)
    return caught[-1]


@pytest.fixture
def suspect() -> Oracle:
    return Open(small_owner().source)


@pytest.mark.parametrize("name", EVASIONS)
def test_every_evasion_answers_alike_however_batches_are_cut(name: str, suspect: Oracle, digits: Data) -> None:
    x, data = digits["test"].inputs[:40], digits["attacker"].inputs
    stack = name + (":" + REQUIRED[name] if name in REQUIRED else "")
    whole = evade(suspect, stack, seed=3, data=data)(x)
    parts = evade(suspect, stack, seed=3, data=data)
    assert np.allclose(whole, np.concatenate([parts(x[:7]), parts(x[7:])]), atol=1e-6)
    assert evade(suspect, stack, data=data).access < Access.WEIGHTS


@pytest.mark.parametrize("stack", ["noise", "shift", "flip", "output-noise", "randomised-smoothing:copies=3"])
def test_randomised_evasions_answer_a_repeated_question_anew(stack: str, suspect: Oracle, digits: Data) -> None:
    api = evade(suspect, stack, seed=0)
    assert not np.allclose(api(digits["test"].inputs[:20]), api(digits["test"].inputs[:20]))


@pytest.mark.parametrize(
    "name", ["temperature", "output-noise", "topk:k=3", "round:digits=2", "argmax", "detector", "randomised-smoothing"]
)
def test_outputs_stay_probabilities(name: str, suspect: Oracle, digits: Data) -> None:
    rows = evade(suspect, name, data=digits["attacker"].inputs)(digits["test"].inputs)
    assert rows.min() >= 0
    assert rows.sum(axis=1).max() <= 1.06


def test_inputs_are_changed_as_named(digits: Data) -> None:
    x = digits["test"].inputs[:30]
    assert len(np.unique(seen("bits:bits=2", x))) <= 4
    assert np.std(seen("noise:level=0.1", x) - x) == pytest.approx(0.1, rel=0.1)
    assert np.array_equal(seen("flip:share=1", x), x[..., ::-1])
    assert 0.001 < np.abs(seen("jpeg:quality=50", x) - x).mean() < 0.2
    assert np.abs(np.diff(seen("smooth:kind=mean,size=3", x))).mean() < np.abs(np.diff(x)).mean()
    shifted = seen("shift:pixels=1", x)
    assert shifted.shape == x.shape
    assert not np.array_equal(shifted, x)
    flat = x.reshape(30, -1)
    rebuilt = seen("reconstruct:width=3", flat, data=digits["attacker"].inputs.reshape(-1, 64))
    assert np.linalg.matrix_rank(rebuilt - rebuilt.mean(axis=0), tol=1e-3) <= 3


def test_outputs_are_changed_as_named(suspect: Oracle, digits: Data) -> None:
    x = digits["test"].inputs
    p = Probabilities(suspect)(x)
    assert np.allclose(evade(suspect, "argmax")(x), HardLabels(suspect)(x))
    assert ((evade(suspect, "topk:k=2")(x) > 0).sum(axis=1) <= 2).all()
    assert np.allclose(evade(suspect, "round:digits=1")(x), np.round(p, 1))
    hot = evade(suspect, "temperature:heat=2")(x)
    assert np.allclose(hot, np.sqrt(p) / np.sqrt(p).sum(axis=1, keepdims=True))
    assert (hot.max(axis=1) <= p.max(axis=1) + 1e-9).all()


def test_stack_is_applied_from_the_model_outwards(suspect: Oracle, digits: Data) -> None:
    x = digits["test"].inputs[:50]
    inside_out = evade(suspect, "temperature:heat=4|round:digits=1")(x)
    assert np.allclose(inside_out, np.round(inside_out, 1))
    assert not np.allclose(inside_out, evade(suspect, "round:digits=1|temperature:heat=4")(x))
    assert evade(suspect, "") is suspect


def test_detector_turns_away_strange_inputs_and_few_of_its_own_kind(suspect: Oracle, digits: Data) -> None:
    api = evade(suspect, "detector:share=0.05", data=digits["attacker"].inputs)
    assert isinstance(api, Detector)
    x = digits["test"].inputs
    random = np.random.default_rng(0)
    noise = random.random(x.shape).astype(np.float32)
    jolted = np.clip(x + 0.3 * np.sign(random.normal(size=x.shape)), 0, 1).astype(np.float32)
    assert (api.strangeness(x) > api.limit).mean() < 0.15
    assert (api.strangeness(noise) > api.limit).mean() > 0.95
    assert (api.strangeness(jolted) > api.limit).mean() > 0.9
    said, meant = api(noise).argmax(axis=1), suspect(noise).argmax(axis=1)
    assert (said == meant).mean() < 0.5
    assert np.array_equal(said, api(noise).argmax(axis=1))


@pytest.mark.parametrize(
    ("stack", "error", "words"),
    [
        ("jpg", UnknownName, "did you mean jpeg"),
        ("jpeg:quality=200", SettingError, "1 to 95"),
        ("jpeg:level=3", SettingError, "it has quality"),
        ("topk", SettingError, "expected k"),
        ("bits:bits=many", SettingError, "to be a int"),
        ("detector", DataError, "at least 10 inputs"),
        ("flip:share=0", SettingError, "share in"),
        ("smooth:kind=magic", SettingError, "gaussian, mean or median"),
    ],
)
def test_mistakes_are_named(stack: str, error: type[BirthmarkError], words: str, suspect: Oracle) -> None:
    with pytest.raises(error, match=words):
        evade(suspect, stack)


def test_images_are_needed_where_pixels_are_moved(suspect: Oracle) -> None:
    with pytest.raises(BirthmarkError, match="images"):
        evade(suspect, "smooth")(np.zeros((3, 64), dtype=np.float32))


def test_settings_have_types() -> None:
    assert settings_of("jpeg") == {"quality": int}
    assert all(kind in (int, float, str) for name in EVASIONS for kind in settings_of(name).values())
