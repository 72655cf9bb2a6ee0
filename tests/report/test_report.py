"""The page is read by courts and opened beside hostile files: it must be whole, self-contained, escaped and stable."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.tree import DecisionTreeRegressor

from birthmark import report
from birthmark.claim import Claim, Task
from birthmark.errors import ArtifactError, BirthmarkError, SettingError
from birthmark.evidence import Verdict
from birthmark.oracle import Function
from birthmark.report import Details, Row, page, write, write_json
from birthmark.report.samples import source_answers
from birthmark.types import Answers
from birthmark.verify import verify

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)> </style></title> {{ 7*7 }} \u202egnp.exe"""
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page strictly: balanced tags, ids met once; keeps tags, attributes and text."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.text = [], [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[key] for key in ("href", "src", "xlink:href", "action", "data") if key in given]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        last = self.open.pop()
        assert last == tag, f"</{tag}> closes <{last}>"

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", "".join(self.text))


def check(source):
    """What holds for every page: whole, one file, no script, every figure described, every header scoped."""
    found = Page(source)
    names = [tag for tag, _ in found.tags]
    assert "script" not in names
    assert len(found.ids) == len(set(found.ids))
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in found.links)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    assert "http://" not in source
    assert "https://" not in source
    assert "url(" not in source
    for tag, attributes in found.tags:
        assert not [key for key in attributes if key.startswith("on")]
        if attributes.get("role") == "img":
            assert attributes.get("aria-label")
        elif tag == "svg" and "x" not in attributes:  # nested ones are marks inside a described figure
            assert attributes.get("aria-hidden") == "true"
        if tag == "th":
            assert attributes.get("scope") in ("col", "row")
    levels = [int(name[1]) for name in names if re.fullmatch(r"h[1-6]", name)]
    assert levels.count(1) == 1
    assert all(b <= a + 1 or (a, b) == (1, 3) for a, b in pairwise(levels))
    return found


def test_one_suspect_reads_as_a_verdict(claim, tested):
    evidences, paths = tested
    found = check(page(evidences[:1], claim, rows=[Row(transcript=paths[0])]))
    assert evidences[0].verdict is Verdict.SUPPORTED
    assert "The evidence supports that this model was derived from the source." in found.words
    assert "first by luck in 1 of 10 cases (p = 0.1)" in found.words
    assert "100 distinct, 5 repeats" in found.words
    assert evidences[0].transcript in found.words
    accusing = [sentence for sentence in re.split(r"(?<=[.:;])\s", found.words) if "stolen" in sentence]
    assert accusing
    assert all(" not " in sentence for sentence in accusing)


def test_an_independent_model_is_not_called_independent(claim, tested):
    evidences, _ = tested
    assert evidences[2].verdict is not Verdict.SUPPORTED
    words = check(page(evidences[2:], claim)).words
    assert "does not support" in words
    assert "supports that" not in words


def test_the_page_claims_no_guard_that_was_off(claim, tested):
    evidences, _ = tested
    guarded = replace(evidences[0], references_z=(0.0,) * 4, treated_z=(0.0,) * 6)
    words = check(page([guarded], claim)).words
    assert "a suspect no closer than one of them is not called supported" in words
    assert "4, and 6 copies and students of them" in words
    for n, said in ((3, "3"), (0, "no")):
        words = check(page([replace(guarded, references_z=(0.0,) * n, treated_z=(0.0,) * 2 * n)], claim)).words
        assert f"This claim holds {said} independent references: too few to guard against that." in words
        assert "no closer than one of them" not in words


def test_several_suspects_stand_in_one_table(claim, tested):
    evidences, paths = tested
    rows = [
        Row("copy", "derived", "copy", "weights", 1.0, paths[0]),
        Row("labels", "derived", "", "labels", 1.0, paths[1]),
        Row("other", "independent", "", "other data", 0.8, paths[2]),
    ]
    found = check(page(evidences, claim, rows=rows, details=Details(source="forest")))
    for text in (
        "copy",
        "labels",
        "other",
        "forest",
        "80.0 %",
        "Corrected for 3 tests (Bonferroni)",
        "of 2 derived models were supported",
    ):
        assert text in found.words
    assert sum(tag == "symbol" for tag, _ in found.tags) == Details().samples
    assert sum(a.get("class") == "mirror" for _, a in found.tags) == 3 * Details().samples


