"""PPO against TRL's own numbers: whole trainer runs, every intermediate tensor, on the oracle's nano models.

Where its conventions part from ours the function is run with the switch (score on the first pad, unbiased variance,
k3) and the test says so. Not compared: what TRL averages over padding (its approx_kl and ratio), its missing-EOS
penalty (it lowers the score, ours replaces it), and its second optimizer (one AdamW over both models, without
clipping).
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from training.rlhf import advantages as adv
from training.rlhf import losses
from training.rlhf.model import ScalarModel, load_policy, load_scalar
from training.rlhf.sampling import Responses, at_responses, response_logits, response_logprobs, response_tokens

CASES = ["ppo_k1", "ppo_k3_whiten", "ppo_nostop", "ppo_accum"]


class Case:
    """The tensors and settings of one run, first rollout batch; names as in the oracle's own list."""

    def __init__(self, folder: Path, name: str) -> None:
        self._prefix = f"{name}/"
        self._tensors = load_file(folder / "golden.safetensors")
        about = json.loads((folder / "golden.json").read_text())["cases"][name]
        self.config = about["config"]
        self.scalars = about["scalars"]

    def __getitem__(self, key: str) -> Tensor:
        return self._tensors[self._prefix + key]

    def mask(self, update: int) -> Tensor:
        return ~self[f"out/u{update}.padding_mask"]

    def counts(self, update: int) -> Tensor:
        return ~self[f"out/u{update}.padding_mask_p1"]

    def responses(self) -> Responses:
        """The rollouts as we lay them out: padding on the right. Prompts are told from padding by id 0."""
        mask, queries = self.mask(0), self["in/u0.queries"]
        answers = self["out/u0.raw.postprocessed_responses"]
        rows = [
            query[query != 0].tolist() + answer[own].tolist()
            for query, answer, own in zip(queries, answers, mask, strict=True)
        ]
        width = max(len(row) for row in rows)
        return Responses(
            tokens=torch.tensor([row + [0] * (width - len(row)) for row in rows]),
            prompt_lengths=(queries != 0).sum(1),
            mask=mask,
            logprobs=torch.zeros(mask.shape),
            ended=torch.zeros(len(rows), dtype=torch.bool),
        )


@pytest.fixture(params=CASES)
def case(oracle: Path, request: pytest.FixtureRequest) -> Case:
    return Case(oracle, request.param)


def close(got: Tensor, want: Tensor) -> bool:
    return bool(((got - want).abs() <= 1e-5 * want.abs().clamp(min=1)).all())


def test_rewards_and_advantages(case):
    """Per-token KL to whitened advantages, in TRL's conventions: score on the first pad, unbiased variance."""
    for update in range(case.config["updates"]):
        assert_rewards_and_advantages(case, update)


def assert_rewards_and_advantages(case: Case, update: int) -> None:
    out = {name: case[f"out/u{update}.{name}"] for name in ("logprobs", "ref_logprobs", "values", "scores", "kl")}
    mask, counts = case.mask(update), case.counts(update)
    assert torch.equal(adv.value_mask(mask, score_at="first_pad"), counts)
    kl = adv.kl_estimate(out["logprobs"], out["ref_logprobs"], case.config["kl_estimator"])
    assert close(kl[mask], out["kl"][mask])

    rewards = adv.token_rewards(kl, out["scores"], mask, kl_coef=case.config["kl_coef"], score_at="first_pad")
    assert close(rewards, case[f"out/u{update}.rewards_raw"])
    if case.config["whiten_rewards"]:
        rewards = adv.whiten(rewards, counts, variance="unbiased", keep_mean=True)
    assert close(rewards, case[f"out/u{update}.rewards"])

    estimate = adv.gae(rewards, out["values"], counts, gamma=case.config["gamma"], gae_lambda=case.config["lam"])
    assert close(estimate.advantages[counts], case[f"out/u{update}.advantages_raw"][counts])
    assert close(estimate.returns[counts], case[f"out/u{update}.returns"][counts])
    white = adv.whiten(estimate.advantages, mask, variance="unbiased")
    assert close(white, case[f"out/u{update}.advantages"])


def test_the_score_on_the_last_token_gives_other_numbers(oracle):
    """The switch matters: with ours the same rollouts have other rewards wherever a response ended early."""
    case = Case(oracle, "ppo_k1")
    kl, scores, mask = case["out/u0.kl"], case["out/u0.scores"], case.mask(0)
    ours = adv.token_rewards(kl, scores, mask, kl_coef=case.config["kl_coef"])
    early = ~mask[:, -1]
    assert bool(early.any())
    assert not close(ours[early], case["out/u0.rewards_raw"][early])
    assert close(ours.sum(1), case["out/u0.rewards_raw"].sum(1))  # the same pay, at another place


