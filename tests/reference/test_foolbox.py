"""PGD against foolbox 3.3.4, as an independent implementation.

From the same start with the same steps: the same points within 1e-5, as both follow signs of the same gradients.
"""

import warnings

import pytest
import torch
from torch.nn import functional

from birthmark.data import load
from birthmark.workshop import architectures
from birthmark.workshop.training import Training, fit, pgd

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # foolbox 3.3.4 imports from a deprecated SciPy name
    import foolbox


@pytest.fixture(scope="module", params=["cnn", "mlp"])
def case(request):
    digits = load("digits")
    model = fit(
        architectures.build(request.param, digits.shape, 10, seed=0),
        digits["owner"],
        Training(epochs=6, bf16=False),
        seed=0,
    )
    test = digits["test"][:60]
    return (
        model,
        foolbox.PyTorchModel(model, bounds=(0, 1)),
        torch.from_numpy(test.inputs),
        torch.from_numpy(test.targets),
    )


@pytest.mark.parametrize(("epsilon", "steps"), [(0.03, 10), (0.1, 20)])
def test_pgd_goes_where_foolbox_goes(case, epsilon, steps):
    model, wrapped, x, y = case
    theirs = foolbox.attacks.LinfPGD(abs_stepsize=2.5 * epsilon / steps, steps=steps, random_start=False).run(
        wrapped, x, foolbox.criteria.Misclassification(y), epsilon=epsilon
    )
    mine = pgd(model, x, y, epsilon=epsilon, steps=steps, start=False)
    assert (mine - theirs).abs().max() < 1e-5
    assert (mine - x).abs().max() > epsilon / 2


def test_pgd_raises_the_loss_as_much_as_foolbox_from_random_starts(case):
    model, wrapped, x, y = case
    torch.manual_seed(0)
    theirs = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=10).run(
        wrapped, x, foolbox.criteria.Misclassification(y), epsilon=0.1
    )
    mine = pgd(model, x, y, epsilon=0.1, steps=10)
    with torch.no_grad():
        ours, others = (functional.cross_entropy(model(points), y).item() for points in (mine, theirs))
    assert ours == pytest.approx(others, rel=0.02)


def test_pgd_leaves_the_model_as_it_was(case):
    model, _, x, y = case
    before = {key: value.clone() for key, value in model.state_dict().items()}
    pgd(model.train(), x[:8], y[:8], epsilon=0.1, steps=5)
    assert model.training
    model.eval()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
