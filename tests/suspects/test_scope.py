"""What no claim can be about is named, with what could serve instead."""

import pytest

from birthmark.errors import BirthmarkError
from birthmark.suspects.scope import check_answer, check_config, check_outputs

HEADS = {
    "DetrForObjectDetection": "object detector",
    "GPT2LMHeadModel": "free text",
    "LlamaForCausalLM": "free text",
    "T5ForConditionalGeneration": "free text",
    "BertForTokenClassification": "every pixel or token",
}


@pytest.mark.parametrize("head", HEADS)
def test_heads_of_other_kinds_are_named(head: str) -> None:
    with pytest.raises(BirthmarkError, match=HEADS[head]):
        check_config({"architectures": [head]}, "", "folder")


def test_classifiers_pass_and_several_labels_may_be_values() -> None:
    check_config({"architectures": ["ViTForImageClassification"]}, "", "folder")
    check_config({"architectures": 3}, "", "folder")
    several = {"architectures": ["BertForSequenceClassification"], "problem_type": "multi_label_classification"}
    check_config(several, "values", "folder")
    with pytest.raises(BirthmarkError, match="multi-label"):
        check_config(several, "", "folder")


def test_outputs_and_answers_of_detectors_are_named() -> None:
    check_outputs(["logits"], "file")
    check_outputs(["boxes"], "file")
    with pytest.raises(BirthmarkError, match="object detector"):
        check_outputs(["detection_boxes", "scores"], "file")
    check_answer([[0.1, 0.9]], "api")
    check_answer([{"label": "cat", "score": 0.9}], "api")
    for answer, words in (
        ([{"box": {}, "label": "cat", "score": 1.0}], "detector"),
        ([{"generated_text": ""}], "text"),
    ):
        with pytest.raises(BirthmarkError, match=words):
            check_answer(answer, "api")
