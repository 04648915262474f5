"""Verbs of chats: start one, say something, stop the answers, have them written again, say which is better, delete it.

None of these sends a message to the workers, because actions do not know tasks: whoever calls start_chat, say or
write_again follows it with `write_answer.delay_on_commit(answer.pk)` for each unfinished answer. A call that forgets it
costs time, not the answer: the sweeper sends it too.
"""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from annotation.intake import NewResponse
from annotation.intake.live import judge_live
from annotation.models import AuditEntry, Making, Project, User, Verb
from training.actions.runs import POLICIES, trainer_config
from training.models import Chat, ChatAnswer, ChatTurn, ModelVersion, Run
from training.rlhf import config as rlhf

LONGEST_MESSAGE = 8000
MOST_TURNS = 30
MOST_AT_ONCE = 3
"""Chats of one person in which answers may be under way at once."""
SETTINGS = (
    *("max_prompt_tokens", "max_response_tokens", "temperature", "seed", "device", "dtype", "num_threads"),
    *("backend", "server", "server_model", "server_timeout"),
)
"""What of a generate run's settings an answer is written with."""
LOST = gettext_noop(
    "The worker that was writing this answer was lost. What it had written is still here: have it written again."
)


@transaction.atomic
def start_chat(project: Project, *, a: ModelVersion, b: ModelVersion | None, by: User, text: str) -> Chat:
    """A conversation with one version, or with two side by side; ValueError with a sentence when it cannot begin."""
    versions = [a] if b is None else [a, b]
    if a == b:
        raise ValueError(_("A version would be compared with itself: choose two different ones, or only one."))
    for version in versions:
        if version.project_id != project.pk or version.kind not in POLICIES:
            raise ValueError(_("Choose versions of this project that write answers."))
    chat = Chat.objects.create(project=project, by=by, a=a, b=b)
    AuditEntry.objects.record(
        Verb.CHAT_STARTED, by=by, project=project, subject=str(chat), versions=[version.name for version in versions]
    )
    say(chat, by=by, text=text, number=1)
    return chat


@transaction.atomic
def say(chat: Chat, *, by: User, text: str, number: int) -> ChatTurn:
    """The person's next turn, with a place in the queue for each answer. number: of the turn, as their page counts, so
    that what is sent twice is said once. ValueError with a sentence when nothing can be said now.
    """
    _own(chat, by)
    Chat.objects.select_for_update(no_key=True).get(pk=chat.pk)
    last = chat.turns.prefetch_related("answers").select_related("chosen").last()
    if last and 0 < number <= last.number:
        return ChatTurn.objects.get(chat=chat, number=number)
    if number != (last.number if last else 0) + 1:
        raise ValueError(_("This page is not up to date: reload it and send your message again."))
    text = _checked(text)
    if number > MOST_TURNS:
        raise ValueError(_("A chat has at most %(most)d turns: start another one.") % {"most": MOST_TURNS})
    _refuse_too_many(chat, by)
    turn = ChatTurn.objects.create(
        chat=chat, by=by, number=number, is_swapped=chat.is_blind and random.random() < 0.5,
        messages=[*(_so_far(last) if last else []), {"role": "user", "content": text}],
    )  # fmt: skip
    # In an order of chance: which is written first, where a worker writes one at a time, is to tell nothing.
    ChatAnswer.objects.bulk_create(
        ChatAnswer(turn=turn, version=version, settings=_settings(version))
        for version in random.sample(chat.versions, len(chat.versions))
    )
    chat.updated_at = timezone.now()
    chat.save(update_fields=["updated_at"])
    return turn


def stop_turn(turn: ChatTurn, *, by: User) -> int:
    """End what is being written and keep what is there; returns how many answers this call stopped.

    The worker sees it between two tokens: the row is no longer its own.
    """
    _own(turn.chat, by)
    return turn.answers.unfinished().update(status=ChatAnswer.Status.STOPPED, finished_at=timezone.now())


@transaction.atomic
def write_again(turn: ChatTurn, *, by: User) -> list[ChatAnswer]:
    """Put the answers that failed, or were stopped before they began, back into the queue; their old text goes.

    The seed stays: written whole, an answer is what it would have been.
    """
    _own(turn.chat, by)
    close_lost(turn.chat)
    again = [answer for answer in turn.answers.all() if answer.is_finished and not answer.is_usable]
    now = timezone.now()
    fresh: dict[str, Any] = {
        "text": "", "num_tokens": 0, "error": "", "worker": "", "queued_at": now, "sent_at": now,
        "started_at": None, "heartbeat_at": None, "finished_at": None,
    }  # fmt: skip
    moved = [each for each in again if each.move(ChatAnswer.Status(each.status), ChatAnswer.Status.WAITING, **fresh)]
    if not moved:
        raise ValueError(_("No answer of this turn needs to be written again."))
    return moved


