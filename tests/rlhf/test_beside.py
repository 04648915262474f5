"""Parts of a batch at the same time: what one thread finds, the same to the last bit each time, no lost error."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.rlhf.nano import save_nano_gpt2
from tests.rlhf.small_world import START, STOP, tiny_actors
from training.rlhf import packing, shapes
from training.rlhf.beside import ALONE, Backward, side_by_side
from training.rlhf.config import PolicyConfig, RewardConfig
from training.rlhf.experience import appraise, plan_pass, seeded
from training.rlhf.held_out import score_in_passes
from training.rlhf.model import new_scalar, precision
from training.rlhf.packing import token_batches
from training.rlhf.pairs import EncodedPair
from training.rlhf.policy_update import UpdateStats, update
from training.rlhf.sampling import sample
from training.rlhf.train_reward import accumulate_gradient


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def step(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, *, num_threads: int, **settings: object
) -> tuple[Tensor, UpdateStats]:
    """All weights after one step of a policy and a value model of its own, and what the step said."""
    torch.set_num_threads(num_threads)
    monkeypatch.setattr(packing, "LEAST_TOKENS_A_PASS", 8)
    config = PolicyConfig(
        rollout_batch_size=16, ppo_epochs=2, num_minibatches=2, learning_rate=1e-2, kl_coef=0.05,
        replace_missing_eos=False, **settings,
    )  # fmt: skip
    actors = tiny_actors(5, config, dtype=dtype, is_packed=True)
    responses = sample(
        actors.policy, [[2, 3, 4], [4], [3, 3], [2, 4]] * 4, stop_ids=[STOP], pad_id=START, max_tokens=8,
        temperature=1.0, generator=seeded(config, "rollout", 0),
    )  # fmt: skip
    with side_by_side(actors.policy, most=config.micro_batch_size) as workers:
        plan = plan_pass(responses, config, epoch=0, step=0, is_packed=True, at_once=workers.count)
        assert workers.count == num_threads and all(len(minibatch) >= num_threads for minibatch in plan)
        most = sum(len(rows) for rows in plan[0][: workers.count])
        assert most <= (config.micro_batch_size or len(responses.tokens))  # that are in memory together
    experience = appraise(actors, responses, torch.linspace(-1, 1, 16, dtype=dtype), config, kl_coef=0.05, step=0)
    stats = update(actors, experience, config, learning_rate=1e-2, kl_coef=0.05, step=0)
    models = [actors.policy, *([actors.value] if isinstance(actors.value, nn.Module) else [])]
    return torch.cat([weight.detach().flatten() for model in models for weight in model.parameters()]), stats


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"micro_batch_size": 5},
        {"value_trunk": "shared", "entropy_coef": 0.1},
        {"algorithm": "rloo"},
    ],
    ids=["own value", "micro-batches", "one trunk", "no values"],
)
@pytest.mark.parametrize("num_threads", [2, 3])
def test_side_by_side_they_learn_what_one_after_the_other_does(settings, num_threads, monkeypatch):
    alone, stats_alone = step(torch.float64, monkeypatch, num_threads=1, **settings)
    together, stats = step(torch.float64, monkeypatch, num_threads=num_threads, **settings)
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)
    assert tuple(stats) == pytest.approx(tuple(stats_alone), abs=1e-12)
    assert stats.grad_norm > 0.01


@pytest.mark.parametrize("num_threads", [2, 3])
def test_the_same_to_the_last_bit_each_time(num_threads, monkeypatch):
    first, stats = step(torch.float32, monkeypatch, num_threads=num_threads, micro_batch_size=6)
    again, stats_again = step(torch.float32, monkeypatch, num_threads=num_threads, micro_batch_size=6)
    assert torch.equal(first, again) and stats == stats_again
    assert stats.first_ratio_error == 0.0


def test_they_run_at_the_same_time_with_the_callers_modes():
    met = threading.Barrier(2, timeout=60)  # passed only by two that are there together

    def look(part: int) -> tuple[int, int, bool, bool]:
        met.wait()
        return part, torch.get_num_threads(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")

    model = nn.Linear(2, 2)
    with side_by_side(model) as workers, torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            assert workers.read(look, [3, 4]) == [(3, 1, False, True), (4, 1, False, True)]
        assert workers.read(look, [5, 6]) == [(5, 1, True, True), (6, 1, True, True)]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_any_of_them_is_raised(failing):
    def work(part: int) -> None:
        if part == failing:
            raise ValueError("this part cannot be read")

    with pytest.raises(ValueError, match="cannot be read"), side_by_side(nn.Linear(2, 2)) as workers:
        workers.read(work, [0, 1])
    assert torch.get_num_threads() == 2


def test_gradients_are_added_to_what_stands_there():
    one, two, unused = (nn.Parameter(torch.full((2,), value)) for value in (1.0, 2.0, 3.0))
    model = nn.ParameterList([one, two, unused])

    def learn(part: int, backward: Backward) -> int:
        backward((one + two).sum())  # the same tensor is the gradient of both
        if part == 2:
            backward(part * one.sum())
        return part

    one.grad = torch.tensor([100.0, 200.0])
    with side_by_side(model) as workers:
        assert workers.learn(learn, [0, 1, 2], list(model)) == [0, 1, 2]
    assert one.grad.tolist() == [105.0, 205.0] and two.grad.tolist() == [3.0, 3.0] and unused.grad is None
    assert one.grad.data_ptr() != two.grad.data_ptr()


def test_one_worker_where_several_do_not_help(monkeypatch):
    model = nn.Linear(2, 2)
    with side_by_side(model, most=1) as workers:
        assert workers is ALONE and torch.get_num_threads() == 2
    monkeypatch.setattr(shapes, "MOST_WEIGHTS_AT_ONCE", 5)
    with side_by_side(model) as workers:
        assert workers is ALONE
    torch.set_num_threads(1)
    monkeypatch.setattr(shapes, "MOST_WEIGHTS_AT_ONCE", 6)
    with side_by_side(model) as workers:
        assert workers is ALONE


def test_pieces_for_several_share_the_tokens_of_a_pass(monkeypatch):
    lengths = [40, 90, 60, 70, 100, 80, 30, 50]  # 520

    def cut(at_once: int, *, size: int = 0, budget: int = 600) -> list[list[int]]:
        rows = range(len(lengths))
        return list(token_batches(rows, size=size, length=lengths.__getitem__, budget=budget, at_once=at_once))

    assert [len(cut(at_once)) for at_once in (1, 2)] == [1, 2]
    for pieces in (cut(2), cut(4), cut(2, size=4)):
        assert sorted(row for piece in pieces for row in piece) == list(range(8))
    assert max(sum(lengths[row] for row in piece) for piece in cut(2)) <= 300
    assert max(map(len, cut(2, size=4))) == 2
    monkeypatch.setattr(packing, "LEAST_TOKENS_A_PASS", 300)
    assert len(cut(2, budget=2000)) == 1  # too little for a thread of its own


def test_a_reward_model_learns_the_same_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "LEAST_TOKENS_A_PASS", 4)
    model = new_scalar(str(save_nano_gpt2(tmp_path)), device=torch.device("cpu"), head="random").double()
    pairs = [
        EncodedPair((1, 40, *range(9, 9 + k)), (1, 40, 5), 1.0, 0.0, 1.0, f"p{k}", 1.0, k, 1) for k in range(1, 10)
    ]
    found = []
    for num_threads in (1, 2):
        torch.set_num_threads(num_threads)
        model.zero_grad()
        with side_by_side(model) as workers:
            assert workers.count == num_threads
            loss, values = accumulate_gradient(model, pairs, RewardConfig(), workers=workers)
        scores = score_in_passes(model, pairs, context=precision(torch.device("cpu"), "float32"))
        differences = torch.cat([of_piece.difference for _, of_piece in scores]).sort().values
        gradients = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
        found.append(torch.cat([torch.tensor([loss, values["train/accuracy"]]), differences, *gradients]))
    torch.testing.assert_close(found[1], found[0], atol=1e-12, rtol=0)
    assert float(found[0].abs().max()) > 0.01