def test_without_transcripts_the_queries_are_shown_once(claim, tested):
    found = check(page(tested[0], claim))
    assert sum(a.get("class") == "mirror" for _, a in found.tags) == Details().samples
    assert "answers were not recorded" in found.words


def test_hostile_names_are_only_text(claim, tested):
    evidences, paths = tested
    bad = [
        replace(
            e,
            suspect=HOSTILE,
            reason=HOSTILE,
            notes=(HOSTILE,),
            authorisation=HOSTILE,
            made={HOSTILE: HOSTILE},
            settings={HOSTILE: HOSTILE},
        )
        for e in evidences
    ]
    rows = [Row(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0.5, path) for path in paths]
    details = Details(source=HOSTILE, labels=(HOSTILE,) * 10, notes=(HOSTILE,))
    for some in (slice(0, 1), slice(0, 3)):
        source = page(bad[some], claim, rows=rows[some], details=details)
        found = check(source)
        assert "<script>alert(1)</script>" in found.words  # as text
        assert "<script" not in source
        assert "<img" not in source
        assert ">49<" not in source


def test_same_evidence_gives_the_same_bytes_in_another_process_without_torch(claim, tested, tmp_path, monkeypatch):
    evidences, paths = tested
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    here = tmp_path / "here.html"
    write(evidences, claim, here, rows=[Row(transcript=p) for p in paths])
    assert "14 November 2023" in here.read_text()
    claim.save(tmp_path / "claim")
    (tmp_path / "evidence.json").write_text(json.dumps([e.as_dict() for e in evidences]))
    program = """
import json, sys
from pathlib import Path
from birthmark.claim import Claim
from birthmark.evidence import Evidence, Verdict
from birthmark.report import Row, write
folder, transcripts = Path(sys.argv[1]), [Path(p) for p in sys.argv[2:]]
def evidence(data):
    data = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key != "format"}
    return Evidence(**{**data, "verdict": Verdict(data["verdict"])})
made, _ = Claim.load(folder / "claim")
again = [evidence(d) for d in json.loads((folder / "evidence.json").read_text())]
write(again, made, folder / "there.html", rows=[Row(transcript=p) for p in transcripts])
assert not {"torch", "matplotlib"} & set(sys.modules), "the report must not load torch or matplotlib"
"""
    subprocess.run(
        [sys.executable, "-c", program, tmp_path, *paths], check=True, env={**os.environ, "PYTHONHASHSEED": "7"}
    )
    assert here.read_bytes() == (tmp_path / "there.html").read_bytes()


def test_json_holds_the_whole_evidence(tested, tmp_path):
    evidences, _ = tested
    write_json(evidences, tmp_path / "a.json", rows=[Row(kind="derived", agreement=0.5)] * 3)
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["format"] == report.FORMAT
    assert [entry["evidence"] for entry in data["suspects"]] == [json.loads(json.dumps(e.as_dict())) for e in evidences]
    assert data["suspects"][0]["agreement"] == 0.5


def test_references_as_the_null_are_named_and_their_assumption_said(claim, models):
    forests, _, _ = models
    suspect = Function(lambda x: forests[0].predict_proba(x.reshape(len(x), -1)), Answers.PROBABILITIES, "copy")
    evidence = verify(claim, suspect, alpha=0.2, null="references")
    words = check(page([evidence], claim)).words
    assert evidence.verdict is Verdict.SUPPORTED
    assert "Of 4 references, none is as close to the source" in words
    assert "only if an independent suspect could have been one of these references" in words
    assert "exact over the randomness" not in words


