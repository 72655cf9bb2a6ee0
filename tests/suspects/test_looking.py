"""What a file or a folder says of itself."""

from pathlib import Path

import pytest

from birthmark.errors import BirthmarkError
from birthmark.suspects.looking import look

CONFIGS = {
    '{"architectures": ["ViTForImageClassification"], "image_size": 32, "id2label": {"0": "a", "1": "b"}}': (
        [3, 32, 32],
        2,
        False,
    ),
    '{"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}}': ([], 3, True),
    "{}": ([], 0, False),
}


@pytest.mark.parametrize("config", CONFIGS)
def test_a_folder_says_its_shape_and_classes(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    about = look(tmp_path)
    assert (about["shape"], about["outputs"], about["text"]) == CONFIGS[config]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "config.json"),
        ("[1]", "expected an object, got list"),
        ("{", "not"),
        ('{"architectures": ["DetrForObjectDetection"]}', "an object detector"),
        ('{"architectures": ["X"], "problem_type": "multi_label_classification"}', "a multi-label classifier"),
    ],
)
def test_what_is_no_model_of_ours_is_one_line(config: str | None, words: str, tmp_path: Path) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(BirthmarkError, match=words):
        look(tmp_path)


def test_a_graph_says_its_ports(tmp_path: Path) -> None:
    graphs = pytest.importorskip("graphs")
    about = look(graphs.write(tmp_path / "a.onnx", 1))
    assert about["what"] == "an ONNX file: input x float ['n', 12]; output logits float ['n', 5]"
    assert (about["shape"], about["outputs"]) == ([12], 5)
