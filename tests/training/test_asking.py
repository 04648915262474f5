"""Which pairs a round asks about: a plain random sample first, then those the reward model is least sure of."""

import math
from collections import Counter

import pytest

from tests.training import rows
from training.asking import Found, Pair, Written, choose, pairs_between
from training.models import Generation, ModelVersion


def pair(prompt: int, difference: float | None, *, std: float = 0.0) -> Pair:
    reward = None if difference is None else 0.5 + difference
    scorer = None if difference is None else 7
    a = Written(2 * prompt, f"a{prompt}", None if difference is None else 0.5, std, scorer)
    return Pair(prompt, a, Written(2 * prompt + 1, f"b{prompt}", reward, std, scorer))


def test_the_margin_shrinks_with_the_difference_and_with_the_doubt_of_the_heads() -> None:
    assert pair(1, 0.0).margin == 0
    assert pair(1, -2.0).margin == 2.0
    assert pair(1, 2.0, std=1.0).margin == pytest.approx(2 / math.sqrt(1 + math.pi / 4))
    assert pair(1, 2.0, std=3.0).margin < pair(1, 1.9).margin  # type: ignore[operator]


def test_scores_of_two_reward_models_have_no_margin() -> None:
    mixed = Pair(1, Written(1, "a", 0.1, 0.0, 7), Written(2, "b", 0.2, 0.0, 8))
    assert mixed.margin is None
    assert pair(1, None).margin is None


def test_chance_first_then_the_least_sure() -> None:
    pairs = [pair(number, number / 10) for number in range(100)]
    chosen = choose(pairs, num=40, random_share=0.25, seed=3)
    assert (len(chosen.by_chance), len(chosen.by_doubt)) == (10, 30)
    left = [each for each in pairs if each not in chosen.by_chance]
    assert chosen.by_doubt == left[:30]
    assert choose(pairs, num=40, random_share=0.25, seed=3) == chosen
    assert choose(pairs, num=40, random_share=0.25, seed=4).by_chance != chosen.by_chance


def test_every_pair_is_as_likely_to_be_drawn_whatever_its_margin() -> None:
    """400 draws of 5 of 20: each pair 100 times on average, standard deviation 8.7; five of them are 43."""
    pairs = [pair(number, number / 10) for number in range(20)]
    drawn = Counter(
        each.prompt_id for seed in range(400) for each in choose(pairs, num=10, random_share=0.5, seed=seed).by_chance
    )
    assert sum(drawn.values()) == 2000
    assert all(57 < drawn[number] < 143 for number in range(20)), drawn


def test_without_scores_all_are_drawn_by_chance_and_unscored_pairs_come_last() -> None:
    pairs = [pair(number, None) for number in range(10)]
    assert len(choose(pairs, num=6, random_share=0.1, seed=0).by_chance) == 6
    chosen = choose([*pairs, pair(11, 5.0)], num=1, random_share=0.0, seed=0)
    assert [each.prompt_id for each in chosen.by_doubt] == [11]


def test_no_more_than_there_are() -> None:
    chosen = choose([pair(number, 0.5) for number in range(3)], num=10, random_share=1.0, seed=0)
    assert (len(chosen.by_chance), len(chosen.by_doubt)) == (3, 0)
    assert choose([], num=5, random_share=0.5, seed=0).by_chance == []


def test_pairs_are_those_of_the_newest_runs_and_of_different_words(base: ModelVersion) -> None:
    prompts = rows.prompts(base.project, 5)
    scorer = rows.reward_model(base.project, model=base, snapshot=rows.snapshot(base.project))
    tuned = rows.policy(base.project, model=base, scorer=scorer, snapshot=rows.snapshot(base.project, name="b"))
    rows.generations(base, scorer=None, prompts=prompts, shift=0.0)
    rows.generations(tuned, scorer=scorer, prompts=prompts[:4], shift=0.3)
    found = pairs_between(tuned, base)
    assert [each.prompt_id for each in found.pairs] == [prompt.pk for prompt in prompts[:4]]
    assert found.scorer_id is None  # the base's answers were scored by none

    newer = rows.run(base.project, "generate", model=base, reward_model=scorer)
    other = rows.answer(prompts[0], "Something else.", source=base.name)
    Generation.objects.create(response=other, version=base, run=newer, reward=0.2, reward_std=0.4, logprob=-1.0)
    same = Generation.objects.filter(version=tuned, response__prompt=prompts[1]).get()
    old = Generation.objects.filter(version=base, response__prompt=prompts[1]).get()
    type(old.response).objects.filter(pk=old.response_id).update(content_hash=same.response.content_hash)

    found = pairs_between(tuned, base)
    assert (found.num_same, found.scorer_id) == (1, scorer.pk)
    assert [each.prompt_id for each in found.pairs] == [prompts[0].pk, prompts[2].pk, prompts[3].pk]
    assert found.pairs[0].b == Written(other.pk, other.content_hash, 0.2, 0.4, scorer.pk)


def test_a_versions_own_answers_are_paired_within_their_prompt(base: ModelVersion) -> None:
    prompts = rows.prompts(base.project, 2)
    run = rows.run(base.project, "generate", model=base)
    for prompt in prompts:
        for number in range(3):
            row = rows.answer(prompt, f"Sample {number}.", source=base.name)
            Generation.objects.create(response=row, version=base, run=run, logprob=-1.0)
    found = pairs_between(base, base)
    assert found == Found(found.pairs, 0)
    assert Counter(each.prompt_id for each in found.pairs) == {prompt.pk: 3 for prompt in prompts}
