"""Real evidence without training: forests on digits play source, twins, references and suspects."""

from dataclasses import asdict

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from birthmark.claim import Claim, Task
from birthmark.methods.kinship import Kinship
from birthmark.oracle import Function, HardLabels
from birthmark.types import Answers
from birthmark.verify import Terms, verify

TWINS = 9


@pytest.fixture(scope="session")
def models():
    raw = load_digits()
    inputs, targets = raw.data / 16, raw.target
    mine, theirs = slice(0, 700), slice(700, 1400)
    forests = [
        RandomForestClassifier(8, random_state=seed, n_jobs=1).fit(inputs[mine], targets[mine])
        for seed in range(TWINS + 1)
    ]
    others = [
        model.fit(inputs[theirs], targets[theirs])
        for model in (
            ExtraTreesClassifier(8, random_state=1),
            GaussianNB(),
            KNeighborsClassifier(5),
            RandomForestClassifier(8, random_state=99),
        )
    ]
    return forests, others, inputs[1400:1500].reshape(-1, 1, 8, 8).astype(np.float32)


def probabilities(model):
    return lambda inputs: model.predict_proba(inputs.reshape(len(inputs), -1)[:, -64:])


@pytest.fixture(scope="session")
def claim(models):
    forests, others, queries = models
    return Claim(
        "kinship",
        asdict(Kinship(queries=len(queries), placebos=TWINS)),
        Task((1, 8, 8), 10),
        0,
        {
            "queries": queries,
            "owners": np.stack([probabilities(model)(queries) for model in forests]),
            "references": np.stack([probabilities(model)(queries) for model in others]),
        },
        {"versions": {"birthmark": "0.1.0"}},
    )


@pytest.fixture(scope="session")
def tested(claim, models, tmp_path_factory):
    """Evidence and transcripts of a copy, a label-only copy and an independent model, at alpha .1."""
    forests, others, _ = models
    folder = tmp_path_factory.mktemp("transcripts")
    copy = Function(probabilities(forests[0]), Answers.PROBABILITIES, "copy")
    suspects = [copy, HardLabels(copy), Function(probabilities(others[3]), Answers.PROBABILITIES, "independent forest")]
    paths = [folder / f"{i}.jsonl" for i in range(len(suspects))]
    return [
        verify(claim, s, alpha=0.1, transcript=p, terms=Terms(digest="0" * 64))
        for s, p in zip(suspects, paths, strict=True)
    ], paths