def test_values_are_shown_as_tables(tmp_path):
    raw = load_diabetes()
    inputs = raw.data.astype(np.float32)
    trees = [
        DecisionTreeRegressor(max_features=0.5, max_depth=6, random_state=s).fit(inputs[:300], raw.target[:300])
        for s in range(6)
    ]
    queries = inputs[300:400]

    def answer(tree):
        return lambda x: tree.predict(x)[:, None]

    owners = np.stack([answer(tree)(queries) for tree in trees])
    claim = Claim("kinship", {"placebos": 5}, Task((10,), 1, values=True), 0, {"queries": queries, "owners": owners})
    transcript = tmp_path / "t.jsonl"
    evidence = verify(claim, Function(answer(trees[0]), Answers.VALUES, "copy"), alpha=0.2, transcript=transcript)
    found = check(page([evidence], claim, rows=[Row(transcript=transcript)]))
    assert f"{owners[0, 0, 0]:.3g}" in found.words
    assert "symbol" not in [tag for tag, _ in found.tags]
    assert [a for tag, a in found.tags if tag == "th" and a.get("scope") == "row"]


def test_the_source_answers_as_the_claim_remembers_them(claim):
    probabilities = claim.tensors["owners"]
    queries = claim.tensors["queries"]
    kept = {"owners": probabilities, "source": probabilities[0], "labels": probabilities.argmax(axis=2)}
    for name, tensor in kept.items():
        found = source_answers(replace(claim, tensors={"queries": queries, name: tensor}))
        expected = np.eye(10)[tensor[0]] if name == "labels" else probabilities[0]
        assert np.array_equal(found, expected)
    for other in (
        {},
        {"labels": np.full((2, 100), 10)},
        {"owners": probabilities[:, :50]},
        {"source": np.zeros((100, 10), int)},
    ):
        assert source_answers(replace(claim, tensors={"queries": queries, **other})) is None


def test_colour_pictures_and_many_placebos_stay_small(claim, tested):
    random = np.random.default_rng(0)
    queries = random.random((100, 3, 96, 96), dtype=np.float32)  # incompressible: the worst case
    big = replace(claim, task=Task((3, 96, 96), 10), tensors={**claim.tensors, "queries": queries})
    placebos = tuple(random.normal(size=999).tolist())
    many = [
        replace(tested[0][0], suspect=f"suspect {i}", placebos=placebos, n_placebos=999, p_value=0.001)
        for i in range(60)
    ]
    source = page(many, big)
    check(source)
    assert len(source) < 1_000_000
    assert "first 40 suspects" in source


def test_placebos_without_spread_and_a_missing_p_do_not_break_the_page(claim, tested):
    odd = replace(tested[0][0], placebos=(0.5,) * 9, score=1.0, z=float("inf"), p_parametric=float("nan"))
    assert "∞ sd" in check(page([odd], claim)).words
    none = replace(odd, p_value=None, verdict=Verdict.INCONCLUSIVE, placebos=(), n_placebos=0)
    check(page([none], claim))


def test_misuse_and_edited_transcripts_are_refused(claim, tested, tmp_path):
    evidences, paths = tested
    with pytest.raises(SettingError, match="at least one suspect"):
        page([], claim)
    with pytest.raises(SettingError, match="one row for each of 3 suspects, got 1"):
        page(evidences, claim, rows=[Row()])
    edited = tmp_path / "edited.jsonl"
    edited.write_text(paths[0].read_text().replace("0.5", "0.6"))
    with pytest.raises(ArtifactError, match="it was edited"):
        page(evidences[:1], claim, rows=[Row(transcript=edited)])
    with pytest.raises(BirthmarkError, match="cannot write"):
        write(evidences, claim, tmp_path / "edited.jsonl" / "below.html")


def test_colours_have_contrast_in_both_schemes():
    css = report._style()
    light, dark = re.search(r":root \{(.*?)\}", css, re.S)[1], re.search(r"dark\) \{\s*:root \{(.*?)\}", css, re.S)[1]

    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for scheme in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", scheme))
        for name, least in {
            "ink": 7.0,
            "soft": 4.5,
            "accent": 4.5,
            "mid": 3.0,
        }.items():  # WCAG 2.2: text AAA and AA, graphics 3
            low, high = sorted([luminance(colours[name]), luminance(colours["paper"])])
            assert (high + 0.05) / (low + 0.05) >= least, name
