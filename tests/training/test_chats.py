"""Chats without a model: what may be said and when, how a vote becomes a judgment, who sees what."""

from __future__ import annotations

import datetime
import json
import zipfile
from io import BytesIO
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotation.actions import erase_account, export_account, undo
from annotation.export import preferences
from annotation.leaderboard import outcomes_of
from annotation.models import Assignment, AuditEntry, Judgment, Project, Prompt, Response, Task, User, Verb
from tests.training import rows
from tests.training.chatting import answered, browser, page_of, shown
from training import actions
from training.human_wins import human_wins
from training.models import Chat, ChatAnswer, ChatTurn, ModelVersion
from training.tasks import sweep_chats, write_answer
from training.writing import Writing

Status = ChatAnswer.Status


# --- talking ----------------------------------------------------------------------------------------------------


def test_a_message_waits_for_its_answers(blind: Chat, a: ModelVersion, b: ModelVersion, bob: User) -> None:
    turn = blind.turns.get()
    assert turn.messages == [{"role": "user", "content": "Where is my parcel?"}]
    assert {(answer.version, answer.status) for answer in turn.answers.all()} == {(a, "waiting"), (b, "waiting")}
    assert len({answer.settings["seed"] for answer in turn.answers.all()}) == 2
    entry = AuditEntry.objects.get(verb=Verb.CHAT_STARTED)
    assert (entry.actor, entry.details) == (bob, {"versions": ["zebra-a", "zebra-b"]})


def test_settings_are_the_versions_own_and_leave_room_for_the_answer(
    project: Project, base: ModelVersion, bob: User
) -> None:
    base.presets = {"generate": {"temperature": 0.3, "max_response_tokens": 200, "samples_per_prompt": 9}}
    base.save()
    (answer,) = actions.start_chat(project, a=base, b=None, by=bob, text="Hello?").turns.get().answers.all()
    assert (answer.settings["temperature"], answer.settings["max_response_tokens"]) == (0.3, 200)
    assert answer.settings["max_prompt_tokens"] == 312, "the model looks at 512 tokens"
    assert "samples_per_prompt" not in answer.settings
    config = actions.generate_config(answer)
    assert (config.model, config.seed, config.samples_per_prompt) == (base.location, answer.settings["seed"], 1)


def test_the_conversation_goes_on(single: Chat, bob: User) -> None:
    with pytest.raises(ValueError, match="not there yet"):
        actions.say(single, by=bob, text="And now?", number=2)
    answered(single, "In Rome.")
    turn = actions.say(single, by=bob, text="  And now?\r\nSay! ", number=2)
    assert turn.messages[1:] == [
        {"role": "assistant", "content": "In Rome."},
        {"role": "user", "content": "And now?\nSay!"},
    ]
    assert actions.say(single, by=bob, text="And now?", number=2) == turn, "sent twice, said once"
    assert single.turns.count() == 2


@pytest.mark.parametrize(
    ("text", "number", "sentence"),
    [
        (" \n", 2, "is empty"),
        ("x" * 8001, 2, "at most 8000"),
        ("a\0b", 2, "NUL"),
        ("Hello?", 3, "not up to date"),
        ("Hello?", 0, "not up to date"),
    ],
)
def test_what_cannot_be_said(single: Chat, bob: User, text: str, number: int, sentence: str) -> None:
    answered(single, "In Rome.")
    with pytest.raises(ValueError, match=sentence):
        actions.say(single, by=bob, text=text, number=number)
    assert single.turns.count() == 1


