"""The thief's correlations are the method's."""

import numpy as np
import torch

from birthmark.attacks.adaptive_sac import correlation
from birthmark.scoring import correlation as method


def test_correlations_agree_with_the_method_s() -> None:
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 10)))
    theirs = method.correlation(method.features(logits.softmax(1).numpy(), "logits"))
    assert np.allclose(correlation(logits).numpy(), theirs, atol=0.01)  # the method adds a floor of 1e-4