@transaction.atomic
def vote(turn: ChatTurn, *, by: User, choice: str, rationale: str = "") -> ChatTurn:
    """Say which answer is better, as of a comparison; the conversation goes on with it, on a tie with A.

    choice: a ChatTurn.Choice, of the sides as shown. Becomes a prompt, two answers, a task and a judgment. A second
    vote on the turn changes nothing. ValueError with a sentence when it cannot be voted on.
    """
    _own(turn.chat, by)
    turn = ChatTurn.objects.select_for_update(no_key=True).select_related("chat__project").get(pk=turn.pk)
    if turn.is_voted:
        return turn
    if choice not in ChatTurn.Choice.values or not turn.chat.is_blind:
        raise ValueError(_("Choose which answer is better (1 to 7), or that both are bad (X)."))
    first, second = shown = sorted(turn.answers.select_related("version"), key=turn.side_of)
    if not all(answer.is_usable for answer in shown):
        raise ValueError(_("An answer is not there yet, or failed: wait for it, or have it written again."))
    is_same = first.text == second.text
    if is_same != (choice == ChatTurn.Choice.SAME):
        raise ValueError(_("Both answers are the same: there is nothing to compare."))
    strength = int(choice) if choice.lstrip("-").isdigit() else 0
    if not is_same:
        _judge(turn, shown, by=by, strength=strength, both_bad=choice == ChatTurn.Choice.BOTH_BAD, why=rationale)
    turn.choice, turn.chosen, turn.voted_at = choice, second if strength > 0 else first, timezone.now()
    turn.save(update_fields=["choice", "chosen", "voted_at", "task"])
    return turn


@transaction.atomic
def delete_chat(chat: Chat, *, by: User) -> None:
    """Delete what was said and answered; whoever writes an answer of it sees that its row is gone, and stops.

    Judgments stay, with the conversation up to each vote: models may have been trained on them, and they can be undone
    by themselves.
    """
    _own(chat, by)
    Chat.objects.select_for_update().get(pk=chat.pk)  # a message on its way comes before it, or not at all
    num_votes = chat.turns.filter(task__isnull=False).count()
    AuditEntry.objects.record(
        Verb.CHAT_DELETED, by=by, project=chat.project, subject=str(chat),
        versions=[version.name for version in chat.versions], votes=num_votes,
    )  # fmt: skip
    chat.delete()


@transaction.atomic
def note_reader(chat: Chat, *, by: User) -> None:
    """An admin who opens somebody else's chat leaves an entry in the audit log."""
    if by.pk != chat.by_id:
        AuditEntry.objects.record(Verb.CHAT_READ, by=by, project=chat.project, about=chat.by, subject=str(chat))


def close_lost(chat: Chat) -> int:
    """Answers whose worker is gone failed. Whoever looks at a chat closes them; the sweeper does where nobody looks."""
    return fail_lost_answers(chat=chat)


def fail_lost_answers(*, chat: Chat | None = None) -> int:
    """Returns how many there were, in this chat or in all."""
    lost = ChatAnswer.objects.lost()
    if chat is not None:
        lost = lost.filter(turn__chat=chat)
    return lost.update(status=ChatAnswer.Status.FAILED, error=LOST, finished_at=timezone.now())


def answers_to_send() -> list[int]:
    """Answers (ids) that wait although their message must have been lost; they count as sent from now on."""
    now = timezone.now()
    found = ChatAnswer.objects.unclaimed(now).order_by("queued_at").values_list("pk", flat=True)
    return [pk for pk in found if ChatAnswer.objects.unclaimed(now).filter(pk=pk).update(sent_at=now)]


def generate_config(answer: ChatAnswer) -> rlhf.GenerateConfig:
    """The config of the generate run that would write this answer; ValueError with a sentence."""
    return _config(answer.version, answer.settings)


def _config(version: ModelVersion, values: dict[str, Any]) -> rlhf.GenerateConfig:
    config = trainer_config(Run(project=version.project, kind=Run.Kind.GENERATE, model=version, config=values))
    assert isinstance(config, rlhf.GenerateConfig)
    return config


