"""RLOO and GRPO against TRL's own numbers: advantages, the loss of one batch and the norm of its gradient.

TRL's conventions are switches here: its RLOO clips the ratio of the whole response and averages over responses, its
GRPO weighs the KL term by the ratio. Not ours, and not compared: CISPO, GSPO's ratio, the two-sided clip, GDPO's
sum, and answers without a score: ours has one for each.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from training.rlhf.advantages import group_relative, leave_one_out, to_tokens
from training.rlhf.config import PolicyConfig
from training.rlhf.experience import Actors, Experience
from training.rlhf.model import load_policy
from training.rlhf.policy_update import accumulate_gradient
from training.rlhf.sampling import Responses, as_grid, response_logprobs

GRPO = {
    "grpo_group": {"algorithm": "grpo", "kl_in_loss_estimator": "k3_weighted"},
    "grpo_none_dr": {"algorithm": "dr_grpo"},
    "grpo_dapo": {"algorithm": "grpo", "loss_average": "token", "clip_range_high": 0.28},
    "grpo_dapo_kl_nobias": {"algorithm": "grpo", "loss_average": "token"},
    "grpo_two_sum": {"algorithm": "grpo"},
}
RLOO = ["rloo_kl", "rloo_nokl", "rloo_two_rewards"]


class Case:
    def __init__(self, folder: Path, name: str) -> None:
        self._prefix, self._tensors = f"{name}/", load_file(folder / "golden.safetensors")
        about = json.loads((folder / "golden.json").read_text())["cases"][name]
        self.config, self.scalars = about["config"], about["scalars"]
        self.policy = load_policy(str(folder / "models" / "policy"), "", device=torch.device("cpu"))

    def __getitem__(self, key: str) -> Tensor:
        return self._tensors[self._prefix + key]

    def get(self, key: str, default: Tensor) -> Tensor:
        return self._tensors.get(self._prefix + key, default)

    @property
    def rewards(self) -> Tensor:
        """(N,) what TRL sums its reward functions to."""
        scores = self["in/rewards_per_func"]
        weights = torch.tensor(self.config.get("reward_weights", [1.0] * scores.shape[1]))
        return (scores * weights).sum(1)

    def responses(self) -> Responses:
        """The rollouts as we lay them out: prompt, response, padding on the right."""
        mask = self["in/completion_mask"].bool()
        pairs = zip(self["in/prompt_ids"], self["in/prompt_mask"].bool(), self["in/completion_ids"], mask, strict=True)
        rows = [prompt[own].tolist() + answer[real].tolist() for prompt, own, answer, real in pairs]
        width = max(len(row) for row in rows)
        return Responses(
            tokens=torch.tensor([row + [0] * (width - len(row)) for row in rows]),
            prompt_lengths=self["in/prompt_mask"].sum(1),
            mask=mask,
            logprobs=torch.zeros(mask.shape),
            ended=torch.ones(len(rows), dtype=torch.bool),
        )


def loss_and_norm(case: Case, config: PolicyConfig, old: Tensor, ref: Tensor) -> tuple[float, float]:
    """Our own accumulation over the whole batch; the loss is read off the reported mean only where nothing is added."""
    responses = case.responses()
    zero = torch.zeros(responses.mask.shape)
    scores = case.rewards
    experience = Experience(
        responses=responses,
        value_mask=responses.mask,
        logprobs=old,
        ref_logprobs=ref,
        entropy=zero,
        values=zero,
        advantages=to_tokens(case["out/advantages"], responses.mask),
        returns=zero,
        raw_scores=scores,
        scores=scores,
    )
    optimizer = torch.optim.AdamW(case.policy.parameters())
    actors = Actors(case.policy, None, None, optimizer, None)
    rows = [torch.arange(len(scores))]
    sums, _ = accumulate_gradient(actors, experience, rows, config, kl_coef=case.config["beta"])
    gradients = [weight.grad for weight in case.policy.parameters() if weight.grad is not None]
    return sums.policy_loss / sums.num_tokens, float(torch.nn.utils.get_total_norm(gradients))


@pytest.mark.parametrize("name", GRPO)
def test_grpo(oracle: Path, name: str) -> None:
    case = Case(oracle, name)
    settings = {"clip_range": 0.2, "max_response_tokens": case.config["max_completion_length"], **GRPO[name]}
    config = PolicyConfig(kl_coef=case.config["beta"], **settings)
    scale = config.algorithm == "grpo"
    advantages = group_relative(case.rewards, group_size=case.config["num_generations"], divide_by_std=scale)
    torch.testing.assert_close(advantages, case["out/advantages"], atol=1e-5, rtol=1e-5)
    responses = case.responses()
    old = case["in/old_per_token_logps"]
    ref = case.get("out/ref_per_token_logps", torch.zeros_like(old))
    ours = as_grid(response_logprobs(case.policy, responses, temperature=1.0), responses.mask)
    mask = responses.mask
    torch.testing.assert_close(ours[mask], case["out/per_token_logps"][mask], atol=1e-5, rtol=1e-5)
    loss, norm = loss_and_norm(case, config, old, ref)
    assert loss == pytest.approx(case.scalars["out/loss"], abs=1e-5)
    assert norm == pytest.approx(case.scalars["out/grad_norm"], rel=2e-5)


@pytest.mark.parametrize("name", RLOO)
def test_rloo(oracle: Path, name: str) -> None:
    case = Case(oracle, name)
    beta = case.config["beta"]
    config = PolicyConfig(algorithm="rloo", ratio_of="response", loss_average="sequence", clip_range=0.2, kl_coef=beta)
    kl = case.get("out/kl", torch.zeros(len(case.rewards)))
    own = leave_one_out(case.rewards, kl, group_size=case.config["num_generations"], kl_coef=beta)
    torch.testing.assert_close(own, case["out/advantages"], atol=1e-5, rtol=1e-5)
    # TRL keeps only the sum of the old log-probabilities: here it stands at the first token of each response.
    responses = case.responses()
    old = torch.zeros(responses.mask.shape)
    old[:, 0] = case["in/loss_old_logps"]
    loss, norm = loss_and_norm(case, config, old, torch.zeros_like(old))
    assert loss == pytest.approx(case.scalars["out/loss"], abs=1e-5)
    assert norm == pytest.approx(case.scalars["out/grad_norm"], rel=2e-5)