def test_limits(project: Project, a: ModelVersion, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    chats = [actions.start_chat(project, a=a, b=None, by=bob, text=f"{number}") for number in range(3)]
    with pytest.raises(ValueError, match="3 of your chats"):
        actions.start_chat(project, a=a, b=None, by=bob, text="one more")
    assert Chat.objects.count() == 3
    actions.stop_turn(chats[0].turns.get(), by=bob)
    actions.start_chat(project, a=a, b=None, by=bob, text="one more")
    answered(chats[1], "Yes.")
    monkeypatch.setattr("training.actions.chats.MOST_TURNS", 1)
    with pytest.raises(ValueError, match="at most 1 turns"):
        actions.say(chats[1], by=bob, text="And?", number=2)


def test_only_versions_of_the_project_that_write(project: Project, a: ModelVersion, bob: User) -> None:
    scorer = ModelVersion.objects.create(project=project, name="scorer", kind="reward", location="/x")
    other = rows.base(Project.objects.create(slug="other", name="Other"))
    for version in (scorer, other):
        with pytest.raises(ValueError, match="of this project that write"):
            actions.start_chat(project, a=a, b=version, by=bob, text="Hello?")
    with pytest.raises(ValueError, match="with itself"):
        actions.start_chat(project, a=a, b=a, by=bob, text="Hello?")
    with pytest.raises(IntegrityError), transaction.atomic():
        Chat.objects.create(project=project, by=bob, a=a, b=a)
    assert not Chat.objects.exists()


def test_nobody_speaks_in_anothers_chat(single: Chat, dana: User) -> None:
    turn = answered(single, "In Rome.")
    verbs: list[Any] = [
        lambda: actions.say(single, by=dana, text="Hello?", number=2),
        lambda: actions.stop_turn(turn, by=dana),
        lambda: actions.write_again(turn, by=dana),
        lambda: actions.vote(turn, by=dana, choice="3"),
    ]
    for verb in verbs:
        with pytest.raises(PermissionDenied):
            verb()


# --- stopped, lost, written again -------------------------------------------------------------------------------


def test_stopped_it_keeps_what_it_has_and_its_worker_is_told(single: Chat, bob: User) -> None:
    turn = single.turns.get()
    (answer,) = turn.answers.all()
    assert answer.move(Status.WAITING, Status.WRITING, worker="w", text="In Ro", heartbeat_at=timezone.now())
    assert actions.stop_turn(turn, by=bob) == 1
    assert actions.stop_turn(turn, by=bob) == 0
    assert not ChatAnswer.objects.filter(pk=answer.pk).held_by("w").update(text="In Rome, on the left.")
    assert actions.say(single, by=bob, text="Where?", number=2).messages[1]["content"] == "In Ro"


def test_stopped_before_it_began_it_is_written_again(single: Chat, bob: User) -> None:
    turn = single.turns.get()
    seed = turn.answers.get().settings["seed"]
    actions.stop_turn(turn, by=bob)
    with pytest.raises(ValueError, match="not there yet, or failed"):
        actions.say(single, by=bob, text="Where?", number=2)
    (answer,) = actions.write_again(turn, by=bob)
    assert (answer.status, answer.settings["seed"]) == ("waiting", seed)
    with pytest.raises(ValueError, match="No answer of this turn"):
        actions.write_again(turn, by=bob)


def test_a_lost_worker_is_said_by_the_page_and_the_answer_can_be_written_again(single: Chat, bob: User) -> None:
    (answer,) = single.turns.get().answers.all()
    answer.move(Status.WAITING, Status.WRITING, worker="w", text="In Ro", heartbeat_at=timezone.now())
    assert "writing" in page_of(single, bob)
    ChatAnswer.objects.update(heartbeat_at=timezone.now() - datetime.timedelta(seconds=16))
    page = page_of(single, bob)
    assert "The worker that was writing this answer was lost." in page and "In Ro" in page
    assert "Write again" in page
    answered_at = browser(bob).post(f"{single.get_absolute_url()}again/", {"number": 1})
    assert answered_at["Location"].endswith("#turn-1")
    answer.refresh_from_db()
    assert (answer.status, answer.text, answer.error) == ("waiting", "", "")


def test_the_sweeper_closes_what_nobody_looks_at_and_sends_lost_messages_again(
    blind: Chat, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = blind.turns.get().answers.all()
    first.move(Status.WAITING, Status.WRITING, worker="w", heartbeat_at=timezone.now() - datetime.timedelta(minutes=1))
    ChatAnswer.objects.filter(pk=second.pk).update(sent_at=timezone.now() - datetime.timedelta(minutes=1))
    sent: list[int] = []
    monkeypatch.setattr(write_answer, "delay", sent.append)
    sweep_chats()
    sweep_chats()
    first.refresh_from_db()
    assert first.status == "failed" and "was lost" in first.error
    assert sent == [second.pk]


# --- votes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_swapped", [False, True])
@pytest.mark.parametrize(("choice", "strength"), [("-3", 3), ("1", 1), ("0", 0), ("both_bad", 0)])
def test_a_vote_is_a_judgment(blind: Chat, bob: User, choice: str, strength: int, is_swapped: bool) -> None:
    turn = answered(blind, "In Rome.", "In Oslo.")
    blind.turns.update(is_swapped=is_swapped)
    turn.refresh_from_db()
    first, second = shown(turn)
    assert (first.text == "In Oslo.") == is_swapped
    turn = actions.vote(turn, by=bob, choice=choice, rationale="Closer.")

    judgment = Judgment.objects.votes().get()
    better = None if strength == 0 else (first if choice.startswith("-") else second).text
    assert (judgment.preferred.text if judgment.preferred else None) == better
    assert (judgment.strength, judgment.both_bad, judgment.annotator, judgment.rationale) == (
        *(strength, choice == "both_bad"), bob, "Closer.",
    )  # fmt: skip
    task = judgment.task
    assert task == turn.task and (task.overlap, task.num_judged, task.num_leased) == (1, 1, 0)
    assert task.prompt.messages == turn.messages
    assert {task.response_a.source, task.response_b.source} == {"zebra-a", "zebra-b"}  # type: ignore[union-attr]
    assert judgment.assignment.left.text == first.text, "the side it was shown on"
    assert task.making and (task.making.kind, task.making.num_tasks) == ("chat", 1)
    assert turn.chosen == (second if choice == "1" else first), "on a tie it goes on with A"


def test_a_vote_is_exported_and_marked(blind: Chat, bob: User) -> None:
    answered(blind, "In Rome.", "In Oslo.")
    turn = actions.vote(blind.turns.get(), by=bob, choice="-2")
    (pair,) = preferences(blind.project)
    assert pair.messages == turn.messages and {pair.text_a, pair.text_b} == {"In Rome.", "In Oslo."}
    assert abs(pair.strength) == 2
    assert all(response.metadata == {"origin": "chat", "ended": True} for response in Response.objects.all())
    assert turn.task and not turn.task.in_rounds.exists()


def test_what_people_asked_themselves_is_counted_apart(blind: Chat, bob: User) -> None:
    """No chance chose those prompts: not in the win rate of the diff, and in the leaderboard only where asked for."""
    answered(blind, "In Rome.", "In Oslo.")
    turn = blind.turns.get()
    actions.vote(turn, by=bob, choice="-2")
    asked, in_chats = human_wins(blind.versions[0], blind.versions[1])
    assert asked is None and in_chats and (in_chats.num_votes, in_chats.share.value) == (1, float(turn.is_swapped))
    assert not len(outcomes_of(blind.project).wins)
    assert outcomes_of(blind.project, with_chats=True).num.tolist() == [1]
    board = f"/projects/{blind.project.slug}/leaderboard/"
    assert "zebra-a" not in browser(bob).get(board).content.decode()
    assert "zebra-a" in browser(bob).get(f"{board}?chats=1").content.decode()
    first, second = blind.versions
    diff = browser(bob).get(f"/models/compare/?a={first.pk}&b={second.pk}").content.decode()
    assert "Wins in chats" in diff and "1 vote on what people asked" in diff, "though they share no other answers"
    assert "Wins by people" not in diff and "Wins by reward" not in diff


def test_every_turn_is_voted_on_by_itself(blind: Chat, bob: User) -> None:
    answered(blind, "In Rome.", "In Oslo.")
    with pytest.raises(ValueError, match="Say first which"):
        actions.say(blind, by=bob, text="And?", number=2)
    turn = actions.vote(blind.turns.get(), by=bob, choice="2")
    assert turn.chosen
    second = actions.say(blind, by=bob, text="And?", number=2)
    assert second.messages[1]["content"] == turn.chosen.text
    answered(blind, "Ask.", "Wait.")
    actions.vote(second, by=bob, choice="-1")
    actions.vote(second, by=bob, choice="3")
    assert Judgment.objects.counted().count() == 2, "a second vote on a turn changes nothing"
    blind.refresh_from_db()
    assert blind.making and blind.making.num_tasks == 2


def test_two_equal_answers_are_no_question(blind: Chat, bob: User) -> None:
    turn = answered(blind, "In Rome.", "In Rome.")
    with pytest.raises(ValueError, match="nothing to compare"):
        actions.vote(turn, by=bob, choice="3")
    actions.vote(turn, by=bob, choice="same")
    assert not Task.objects.exists()
    assert actions.say(blind, by=bob, text="And?", number=2).messages[1]["content"] == "In Rome."


@pytest.mark.parametrize("choice", ["", "4", "same", "nonsense"])
def test_nonsense_is_no_vote(blind: Chat, bob: User, choice: str) -> None:
    turn = answered(blind, "In Rome.", "In Oslo.")
    with pytest.raises(ValueError, match=r"Choose which|nothing to compare"):
        actions.vote(turn, by=bob, choice=choice)
    assert not Judgment.objects.exists() and not Prompt.objects.exists()


def test_no_vote_before_both_are_there(blind: Chat, bob: User) -> None:
    turn = answered(blind, "In Rome.", "")
    turn.answers.filter(version=blind.b).update(status="failed")
    with pytest.raises(ValueError, match="have it written again"):
        actions.vote(turn, by=bob, choice="-3")


def test_a_pair_that_was_judged_before_keeps_its_judgment(
    project: Project, blind: Chat, a: ModelVersion, b: ModelVersion, bob: User, dana: User
) -> None:
    """The same words to the same question: the person's own judgment stays, somebody else's makes room."""
    for person, choice in ((bob, "-3"), (bob, "3"), (dana, "1")):
        chat = actions.start_chat(project, a=a, b=b, by=person, text="Who?")
        chat.turns.update(is_swapped=False)
        turn = actions.vote(answered(chat, "Me.", "You."), by=person, choice=choice)
        assert turn.task
    task = Task.objects.get(prompt__messages=turn.messages)
    assert (task.num_judged, task.overlap) == (2, 2)
    assert [(each.annotator, each.strength) for each in task.judgments.order_by("pk")] == [(bob, 3), (dana, 1)]


def test_a_vote_can_be_undone_like_any_other(blind: Chat, bob: User) -> None:
    answered(blind, "In Rome.", "In Oslo.")
    turn = actions.vote(blind.turns.get(), by=bob, choice="2")
    assert undo(bob, project=blind.project)
    assert not Judgment.objects.counted().exists()
    assert Assignment.objects.get(task=turn.task).status == "leased"


def test_deleted_it_is_gone_and_its_votes_stay(blind: Chat, bob: User, dana: User) -> None:
    """A worker that still writes an answer of it finds its row gone, and stops."""
    answered(blind, "In Rome.", "In Oslo.")
    voted = actions.vote(blind.turns.get(), by=bob, choice="2")
    actions.say(blind, by=bob, text="And now?", number=2)
    writing = ChatAnswer.objects.waiting().first()
    assert writing and writing.move(Status.WAITING, Status.WRITING, worker="w1", heartbeat_at=timezone.now())
    with pytest.raises(PermissionDenied):
        actions.delete_chat(blind, by=dana)
    answer = browser(bob).post(f"{blind.get_absolute_url()}delete/", follow=True)
    assert "The chat is deleted." in answer.content.decode()
    assert not Chat.objects.exists() and not ChatTurn.objects.exists() and not ChatAnswer.objects.exists()
    assert not Writing(writing, "w1", is_shutting_down=lambda: False).still_mine(text="In")
    assert Judgment.objects.votes().get().task.pk == voted.task_id
    assert browser(bob).get(f"/tasks/{voted.task_id}/uses/").status_code == 200
    entry = AuditEntry.objects.get(verb=Verb.CHAT_DELETED)
    assert (entry.actor, entry.details) == (bob, {"versions": ["zebra-a", "zebra-b"], "votes": 1})


# --- a person's data --------------------------------------------------------------------------------------------


def test_what_somebody_said_leaves_with_their_data_and_goes_with_their_account(blind: Chat, bob: User) -> None:
    answered(blind, "In Rome.", "In Oslo.")
    turn = actions.vote(blind.turns.get(), by=bob, choice="2")
    with zipfile.ZipFile(BytesIO(export_account(bob, by=bob))) as archive:
        elsewhere = json.loads(archive.read("elsewhere.json"))
        judgments = json.loads(archive.read("judgments.json"))
    assert elsewhere["training.ChatTurn.by"][0]["messages"] == turn.messages
    assert len(elsewhere["training.Chat.by"]) == len(judgments) == 1
    erase_account(bob, by=bob, with_texts=True)
    assert not Chat.objects.exists() and not ChatTurn.objects.exists() and not ChatAnswer.objects.exists()
    assert Judgment.objects.votes().count() == 1, "what models may have learned from stays"


def test_a_version_stays_while_somebody_talked_with_it(blind: Chat, a: ModelVersion, dana: User) -> None:
    with pytest.raises(ValueError, match="1 chat"):
        actions.delete_version(a, by=dana)
