"""The words, rewards and lengths of two versions' answers, worked out by hand."""

import pytest

from annotation.models import Prompt, Response
from training.diffs import Answer, Diff, PairDiff, Segment, diff_versions, split_words, word_diff
from training.models import Generation, ModelVersion, Run


def test_words_by_hand() -> None:
    diff = word_diff("Please wait two days.", "Please wait for three days.")
    assert diff.before == [Segment("same", "Please wait "), Segment("removed", "two"), Segment("same", " days.")]
    assert diff.after == [Segment("same", "Please wait "), Segment("added", "for three"), Segment("same", " days.")]


def test_chinese_is_compared_by_character() -> None:
    diff = word_diff("您的包裹已经到达。", "您的包裹还没到达。")
    assert diff.before == [Segment("same", "您的包裹"), Segment("removed", "已经"), Segment("same", "到达。")]
    assert diff.after == [Segment("same", "您的包裹"), Segment("added", "还没"), Segment("same", "到达。")]


@pytest.mark.parametrize("text", ["", "one", "  two  words\n\n", "混合 text に 한국어!", "a\tb"])
def test_nothing_is_lost(text: str) -> None:
    assert "".join(split_words(text)) == text
    diff = word_diff(text, text[::-1])
    assert "".join(part for _, part in diff.before) == text
    assert "".join(part for _, part in diff.after) == text[::-1]


def answer(reward: float | None, *, scored_by: int | None = 1, num_tokens: int = 5, text: str = "x") -> Answer:
    return Answer(response_id=1, text=text, reward=reward, scored_by=scored_by, num_tokens=num_tokens, has_ended=True)


def test_figures_by_hand() -> None:
    pairs = [
        PairDiff(1, [], answer(0.0), answer(1.0, num_tokens=9)),
        PairDiff(2, [], answer(0.5), answer(-1.5, text="y")),
        PairDiff(3, [], answer(0.5), answer(0.5)),
        PairDiff(4, [], answer(None), answer(2.0)),
        PairDiff(5, [], answer(0.0), answer(9.0, scored_by=2)),  # two reward models: no change can be told
    ]
    diff = Diff(pairs, num_only_a=0, num_only_b=0)
    assert [pair.reward_change for pair in pairs] == [1.0, -2.0, 0.0, None, None]
    assert diff.mean_reward_change == pytest.approx(-1 / 3)
    assert diff.win_rate == pytest.approx(1.5 / 3)
    assert diff.mean_length_change == pytest.approx(4 / 5)
    assert diff.num_unchanged == 4
    assert [pair.prompt_id for pair in diff.in_order("loss")] == [2, 3, 1, 4, 5]
    assert [pair.prompt_id for pair in diff.in_order("gain")] == [1, 3, 2, 4, 5]
    assert [pair.prompt_id for pair in diff.in_order("change")] == [2, 1, 3, 4, 5]
    assert [pair.prompt_id for pair in diff.in_order("prompt")] == [1, 2, 3, 4, 5]


def test_without_answers_there_are_no_figures() -> None:
    empty = Diff([], num_only_a=2, num_only_b=0)
    assert (empty.mean_reward_change, empty.win_rate, empty.mean_length_change) == (None, None, None)


def written(version: ModelVersion, prompt: Prompt, text: str, run: Run, reward: float | None = None) -> None:
    response, _ = Response.objects.get_or_create(
        prompt=prompt, source=version.name, text=text, defaults={"content_hash": text}
    )
    Generation.objects.create(response=response, version=version, run=run, reward=reward, num_tokens=len(text))


def test_the_newest_answers_to_the_same_prompts(base: ModelVersion, run: Run, django_assert_max_num_queries) -> None:
    tuned = ModelVersion.objects.create(project=base.project, name="tuned", kind="policy", parent=base, location="/x")
    prompts = [
        Prompt.objects.create(project=base.project, content_hash=str(n), messages=[{"role": "user", "content": str(n)}])
        for n in range(4)
    ]
    later = Run.objects.create(project=base.project, kind="generate", model=base)
    for prompt in prompts[:3]:
        written(base, prompt, "old", run, reward=0.0)
    written(base, prompts[0], "new", later, reward=1.0)
    written(base, prompts[0], "second sample", later, reward=5.0)
    for prompt in (prompts[0], prompts[1], prompts[3]):
        written(tuned, prompt, "tuned", run, reward=2.0)
    with django_assert_max_num_queries(4):
        diff = diff_versions(base, tuned)
        assert [(pair.a.text, pair.b.text, pair.reward_change) for pair in diff.pairs] == [
            ("new", "tuned", 1.0),
            ("old", "tuned", 2.0),
        ]
    assert (diff.num_only_a, diff.num_only_b) == (1, 1)
    assert [pair.prompt_id for pair in diff_versions(base, tuned, prompt_ids=[prompts[1].pk]).pairs] == [prompts[1].pk]
    light = diff_versions(base, tuned, with_texts=False)
    told = [
        [(pair.prompt_id, pair.a.response_id, pair.reward_change, pair.a.text != pair.b.text) for pair in each.pairs]
        for each in (light, diff)
    ]
    assert told[0] == told[1], "without texts it tells the same of which answers differ"
