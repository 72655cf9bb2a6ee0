"""What birthmark does not test, named, with what could serve instead: detectors, multi-label classifiers, free text."""

from collections.abc import Mapping, Sequence

from birthmark.errors import OracleError, SettingError

COMPARE = "or compare the files (birthmark compare)"
DETECTOR = (
    "an object detector, which answers boxes, and a claim takes one row of fixed length an input: serve the class "
    f"scores of one fixed region as values (answers = 'values'), {COMPARE}"
)
MULTILABEL = (
    "a multi-label classifier, which names several classes at once, and a claim takes classes that exclude each other: "
    f"declare answers values (each score is one), or serve one label as two classes, {COMPARE}"
)
GENERATOR = (
    "a generator of free text, whose answers have no fixed length, and a claim takes one row of numbers an input: serve"
    f" the probabilities of a fixed list of next tokens, {COMPARE}"
)
SEGMENTER = (
    "a model that answers for every pixel or token, and a claim takes one row of fixed length an input: serve its "
    f"answers to a fixed place as a row, {COMPARE}"
)
HEADS = {  # of Hugging Face's architectures, by the end of their name
    "ForObjectDetection": DETECTOR,
    "ForZeroShotObjectDetection": DETECTOR,
    "ForCausalLM": GENERATOR,
    "LMHeadModel": GENERATOR,
    "ForConditionalGeneration": GENERATOR,
    "ForSpeechSeq2Seq": GENERATOR,
    "ForVision2Seq": GENERATOR,
    "ForTokenClassification": SEGMENTER,
    "ForQuestionAnswering": SEGMENTER,
    "ForMaskedLM": SEGMENTER,
    "ForSemanticSegmentation": SEGMENTER,
    "ForInstanceSegmentation": SEGMENTER,
}
ANSWERS = {"boxes": DETECTOR, "box": DETECTOR, "bbox": DETECTOR, "generated_text": GENERATOR, "choices": GENERATOR}
VALUES = "values"


def check_config(config: Mapping[str, object], answers: str, name: str) -> None:
    """Raise SettingError if a Hugging Face folder's config names a model that no claim can be about.

    Args:
        answers: as declared; scores of several labels may be declared values.
    """
    heads = config.get("architectures")
    first = str(next(iter(heads), "")) if isinstance(heads, list) else ""
    for end in filter(first.endswith, HEADS):
        raise SettingError(f"{name}: {HEADS[end]}")
    if config.get("problem_type") == "multi_label_classification" and answers != VALUES:
        raise SettingError(f"{name}: {MULTILABEL}")


def check_outputs(names: Sequence[str], name: str) -> None:
    """Raise SettingError if a graph's outputs are those of a detector."""
    lower = {part for output in names for part in output.lower().replace("-", "_").split("_")}
    if len(names) > 1 and lower & {"boxes", "bboxes", "box"}:
        raise SettingError(f"{name}: {DETECTOR}")


def check_answer(value: object, name: str) -> None:
    """Raise OracleError if a server's decoded answer is that of a detector or a generator of text."""
    while isinstance(value, list) and value:
        value = value[0]
    for key in ANSWERS.keys() & value.keys() if isinstance(value, Mapping) else ():
        raise OracleError(f"{name}: {ANSWERS[key]}")
