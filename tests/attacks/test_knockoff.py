"""The bandit that chooses what is asked."""

import numpy as np

from birthmark.attacks.knockoff import Bandit, Running, arms_of
from birthmark.types import Samples


def test_each_input_is_drawn_once_and_no_arm_is_left_out() -> None:
    arms = np.repeat(np.arange(4), 25)
    bandit = Bandit(arms, 0.3, np.random.default_rng(0))
    places = list[int]()
    while len(places) < 100:
        places += bandit.draw(10)
    assert sorted(places) == list(range(100))


def test_an_arm_that_pays_is_drawn_more() -> None:
    """Sure answers unlike the student's on arm 0, the student's own elsewhere."""
    arms = np.repeat(np.arange(2), 2000)
    bandit, sure, dull, drawn = (
        Bandit(arms, 0.0, np.random.default_rng(0)),
        np.array([1.0, 0.0]),
        np.array([0.5, 0.5]),
        0,
    )
    for turn in range(40):
        places = bandit.draw(20)
        paid = arms[places] == 0
        drawn += int(paid.sum()) if turn >= 30 else 0
        rows, student = np.where(paid[:, None], sure, dull), np.where(paid[:, None], sure[::-1], dull)
        bandit.learn(rows, student, 20 * turn)
    assert drawn > 150  # of 200


def test_running_means_are_means() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    running = Running(3)
    for row in values:
        running.add(row)
    assert np.allclose(running.mean, values.mean(axis=0))


def test_without_classes_the_arms_are_clusters() -> None:
    spots = np.repeat(np.eye(10, dtype=np.float32) * 9, 5, axis=0)
    arms = arms_of(Samples(spots, np.zeros((50, 1), np.float32), 0), seed=0)
    assert (arms.reshape(10, 5) == arms.reshape(10, 5)[:, :1]).all()
    assert len(set(arms)) == 10
