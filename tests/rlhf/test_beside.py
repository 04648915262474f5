"""Policy and value model at the same time: what one thread finds, the same to the last bit each time, no lost error."""

import threading
from collections.abc import Iterator

import pytest
import torch

from tests.rlhf.small_world import START, STOP, tiny_actors
from training.rlhf.beside import AFTERWARDS, beside
from training.rlhf.config import PolicyConfig
from training.rlhf.experience import appraise, seeded
from training.rlhf.policy_update import UpdateStats, update
from training.rlhf.sampling import sample

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def step(dtype: torch.dtype, *, num_threads: int) -> tuple[torch.Tensor, UpdateStats]:
    """All weights after one step of a policy and a value model of its own, and what the step said."""
    torch.set_num_threads(num_threads)
    config = PolicyConfig(
        rollout_batch_size=16, ppo_epochs=2, num_minibatches=2, micro_batch_size=3, learning_rate=1e-2, kl_coef=0.05,
        replace_missing_eos=False,
    )  # fmt: skip
    actors = tiny_actors(5, config, dtype=dtype, is_packed=True)
    responses = sample(
        actors.policy, [[2, 3, 4], [4], [3, 3], [2, 4]] * 4, stop_ids=[STOP], pad_id=START, max_tokens=8,
        temperature=1.0, generator=seeded(config, "rollout", 0),
    )  # fmt: skip
    experience = appraise(actors, responses, torch.linspace(-1, 1, 16, dtype=dtype), config, kl_coef=0.05, step=0)
    stats = update(actors, experience, config, learning_rate=1e-2, kl_coef=0.05, step=0)
    weights = [*actors.policy.parameters(), *actors.value.parameters()]
    return torch.cat([weight.detach().flatten() for weight in weights]), stats


def test_side_by_side_they_learn_what_one_after_the_other_does():
    alone, stats_alone = step(torch.float64, num_threads=1)
    together, stats = step(torch.float64, num_threads=2)
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)
    assert tuple(stats) == pytest.approx(tuple(stats_alone), abs=1e-12)
    assert stats.value_grad_norm > 0.01 and stats.value_loss > 0.01


def test_the_same_to_the_last_bit_each_time():
    first, stats = step(torch.float32, num_threads=2)
    again, stats_again = step(torch.float32, num_threads=2)
    assert torch.equal(first, again) and stats == stats_again
    assert stats.first_ratio_error == 0.0


def test_they_run_at_the_same_time_and_an_error_comes_back():
    met = threading.Barrier(2, timeout=60)  # passed only by two that are there together

    def fail() -> None:
        met.wait()
        assert torch.get_num_threads() == 1
        raise ValueError("the value model has no values")

    with beside(CPU, wanted=True) as second:
        asked = second.submit(fail)
        met.wait()
        assert torch.get_num_threads() == 1
        with pytest.raises(ValueError, match="no values"):
            asked.result()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("num_threads", "wanted"), [(1, True), (2, False)])
def test_else_the_second_part_is_done_when_it_is_asked_for(num_threads, wanted):
    torch.set_num_threads(num_threads)
    with beside(CPU, wanted=wanted) as second:
        assert second is AFTERWARDS
        done: list[str] = []
        asked = second.submit(done.append, "second")
        done.append("first")
        asked.result()
    assert done == ["first", "second"]
