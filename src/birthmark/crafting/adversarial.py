"""Adversarial examples beyond `training.pgd`: DeepFool, for methods and attacks alike."""

import torch
from torch import Tensor, nn


def deepfool(model: nn.Module, x: Tensor, *, steps: int = 50, overshoot: float = 0.02, candidates: int = 10) -> Tensor:
    """The nearest points of other classes, under L2, found by linearising the logits (Moosavi-Dezfooli et al. 2016,
    Algorithm 2).

    Every step walks to the nearest linearised boundary, l = argmin_k |f_k - f_0| / ||w_k||, by |f_l - f_0| / ||w_l||^2
    * w_l; the sum of all steps is stretched by 1 + overshoot. Inputs stay inside [0, 1].

    Args:
        x: inputs (n, *d) in [0, 1].
        steps: at most so many; an input stops moving when its class has changed.
        overshoot: share by which the boundary is overstepped, 0 and up.
        candidates: only the boundaries to the most likely classes, 2 and up, are tried.

    Returns:
        Inputs of the same shape; those whose class could not be changed are where the last step left them. The model's
        mode and gradients are left as they were.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.no_grad():
        order = model(x).float().argsort(dim=1, descending=True)[:, :candidates]
    rows = torch.arange(len(x), device=x.device)
    moved, total = x.clone(), torch.zeros_like(x)
    for _ in range(steps):
        here = moved.detach().requires_grad_()
        logits = model(here).float()
        active = logits.argmax(1) == order[:, 0]
        if not active.any():
            break
        gaps = logits.gather(1, order[:, 1:]) - logits[rows, order[:, 0], None]
        slopes = torch.stack(
            [torch.autograd.grad(gaps[:, k].sum(), here, retain_graph=True)[0] for k in range(gaps.shape[1])], 1
        )
        norms = slopes.flatten(2).norm(dim=2) + 1e-8
        distances = gaps.detach().abs() / norms
        best = distances.argmin(1)
        length = (distances[rows, best] + 1e-4) / norms[rows, best]  # a little more, so that flat spots are left
        total = torch.where(_wide(active, x), total + _wide(length, x) * slopes[rows, best], total)
        moved = torch.where(_wide(active, x), (x + (1 + overshoot) * total).clamp(0, 1), moved)
    for module, mode in modes:
        module.training = mode
    return moved.detach()


def _wide(rows: Tensor, like: Tensor) -> Tensor:
    return rows.view(-1, *[1] * (like.ndim - 1))