def test_log_probabilities_values_and_scores_of_the_models(case, oracle):
    """Our right-padded passes give what TRL's left-padded ones gave, at the case's temperature."""
    device, responses, mask = torch.device("cpu"), case.responses(), case.mask(0)
    temperature = case.config["temperature"] + 1e-7  # TRL adds it, so that 0 does not divide
    with torch.no_grad():
        for model, name in (("policy", "logprobs"), ("ref", "ref_logprobs")):
            policy = load_policy(str(oracle / "models" / model), device=device)
            got = response_logprobs(policy, responses, temperature=temperature)
            assert close(got, case[f"out/u0.{name}"][mask])
        columns = torch.arange(responses.tokens.shape[1])
        real = columns < responses.lengths().unsqueeze(1)
        value = load_scalar(str(oracle / "models/value"), device=device)
        got = at_responses(value(responses.tokens, real), responses, case.counts(0))
        assert close(got, case["out/u0.values"][case.counts(0)])
        reward = load_scalar(str(oracle / "models/reward"), device=device)
        assert close(reward.score(responses.tokens, real), case["out/u0.raw.scores"])


def test_first_micro_batch_loss_and_gradient(case, oracle):
    """The loss and both gradient norms of the first micro-batch, where the models are still those of the start.

    TRL means over the micro-batch's own tokens and counts the extra slot in the value loss; so do we here.
    """
    config = case.config
    rows = case["in/u0.mb0.inds"]
    device = torch.device("cpu")
    policy = load_policy(str(oracle / "models/policy"), device=device)
    value = load_scalar(str(oracle / "models/value"), device=device)
    part, counts = case.responses().take(rows, width=case.mask(0).shape[1]), case.counts(0)[rows]
    mask = part.mask
    logits = response_logits(policy, part)
    logprobs = losses.token_logprobs(logits, response_tokens(part), temperature=config["temperature"] + 1e-7)
    values = values_of(value, part, counts)
    surrogate = losses.policy_loss(
        logprobs, case["out/u0.logprobs"][rows][mask], case["out/u0.advantages"][rows][mask],
        clip_range=config["cliprange"],
    )  # fmt: skip
    squares = losses.value_loss(
        values, case["out/u0.values"][rows][counts], case["out/u0.returns"][rows][counts],
        clip_range=config["cliprange_value"],
    )  # fmt: skip
    loss = surrogate.loss.mean() + config["vf_coef"] * squares.mean()
    for got, name in ((surrogate.loss.mean(), "pg_loss"), (squares.mean(), "vf_loss"), (loss, "loss")):
        assert float(got.detach()) == pytest.approx(case.scalars[f"out/u0.mb0.{name}"], rel=1e-5, abs=1e-5)
    (loss / config["grad_accum"]).backward()
    for model, name in ((policy, "policy"), (value, "value")):
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        assert float(norm) == pytest.approx(case.scalars[f"out/u0.mb0.grad_norm_{name}"], rel=1e-4)


def values_of(value: ScalarModel, responses: Responses, counts: Tensor) -> Tensor:
    columns = torch.arange(responses.tokens.shape[1])
    return at_responses(value(responses.tokens, columns < responses.lengths().unsqueeze(1)), responses, counts)


@pytest.mark.parametrize("micro_batch", [1, 2, 3])
def test_clipped_losses_away_from_the_start(oracle, micro_batch):
    """Later micro-batches, from TRL's own new log-probabilities and values: the clips bite here."""
    case = Case(oracle, "ppo_k1")
    key = f"out/u0.mb{micro_batch}"
    rows = case[f"in/u0.mb{micro_batch}.inds"]
    mask, counts = case.mask(0)[rows], case.counts(0)[rows]
    surrogate = losses.policy_loss(
        case[f"{key}.new_logprobs"], case["out/u0.logprobs"][rows], case["out/u0.advantages"][rows], clip_range=0.2
    )
    squares = losses.value_loss(
        case[f"{key}.vpred"], case["out/u0.values"][rows], case["out/u0.returns"][rows], clip_range=0.2
    )
    got = {
        "pg_loss": losses.masked_mean(surrogate.loss, mask),
        "vf_loss": losses.masked_mean(squares, counts),
        "pg_clipfrac": losses.masked_mean(surrogate.clipped.float(), mask),
    }
    for name, value in got.items():
        assert float(value) == pytest.approx(case.scalars[f"{key}.{name}"], rel=1e-5, abs=1e-5)
    assert case.scalars[f"{key}.pg_clipfrac"] > 0.3
    assert close(surrogate.ratio[mask], case[f"{key}.ratio"][mask])


def test_functions_on_given_tensors(oracle):
    case = Case(oracle, "ppo_functions")
    x, mask = case["in/x"], case["in/mask"]
    assert float(losses.masked_mean(x, mask)) == pytest.approx(case.scalars["out/masked_mean"], rel=1e-6)
    # TRL leaves numbers where the mask hides; ours are zero there.
    assert close(adv.whiten(x, mask, variance="unbiased")[mask], case["out/masked_whiten"][mask])
    kept = adv.whiten(x, mask, variance="unbiased", keep_mean=True)
    assert close(kept[mask], case["out/masked_whiten_noshift"][mask])
    tokens = Case(oracle, "utils")
    got = losses.token_logprobs(tokens["in/logits"], tokens["in/index"])
    assert close(got, tokens["out/selective_log_softmax"])
    assert close(losses.token_entropy(tokens["in/logits"]), tokens["out/entropy_from_logits"])
