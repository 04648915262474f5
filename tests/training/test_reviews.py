"""A review of two versions: blind until the own vote, one verdict, and no production without approval."""

import threading

import pytest
from django.db import connection
from django.test import Client

from annotation.models import AuditEntry, Project, Prompt, User
from tests.training import rows
from tests.training.fence import Cast, check
from training import actions, diffs
from training.models import ModelVersion, Review, ReviewVote
from training.reviewing import Desk, tally


@pytest.fixture
def prompts(project: Project) -> list[Prompt]:
    return rows.prompts(project, 6)


@pytest.fixture
def pair(project: Project, prompts: list[Prompt]) -> tuple[ModelVersion, ModelVersion]:
    base, frozen = rows.base(project), rows.snapshot(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=frozen)
    for version in (base, tuned):
        done = rows.run(project, "generate", model=version, reward_model=scorer)
        for number, prompt in enumerate(prompts):
            text = f"answer {number}" if number == 5 else f"{'before' if version == base else 'after'} {number}"
            answer = rows.answer(prompt, text, source=version.name)
            version.generations.create(response=answer, run=done, reward=0.1 * number)
    return base, tuned


@pytest.fixture
def review(pair: tuple[ModelVersion, ModelVersion], bob: User) -> Review:
    return actions.open_review(*pair, by=bob)


