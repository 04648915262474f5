"""What tests of chats do with them: let models have answered, look at a page."""

from __future__ import annotations

from django.test import Client
from django.utils import timezone

from annotation.models import User
from training.models import Chat, ChatAnswer, ChatTurn


def answered(chat: Chat, *texts: str, status: str = "done") -> ChatTurn:
    """The last turn with these texts, of the chat's first and its second version."""
    turn = chat.turns.last()
    assert turn
    for version, text in zip(chat.versions, texts, strict=True):
        turn.answers.filter(version=version).update(
            status=status, text=text, has_ended=True, finished_at=timezone.now()
        )
    return turn


def shown(turn: ChatTurn) -> list[ChatAnswer]:
    """A's answer, and B's."""
    return sorted(turn.answers.select_related("version"), key=turn.side_of)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(chat: Chat, user: User, **headers: str) -> str:
    return browser(user).get(chat.get_absolute_url(), headers=headers).content.decode()
