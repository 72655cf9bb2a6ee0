"""The methods' formulas agree with their slow, obvious re-implementations."""

import numpy as np
import pytest
import torch

from birthmark.crafting.queries import margin
from birthmark.methods.cem import CEM, objective
from birthmark.methods.ipguard import boundary
from birthmark.methods.liteguard import verified
from birthmark.methods.metafinger import divergence
from birthmark.methods.metav import joint
from reference import crafted_slow as slow

RANDOM = np.random.default_rng(0)
Z = RANDOM.normal(size=(6, 5)) * 3
I, J = np.array([0, 1, 2, 3, 4, 0]), np.array([1, 2, 3, 4, 0, 3])


def test_ipguard():
    fast = boundary(torch.from_numpy(Z), torch.from_numpy(I), torch.from_numpy(J), 2.0)
    assert fast.tolist() == pytest.approx(
        [slow.boundary(z, i, j, 2.0) for z, i, j in zip(Z.tolist(), I, J, strict=True)]
    )


@pytest.mark.parametrize("kappa", [0.0, 1.5, 50.0])
def test_margin(kappa):
    fast = margin(torch.from_numpy(Z), torch.from_numpy(I), kappa)
    assert fast.tolist() == pytest.approx([slow.margin(z, i, kappa) for z, i in zip(Z.tolist(), I, strict=True)])


def test_cem():
    how = CEM(alpha=0.7, beta=1.3, gamma=0.4, cap=4.0)
    clean, surrogates, references = (
        RANDOM.normal(size=(6, 5)),
        RANDOM.normal(size=(3, 6, 5)),
        RANDOM.normal(size=(2, 6, 5)),
    )
    p = [torch.from_numpy(rows).softmax(-1) for rows in (clean, surrogates, references)]
    fast = objective(torch.from_numpy(Z), p[0], p[1].mean(0), p[2].mean(0), torch.from_numpy(I), how)
    for q in range(6):
        one = slow.conferrable_loss(Z[q], clean[q], surrogates[:, q], references[:, q], I[q], 0.7, 1.3, 0.4, 4.0)
        assert float(fast[q]) == pytest.approx(one)


def test_liteguard():
    answers, weights, bias = RANDOM.dirichlet(np.ones(5), 6), RANDOM.normal(size=(6, 5)), RANDOM.normal(size=6)
    assert verified(answers, weights, bias).mean() == pytest.approx(slow.local_verifiers(answers, weights, bias))


def test_metav():
    answers = RANDOM.dirichlet(np.ones(5), 6)
    parts = {
        "w1": RANDOM.normal(size=(4, 30)),
        "b1": RANDOM.normal(size=4),
        "w2": RANDOM.normal(size=(2, 4)),
        "b2": RANDOM.normal(size=2),
    }
    assert joint(answers[None], parts)[0] == pytest.approx(slow.joint_verifier(answers.tolist(), *parts.values()))


def test_metafinger():
    p, q = RANDOM.dirichlet(np.ones(5), 6), RANDOM.dirichlet(np.ones(5), 6)
    fast = divergence(torch.from_numpy(p).log(), torch.from_numpy(q).log())
    assert fast.tolist() == pytest.approx([slow.divergence(a, b) for a, b in zip(p.tolist(), q.tolist(), strict=True)])