@pytest.fixture
def reader(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def test_a_pair_is_blind_until_the_own_vote(
    reader: Client, review: Review, prompts: list[Prompt], bob: User, dana: User
) -> None:
    pairs = Desk(review, dana).pairs
    assert set(pairs) == {prompt.pk for prompt in prompts[:5]}, "the same answer twice is nothing to vote on"
    theirs = pairs[prompts[0].pk]
    actions.vote_on_pair(review, theirs, by=dana, choice="tie")
    actions.comment(review, by=dana, text="the tuned one rambles", prompt_id=prompts[0].pk)
    address = f"/reviews/{review.pk}/pairs/{prompts[0].pk}/"
    blind = reader.get(address).content.decode()
    for part in (review.b.name, review.a.name, "rambles", "reward", "No difference: 1"):
        assert part not in blind, part
    is_swapped = actions.is_swapped(review, prompts[0].pk, bob)
    assert (blind.index("after 0") < blind.index("before 0")) == is_swapped
    overview = reader.get(f"/reviews/{review.pk}/").content.decode()
    assert "rambles" not in overview and "Others have voted" in overview

    shown = reader.post(f"{address}vote/", {"choice": "first"}, follow=True).content.decode()
    for part in (review.b.name, review.a.name, "rambles", "Your vote", "No difference: 1"):
        assert part in shown, part
    vote = ReviewVote.objects.get(by=bob)
    assert (vote.choice, vote.is_swapped) == ("b" if is_swapped else "a", is_swapped)
    assert (vote.response_a, vote.response_b) == tuple(
        each.generations.get(response__prompt=prompts[0]).response for each in (review.a, review.b)
    )
    overview = reader.get(f"/reviews/{review.pk}/").content.decode()
    assert "rambles" in overview and "by 2 reviewers" in overview
    again = reader.post(f"{address}vote/", {"choice": "second"}, follow=True).content.decode()
    assert "You have voted on this pair already" in again
    assert ReviewVote.objects.filter(by=bob).count() == 1


def test_sides_and_order_are_a_reviewers_own(review: Review, bob: User, dana: User) -> None:
    users = [bob, dana, *(User.objects.create_user(f"r{number}") for number in range(30))]
    prompts = list(Desk(review, bob).pairs)
    swapped = sum(actions.is_swapped(review, prompt, user) for user in users for prompt in prompts)
    assert 50 < swapped < 110  # of 160 fair throws, at five deviations
    assert len({tuple(Desk(review, user).pairs) for user in users}) > 20
    assert list(Desk(review, bob).pairs) == prompts


def test_next_leads_through_all_pairs(reader: Client, review: Review) -> None:
    seen = set()
    for _ in range(5):
        page = reader.get(f"/reviews/{review.pk}/next/", follow=True)
        seen.add(page.context["pair"].prompt_id)
        reader.post(f"{page.request['PATH_INFO']}vote/", {"choice": "tie"})
    assert len(seen) == 5
    done = reader.get(f"/reviews/{review.pk}/next/", follow=True).content.decode()
    assert "You have voted on all pairs" in done


def test_a_tally_counts_pairs(review: Review, bob: User, dana: User) -> None:
    """Two votes on the first pair (b and a tie: 0.75), one on the second (b: 1.0): the mean is 0.875 of 2 pairs."""
    first, second, *_ = Desk(review, bob).pairs.values()

    def for_b(pair: diffs.PairDiff, by: User) -> str:
        return "first" if actions.is_swapped(review, pair.prompt_id, by) else "second"

    actions.vote_on_pair(review, first, by=bob, choice=for_b(first, bob))
    actions.vote_on_pair(review, first, by=dana, choice="tie")
    actions.vote_on_pair(review, second, by=bob, choice=for_b(second, bob))
    found = tally(list(review.votes.all()))
    assert found and (found.share.value, found.num_votes, found.num_pairs, found.num_reviewers) == (0.875, 3, 2, 2)
    assert tally([]) is None


def test_one_open_review_of_a_pair(pair: tuple[ModelVersion, ModelVersion], review: Review, dana: User) -> None:
    assert actions.open_review(*pair, by=dana) == review
    actions.close_review(review, status="rejected", by=dana, reason="It rambles.")
    assert actions.open_review(*pair, by=dana) != review
    with pytest.raises(ValueError, match="choose two"):
        actions.open_review(pair[0], pair[0], by=dana)


def test_the_verdict_is_given_once_and_ends_the_votes(reader: Client, review: Review, bob: User) -> None:
    address = f"/reviews/{review.pk}/close/"
    empty = reader.post(address, {"status": "approved", "reason": " "})
    assert empty.status_code == 422 and "This field is required." in empty.content.decode()
    page = reader.post(address, {"status": "approved", "reason": "Kinder, as short."}, follow=True).content.decode()
    assert "The review is closed." in page and "Kinder, as short." in page
    late = reader.post(address, {"status": "rejected", "reason": "No."}, follow=True)
    assert "closed already (approved)" in late.content.decode()
    some = next(iter(Desk(review, bob).pairs.values()))
    with pytest.raises(ValueError, match="This review is closed"):
        actions.vote_on_pair(review, some, by=bob, choice="tie")


def test_production_waits_for_an_approval(review: Review, dana: User) -> None:
    tuned = review.b
    with pytest.raises(ValueError, match="wants an approval before production"):
        actions.promote(tuned, stage="production", by=dana, reason="wins")
    actions.promote(tuned, stage="approved", by=dana, reason="wins")
    actions.promote(review.a, stage="production", by=dana, reason="a base model needs none")
    actions.close_review(review, status="rejected", by=dana, reason="no")
    with pytest.raises(ValueError, match="wants an approval"):
        actions.promote(tuned, stage="production", by=dana, reason="wins")
    actions.close_review(actions.open_review(review.a, tuned, by=dana), status="approved", by=dana, reason="yes")
    actions.promote(tuned, stage="production", by=dana, reason="wins")
    assert ModelVersion.objects.get(pk=tuned.pk).stage == "production"


def test_each_step_to_production_stands_in_the_audit_log(review: Review, bob: User, dana: User) -> None:
    """Who did it and in which order; and of a vote not for what, because who reads the log may vote, too."""
    some = next(iter(Desk(review, bob).pairs.values()))
    actions.vote_on_pair(review, some, by=bob, choice="tie")
    actions.comment(review, by=bob, text="Kinder.", prompt_id=some.prompt_id)
    actions.promote(review.a, stage="production", by=dana, reason="the first")
    actions.close_review(review, status="approved", by=bob, reason="Kinder.")
    tuned = ModelVersion.objects.get(pk=review.b_id)
    actions.promote(tuned, stage="production", by=dana, reason="approved")
    entries = AuditEntry.objects.order_by("pk").values_list("actor__username", "verb", "subject", "details")
    change, pair = f"{review.a.name} → {review.b.name}", f"review {review.pk}, prompt {some.prompt_id}"
    assert list(entries) == [
        ("bob", "review.opened", change, {}),
        ("bob", "review.voted", pair, {}),
        ("bob", "review.commented", f"review {review.pk}", {}),
        ("dana", "model.promoted", review.a.name, {"stage": ["candidate", "production"]}),
        ("bob", "review.closed", change, {"status": "approved"}),
        ("dana", "model.promoted", review.b.name, {"stage": ["candidate", "production"]}),
    ]


def test_a_project_may_do_without(review: Review, dana: User) -> None:
    Project.objects.update(promotion_needs_approval=False)
    actions.promote(ModelVersion.objects.get(pk=review.b.pk), stage="production", by=dana, reason="wins")


def test_from_a_pair_in_the_diff_to_the_review_and_back(reader: Client, review: Review, prompts: list[Prompt]) -> None:
    diff = f"/models/compare/?a={review.a_id}&b={review.b_id}"
    there = f"/reviews/{review.pk}/pairs/{prompts[0].pk}/"
    page = reader.get(diff).content.decode()
    assert f'href="{there}"' in page
    assert f"/pairs/{prompts[5].pk}/" not in page, "the same answer twice is no pair of the review"
    assert "models/compare/" not in reader.get(there).content.decode(), "it would tell whose answer is whose"
    reader.post(there + "vote/", {"choice": "tie"})
    assert f"prompt={prompts[0].pk}#pair-{prompts[0].pk}" in reader.get(there).content.decode()
    assert f'id="pair-{prompts[0].pk}"' in reader.get(f"{diff}&prompt={prompts[0].pk}").content.decode()


def test_the_own_keys_stand_on_the_page_of_a_vote(
    reader: Client, review: Review, prompts: list[Prompt], bob: User
) -> None:
    User.objects.filter(pk=bob.pk).update(key_bindings={"choice_1": "q", "tie": "w"})
    page = reader.get(f"/reviews/{review.pk}/pairs/{prompts[0].pk}/").content.decode()
    assert '"choice_1": "q"' in page and "<kbd>Q</kbd> <kbd>2</kbd> <kbd>3</kbd> choose the first answer" in page


def test_comments(reader: Client, review: Review, prompts: list[Prompt]) -> None:
    address = f"/reviews/{review.pk}/comment/"
    page = reader.post(address, {"text": "Looks <b>fine</b> to me."}, follow=True).content.decode()
    assert "Looks &lt;b&gt;fine&lt;/b&gt; to me." in page
    empty = reader.post(address, {"text": " "}, follow=True).content.decode()
    assert "The comment is empty" in empty
    unseen = reader.post(address, {"text": "x", "prompt": prompts[0].pk})
    assert unseen.status_code == 404, "no comment on a pair before the own vote"
    assert review.comments.count() == 1


def test_fences(cast: Cast, review: Review, prompts: list[Prompt]) -> None:
    check(cast, f"/reviews/{review.pk}/")
    check(cast, f"/reviews/{review.pk}/next/")
    check(cast, f"/reviews/{review.pk}/pairs/{prompts[0].pk}/")
    client = Client()
    client.force_login(cast.bob)
    assert client.get(f"/reviews/{review.pk}/pairs/{prompts[5].pk}/").status_code == 404
    assert client.get("/reviews/98765/").status_code == 404


def test_the_pages_cost_few_queries(
    reader: Client, review: Review, prompts: list[Prompt], django_assert_max_num_queries
) -> None:  # type: ignore[no-untyped-def]
    with django_assert_max_num_queries(22):
        reader.get(f"/reviews/{review.pk}/")
    with django_assert_max_num_queries(22):
        reader.get(f"/reviews/{review.pk}/pairs/{prompts[0].pk}/")


@pytest.mark.django_db(transaction=True)
def test_of_two_verdicts_at_once_one_counts(review: Review, bob: User, dana: User) -> None:
    said: list[str] = []

    def close(by: User, status: str) -> None:
        try:
            actions.close_review(Review.objects.get(pk=review.pk), status=status, by=by, reason=status)
            said.append("closed")
        except ValueError:
            said.append("late")
        finally:
            connection.close()

    threads = [threading.Thread(target=close, args=each) for each in ((bob, "approved"), (dana, "rejected"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["closed", "late"]
