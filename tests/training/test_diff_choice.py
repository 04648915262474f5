"""The diff's filters, and the figures beside the rewards: people, style, origins."""

import pytest
from django.test import Client
from django.utils import timezone

from annotation.models import Assignment, Judgment, Making, Project, Prompt, Response, Task, User
from tests.training import rows
from training import style
from training.diff_choice import Choice
from training.diffs import Answer, Diff, PairDiff
from training.human_wins import human_wins, share_of_votes
from training.models import ModelVersion, SnapshotJudgment
from training.origins import differences, shared_labels


def pair(number: int, before: str, after: str, *, lengths: tuple[int, int] = (5, 5), ends: str = "yy") -> PairDiff:
    a, b = (
        Answer(number * 2 + side, text, 0.0, 1, lengths[side], ends[side] == "y")
        for side, text in enumerate((before, after))
    )
    return PairDiff(number, [{"role": "user", "content": f"Question {number}?"}], a, b)


PAIRS = [
    pair(1, "Yes.", "Yes."),
    pair(2, "No.", "SORRY, no.", lengths=(2, 9), ends="yn"),
    pair(3, "Maybe, maybe", "Hm", lengths=(6, 1), ends="ny"),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [1, 2, 3]),
        ({"ended": "both"}, [1]),
        ({"ended": "cut"}, [2, 3]),
        ({"ended": "newly_cut"}, [2]),
        ({"length": "longer"}, [2]),
        ({"length": "shorter"}, [3]),
        ({"length": "same"}, [1]),
        ({"words": "differ"}, [2, 3]),
        ({"words": "same"}, [1]),
        ({"search": "sorry"}, [2]),
        ({"search": " question 3 "}, [3]),
        ({"ended": "nonsense", "length": "\0", "order": "nonsense"}, [1, 2, 3]),
        ({"ended": "cut", "search": "yes"}, []),
    ],
    ids=str,
)
def test_filters(query: dict[str, str], found: list[int]) -> None:
    assert [each.prompt_id for each in Choice.read({"order": "prompt", **query}).of(Diff(PAIRS, 0, 0))] == found


def test_an_address_says_again_what_was_chosen() -> None:
    query = {"order": "gain", "ended": "cut", "search": "sorry"}
    assert Choice.read(query).query == query
    assert Choice.read({}).query == {"order": "loss"}


def test_style_by_hand() -> None:
    text = "Sorry, sorry! It's late.\n- one\n- two **now**"
    assert style.words(text) == ["sorry", "sorry", "it's", "late", "one", "two", "now"]
    measured = dict(zip(map(str, style.LABELS), style.measures(text), strict=True))
    assert measured["Words"] == 7 and measured["Sentences"] == 2 and measured["Exclamation marks"] == 1
    assert measured["Lines of a list"] == 2 and measured["Marks of Markdown"] == 2
    assert measured["Distinct words, share"] == pytest.approx(6 / 7)
    assert style.words("你好。ok") == ["你", "好", "ok"]
    assert style.repetition(["a", "b", "c", "a", "b", "c"]) == pytest.approx(1 - 3 / 4)  # abc bca cab abc
    assert style.measures("") == (0, 0, 0.0, 0.0, 0, 0, 0, 0, 1.0)


def test_a_shift_has_an_interval() -> None:
    """Words: 1→1, 1→2, 2→1: changes 0, 1, -1 with mean 0 and deviation 1."""
    found = {str(shift.label): shift for shift in style.shifts(PAIRS)}
    words = found["Words"]
    assert (words.before, words.after, words.change.value) == (pytest.approx(4 / 3), pytest.approx(4 / 3), 0)
    assert words.change.high == pytest.approx(1.959964 / 3**0.5)
    assert not words.is_clear
    assert style.shifts(PAIRS[:1]) == []


def test_votes_on_one_prompt_are_worth_one() -> None:
    """Four prompts with three like votes each are worth 4·3/4 = 3 of 12: the interval is that of fewer votes."""
    alone = share_of_votes({n: [float(n < 2)] for n in range(4)})
    thrice = share_of_votes({n: [float(n < 2)] * 3 for n in range(4)})
    assert (thrice.value, thrice.low, thrice.high) == (alone.value, alone.low, alone.high)
    spread = share_of_votes({n: [1.0, 0.0, 1.0] for n in range(4)})
    assert spread.low is not None and alone.low is not None and spread.high is not None and alone.high is not None
    assert spread.high - spread.low < alone.high - alone.low


