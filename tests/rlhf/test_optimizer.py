"""The learning rate at a step, Adam's two epsilons by hand, and steps that must not be taken."""

import math

import pytest
import torch
from torch import nn

from training.rlhf.config import SFTConfig
from training.rlhf.optimizer import learning_rate_at, make_optimizer, take_step


def rates(total_steps, **settings):
    config = SFTConfig(learning_rate=1.0, **settings)
    return [learning_rate_at(config, step=step, total_steps=total_steps) for step in range(total_steps)]


def test_schedules_by_hand():
    assert rates(4) == [1.0, 0.75, 0.5, 0.25]
    assert rates(6, warmup_steps=2) == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert rates(3, lr_schedule="constant") == [1.0, 1.0, 1.0]
    assert rates(4, lr_schedule="cosine") == pytest.approx([1.0, (1 + math.sqrt(0.5)) / 2, 0.5, 0.5 - 0.3535534])


@pytest.mark.parametrize("style", ["torch", "tf"])
def test_adam_by_hand(style):
    """Gradients 1 then 2 on one weight; m, v and the two corrections written out."""
    config = SFTConfig(learning_rate=0.1, adam_eps=1e-2, max_grad_norm=0)
    model = nn.Linear(1, 1, bias=False).double()
    weight = model.weight.item()
    optimizer = make_optimizer([model], config)
    m = v = 0.0
    for t, gradient in enumerate([1.0, 2.0], start=1):
        model.weight.grad = torch.tensor([[gradient]], dtype=torch.float64)
        take_step(optimizer, config, learning_rate=0.1, step=t, loss=0.0, eps_style=style)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        if style == "torch":
            weight -= 0.1 * m_hat / (math.sqrt(v_hat) + 1e-2)
        else:
            weight -= 0.1 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (math.sqrt(v) + 1e-2)
        assert model.weight.item() == pytest.approx(weight, abs=1e-12)


def test_the_gradient_is_clipped_and_its_norm_before_that_reported():
    config = SFTConfig(max_grad_norm=1.0)
    model = nn.Linear(2, 1, bias=False)
    optimizer = make_optimizer([model], config)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    assert take_step(optimizer, config, learning_rate=0.1, step=1, loss=0.0).grad_norm == pytest.approx(5.0)
    first_moment = optimizer.state[model.weight]["exp_avg"]
    assert torch.allclose(first_moment, 0.1 * torch.tensor([[0.6, 0.8]]))
    assert model.weight.grad is None


@pytest.mark.parametrize(("loss", "gradient"), [(math.nan, 1.0), (1.0, math.inf)])
def test_a_step_into_nan_is_refused_and_leaves_the_weights(loss, gradient):
    config = SFTConfig()
    model = nn.Linear(1, 1, bias=False)
    before = model.weight.item()
    optimizer = make_optimizer([model], config)
    model.weight.grad = torch.tensor([[gradient]])
    with pytest.raises(ValueError, match=r"at step 7, so the run stops before that step\. Lower learning_rate"):
        take_step(optimizer, config, learning_rate=0.1, step=7, loss=loss)
    assert model.weight.item() == before


def test_only_matrices_decay():
    optimizer = make_optimizer([nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))], SFTConfig(weight_decay=0.3))
    assert [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups] == [(1, 0.3), (3, 0.0)]