def _settings(version: ModelVersion) -> dict[str, Any]:
    """The version's own settings for writing answers, and a seed drawn for this one.

    A model with a short memory gives room to its answer.
    """
    values = version.presets.get(Run.Kind.GENERATE, {})
    if version.is_served:
        values = _served(version) | values
    values = {name: values[name] for name in SETTINGS if name in values} | {"seed": random.getrandbits(31)}
    checked = rlhf.to_dict(_config(version, values))
    room = _positions(version) - checked["max_response_tokens"]
    if 0 < room < checked["max_prompt_tokens"]:
        checked["max_prompt_tokens"] = room
    return {name: checked[name] for name in SETTINGS}


def _served(version: ModelVersion) -> dict[str, Any]:
    """How a version that lives on a server is asked: as by its newest generate run; before the first one, at the only
    server that there is. ValueError with a sentence where there are several.
    """
    newest = Run.objects.filter(kind=Run.Kind.GENERATE, model=version).order_by("-id").first()
    if newest:
        return dict(newest.config)
    if len(servers := django_settings.MODEL_SERVERS) == 1:
        return {"backend": "openai", "server": servers[0]}
    raise ValueError(
        _(
            "It is not known which server answers for %(model)s: start a generate run with it. Chats ask the same "
            "server."
        )
        % {"model": version}
    )


def _positions(version: ModelVersion) -> int:
    """Tokens that the model can look at; 0 where its files do not say."""
    file = version.folder / "config.json"
    if version.revision or not file.is_file():
        return 0
    said = json.loads(file.read_text(encoding="utf-8")).get("max_position_embeddings")
    return said if isinstance(said, int) else 0


def _judge(turn: ChatTurn, shown: list[ChatAnswer], *, by: User, strength: int, both_bad: bool, why: str) -> None:
    """The turn becomes a judged task, and its answers responses."""
    chat = turn.chat
    if chat.making is None:
        about = {"chat": chat.pk}
        chat.making = Making.objects.create(project=chat.project, kind=Making.CHAT, settings=about, created_by=by)
        chat.save(update_fields=["making"])
    left, right = (
        NewResponse(answer.text, answer.version.name, {"origin": Making.CHAT, "ended": answer.has_ended})
        for answer in shown
    )
    live = judge_live(
        chat.project, turn.messages, by=by, left=left, right=right, strength=strength, both_bad=both_bad,
        rationale=why, submission_key=uuid.uuid4(), making=chat.making,
    )  # fmt: skip
    turn.task = live.task
    for answer, response in zip(shown, (live.left, live.right), strict=True):
        answer.response = response
        answer.save(update_fields=["response"])


def _so_far(last: ChatTurn) -> list[dict[str, str]]:
    """The conversation up to and with the answer that it goes on with; ValueError while there is none."""
    answers = list(last.answers.all())
    chosen = last.chosen if last.chat.is_blind else answers[0] if answers[0].is_usable else None
    if chosen is None:
        if last.chat.is_blind and all(answer.is_usable for answer in answers):
            raise ValueError(_("Say first which of the two answers is better: the conversation goes on with it."))
        raise ValueError(_("An answer is not there yet, or failed: wait for it, or have it written again."))
    return [*last.messages, {"role": "assistant", "content": chosen.text}]


def _checked(text: str) -> str:
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise ValueError(_("The message is empty: write what you want to ask."))
    if len(text) > LONGEST_MESSAGE:
        raise ValueError(_("The message is too long: use at most %(most)d characters.") % {"most": LONGEST_MESSAGE})
    if "\0" in text:
        raise ValueError(_("The text contains a character that cannot be kept (NUL): remove it."))
    return text


def _refuse_too_many(chat: Chat, by: User) -> None:
    under_way = ChatAnswer.objects.unfinished().filter(turn__chat__by=by).exclude(turn__chat=chat)
    if under_way.values("turn__chat").distinct().count() >= MOST_AT_ONCE:
        raise ValueError(
            _("Answers are being written in %(most)d of your chats: wait for one of them, or stop it.")
            % {"most": MOST_AT_ONCE}
        )


def _own(chat: Chat, by: User) -> None:
    if chat.by_id != by.pk:
        raise PermissionDenied(_("This is somebody else's chat: you can read it, and start one of your own."))