@pytest.fixture
def versions(project: Project) -> tuple[ModelVersion, ModelVersion]:
    base, frozen = rows.base(project), rows.snapshot(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    return base, rows.policy(project, model=base, scorer=scorer, snapshot=frozen)


def vote(prompt: Prompt, a: Response, b: Response, preferred: Response | None, by: User, *, control: str = "") -> None:
    a, b = sorted((a, b), key=lambda response: response.pk)
    task = Task.objects.create(
        project=prompt.project, prompt=prompt, kind="comparison", response_a=a, response_b=b, control=control
    )
    lent = Assignment.objects.create(
        task=task, annotator=by, status="judged", is_swapped=False, expires_at=timezone.now()
    )
    strength = 2 if preferred else 0
    Judgment.objects.create(task=task, annotator=by, assignment=lent, preferred=preferred, strength=strength)


def test_people_prefer_one(versions: tuple[ModelVersion, ModelVersion], alice: User, bob: User) -> None:
    a, b = versions
    assert human_wins(a, b) == (None, None)
    for number, prompt in enumerate(rows.prompts(a.project, 4)):
        first, second = rows.answer(prompt, "one", source=a.name), rows.answer(prompt, "two", source=b.name)
        vote(prompt, first, second, None if number == 3 else second, alice)
        third = rows.answer(prompt, "three", source="someone else")
        vote(prompt, first, third, first, bob)
        vote(prompt, rows.answer(prompt, "four", source=a.name), second, None, bob, control="gold")
    wins, back = human_wins(a, b).asked, human_wins(b, a).asked
    assert wins and back
    assert (wins.num_votes, wins.num_prompts, wins.num_simulated) == (4, 4, 0)
    assert wins.share.value == 3.5 / 4 == 1 - back.share.value


def test_how_they_were_made(versions: tuple[ModelVersion, ModelVersion], alice: User) -> None:
    base, policy = versions
    names = {each.name: (each.before, each.after) for each in differences(base, policy)}
    assert names["kl_coef"] == (None, 0.02)
    assert names["Judgments"] == (None, 540) and names["Kind of run"][0] is None
    assert shared_labels(base, policy) is None
    scorer = rows.reward_model(base.project, model=base, snapshot=rows.snapshot(base.project, name="b", pairs=600))
    other = rows.policy(base.project, model=base, scorer=scorer, snapshot=rows.snapshot(base.project, name="c"))
    other_run, policy_run = other.run, policy.run
    assert other_run and policy_run and other_run.snapshot and policy_run.snapshot
    said = rows.label(base.project, by=alice, prompts=rows.prompts(base.project, 3))
    SnapshotJudgment.objects.bulk_create(
        [SnapshotJudgment(snapshot=policy_run.snapshot, judgment=each) for each in said[:2]]
        + [SnapshotJudgment(snapshot=other_run.snapshot, judgment=each) for each in said[1:]]
    )
    shared = shared_labels(policy, other)
    assert shared and (shared.both, shared.only_a, shared.only_b) == (1, 1, 1)
    assert "kl_coef" not in {each.name for each in differences(policy, other)}


def test_the_page_shows_it_all_and_filters(
    client: Client, bob: User, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    a, b = versions
    prompts = rows.prompts(a.project, 4)
    for version in versions:
        rows.generations(version, scorer=None, prompts=prompts, shift=0.1)
    first, second = (Response.objects.get(prompt=prompts[0], source=each.name) for each in versions)
    vote(prompts[0], first, second, second, bob)
    client.force_login(bob)
    address = f"/models/compare/?a={a.pk}&b={b.pk}"
    text = client.get(address).content.decode()
    for part in ("Wins by people", "Length and style", "How they were made", "kl_coef", "Filter the pairs"):
        assert part in text, part
    assert "Wins in chats" not in text
    Task.objects.update(making=Making.objects.create(project=a.project, kind=Making.CHAT))
    text = client.get(address).content.decode()
    assert "Wins in chats" in text and "Wins by people" not in text
    page = client.get(f"{address}&search=parcel&order=prompt")
    assert [each.pair.prompt_id for each in page.context["page"]] == [prompts[0].pk]
    assert "1 of 4 prompts" in page.content.decode()
    assert "choose other filters" in client.get(f"{address}&search=nowhere").content.decode()
