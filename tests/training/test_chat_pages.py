"""The pages of chats: who may come, what is hidden until the vote, what a page that asks again is given."""

from __future__ import annotations

import datetime
from typing import Any

from django.utils import timezone

from annotation.models import AuditEntry, Project, Role, User, Verb
from tests.training.chatting import answered, browser, page_of
from tests.training.fence import Cast, check
from training import actions
from training.models import Chat, ChatAnswer, ModelVersion

Status = ChatAnswer.Status


def test_who_may_come(cast: Cast, single: Chat, project: Project) -> None:
    check(cast, f"/projects/{project.slug}/chat/", allows="GET, HEAD, POST")
    check(cast, single.get_absolute_url())
    for verb in ("stop", "again", "vote", "say"):
        path = f"{single.get_absolute_url()}{verb}/"
        assert browser(cast.dana).post(path, {"number": 1, "text": "Hello?"}).status_code == 403, "not their chat"


def test_a_reviewer_does_not_open_another_reviewers_chat(project: Project, single: Chat, dana: User) -> None:
    erin = User.objects.create_user("erin")
    project.memberships.create(user=erin, role=Role.REVIEWER)
    assert browser(erin).get(single.get_absolute_url()).status_code == 404
    assert "Where is my parcel" not in browser(erin).get(f"/projects/{project.slug}/chat/").content.decode()
    page = page_of(single, dana)
    assert "Where is my parcel" in page and "Your next message" not in page
    entry = AuditEntry.objects.get(verb=Verb.CHAT_READ)
    assert (entry.actor, entry.about_id) == (dana, single.by_id)


def test_a_chat_is_started_on_its_page(project: Project, a: ModelVersion, b: ModelVersion, bob: User) -> None:
    path = f"/projects/{project.slug}/chat/"
    refused = browser(bob).post(path, {"a": a.pk, "b": a.pk, "text": "Hello?"})
    assert refused.status_code == 422 and "compared with itself" in refused.content.decode()
    empty = browser(bob).post(path, {"a": a.pk})
    assert empty.status_code == 422 and "The message is empty" in empty.content.decode()
    started = browser(bob).post(path, {"a": a.pk, "b": b.pk, "text": "Hello?"})
    assert started["Location"] == Chat.objects.get().get_absolute_url()
    page = browser(bob).get(path).content.decode()
    assert "Hello?" in page and "zebra-a and zebra-b, blind" in page


def test_names_stay_hidden_until_the_vote(blind: Chat, bob: User, dana: User) -> None:
    answered(blind, "In Rome.", "In Oslo.")
    head = "zebra-a and zebra-b, blind"
    for person in (bob, dana):
        page = page_of(blind, person)
        assert page.count("zebra-") == 2 * page.count(head), "the two names together, and neither by itself"
        assert f"/models/{blind.a_id}/" not in page and f"/models/{blind.b_id}/" not in page
    sent = browser(bob).post(f"{blind.get_absolute_url()}vote/", {"number": 1, "choice": "3"})
    assert sent["Location"].endswith("#turn-1")
    page = page_of(blind, bob)
    assert f"/models/{blind.a_id}/" in page and "Vote: B much better." in page
    assert "Your next message" in page


def test_why_an_answer_failed_is_folded_while_it_would_tell(blind: Chat, bob: User) -> None:
    answered(blind, "In Rome.", "")
    blind.turns.get().answers.filter(version=blind.b).update(status="failed", error="zebra-b is gone.")
    page = page_of(blind, bob)
    assert "This answer could not be written." in page
    assert page.index("it may tell which version") < page.index("zebra-b is gone.")


def test_a_page_that_asks_again_is_given_what_is_new(single: Chat, bob: User) -> None:
    (answer,) = single.turns.get().answers.all()
    answer.move(Status.WAITING, Status.WRITING, worker="w", text="In", heartbeat_at=timezone.now())
    page = page_of(single, bob)
    address = page.split('hx-get="')[1].split('"')[0].replace("&amp;", "&")

    def ask() -> Any:
        return browser(bob).get(address, headers={"HX-Request": "true"})

    assert ask().status_code == 204
    ChatAnswer.objects.update(text="In Rome")
    grown = ask()
    assert grown.status_code == 200 and "In Rome" in grown.content.decode()
    assert 'id="foot"' not in grown.content.decode(), "no button is drawn anew under somebody's pointer"
    ChatAnswer.objects.update(text="In Rome.", status="done", has_ended=True)
    whole = ask()
    assert whole.status_code == 286, "nothing more to ask for"
    assert "The answer is there." in whole.content.decode() and "Your next message" in whole.content.decode()
    actions.say(single, by=bob, text="And?", number=2)
    assert ask()["HX-Refresh"] == "true", "it went on in another tab"


def test_which_model_was_loaded_already_does_not_show(blind: Chat, bob: User) -> None:
    """Both columns begin together, or the one that begins first would be known."""
    first, second = blind.turns.get().answers.all()
    for answer in (first, second):
        answer.move(Status.WAITING, Status.WRITING, worker="w", heartbeat_at=timezone.now())
    before = page_of(blind, bob)
    ChatAnswer.objects.filter(pk=first.pk).update(text="In Rome.")
    address = before.split('hx-get="')[1].split('"')[0].replace("&amp;", "&")
    assert browser(bob).get(address, headers={"HX-Request": "true"}).status_code == 204
    ChatAnswer.objects.filter(pk=first.pk).update(status="done", has_ended=True)
    page = page_of(blind, bob)
    assert "In Rome." not in page and page.count("as soon as both have begun") == 2
    ChatAnswer.objects.filter(pk=second.pk).update(text="In")
    assert "In Rome." in page_of(blind, bob)


def test_the_place_in_the_queue(project: Project, blind: Chat, a: ModelVersion, bob: User, dana: User) -> None:
    other = actions.start_chat(project, a=a, b=None, by=dana, text="Me too?")
    assert "Waiting for the model: 2 before you." in page_of(other, dana)
    assert "Waiting for the model." in page_of(blind, bob)
    ChatAnswer.objects.update(queued_at=timezone.now() - datetime.timedelta(minutes=1))
    assert "No worker has taken it yet." in page_of(blind, bob)


def test_what_cannot_be_sent_stays_in_the_form(single: Chat, bob: User) -> None:
    refused = browser(bob).post(f"{single.get_absolute_url()}say/", {"number": 2, "text": "Too early <b>"})
    assert refused.status_code == 422 and "not there yet" in refused.content.decode()
    answered(single, "In Rome.")
    refused = browser(bob).post(f"{single.get_absolute_url()}say/", {"number": 2, "text": "x" * 9000})
    assert refused.status_code == 422 and "x" * 9000 in refused.content.decode()


def test_the_origin_of_an_answer_is_known(blind: Chat, bob: User) -> None:
    answered(blind, "In Rome.", "In Oslo.")
    turn = actions.vote(blind.turns.get(), by=bob, choice="2")
    response = turn.chosen.response  # type: ignore[union-attr]
    page = browser(bob).get(f"/answers/{response.pk}/").content.decode()  # type: ignore[union-attr]
    assert "a chat" in page and f"/models/{turn.chosen.version_id}/" in page  # type: ignore[union-attr]
