"""A chat as its page shows it: every turn with its answers by side, what the person may do, what has changed."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cached_property

from django.utils import timezone
from django.utils.translation import gettext as _

from annotation.models import User
from training.actions.chats import LONGEST_MESSAGE, MOST_TURNS
from training.models import Chat, ChatAnswer, ChatTurn

NOBODY_COMES = datetime.timedelta(seconds=20)
"""So long the first of a queue may wait before the page says that no worker seems to be there."""


@dataclass(frozen=True)
class Side:
    """One answer, as one of the sides of its turn."""

    answer: ChatAnswer
    letter: str
    """A or B; empty where there is only one."""
    version: str
    """Empty while it is not to be known."""
    is_chosen: bool
    num_before: int = 0
    """Answers of others that are written first."""
    is_held: bool = False
    """Not shown yet, because the other one has not begun: a model that is loaded already would be known by it."""
    is_waiting: bool = False
    """In the queue; of two that are held, both as soon as one is."""

    @property
    def is_alone(self) -> bool:
        """Whether it waits although nothing is before it: perhaps no worker is there."""
        return self.is_waiting and not self.num_before and timezone.now() - self.answer.queued_at > NOBODY_COMES

    @property
    def reason(self) -> str:
        """Why it failed, in the reader's language where the sentence is one of ours."""
        return _(self.answer.error) if self.answer.error else ""


@dataclass(frozen=True)
class Turn:
    row: ChatTurn
    sides: list[Side]
    is_last: bool

    @property
    def is_live(self) -> bool:
        return any(not side.answer.is_finished for side in self.sides)

    @property
    def is_usable(self) -> bool:
        return all(side.answer.is_usable for side in self.sides)

    @property
    def is_same(self) -> bool:
        """Two answers of which neither can be the better one."""
        return len({side.answer.text for side in self.sides}) == 1

    @property
    def asks_for_vote(self) -> bool:
        return self.row.chat.is_blind and self.is_usable and not self.row.is_voted

    @property
    def is_over(self) -> bool:
        """Whether the conversation can go on from it."""
        return self.row.is_voted or (self.is_usable and not self.row.chat.is_blind)

    @property
    def phases(self) -> str:
        """What decides which buttons there are."""
        statuses = ("held" if side.is_held else side.answer.status for side in self.sides)
        return "-".join([str(self.row.number), *statuses, self.row.choice])

    @property
    def state(self) -> str:
        """Changes whenever what is shown does."""
        shown = (
            f"{0 if side.is_held else len(side.answer.text)}.{side.num_before}.{side.is_waiting:d}{side.is_alone:d}"
            for side in self.sides
        )
        return "~".join([self.phases, *shown])

    @property
    def announcement(self) -> str:
        """What a screen reader says when an answer is there; never the text as it grows."""
        if any(side.answer.status == ChatAnswer.Status.FAILED for side in self.sides):
            return _("An answer failed.")
        if self.asks_for_vote:
            return _("Both answers are there. Say which is better.")
        if not self.is_live:
            return _("The answer is there.")
        done = [side.letter for side in self.sides if side.answer.is_finished and not side.is_held]
        return _("Answer %(letter)s is there.") % {"letter": done[0]} if done else ""


class ChatPage:
    """A few queries, however long the chat is."""

    longest = LONGEST_MESSAGE

    def __init__(self, chat: Chat, person: User) -> None:
        self.chat = chat
        self.is_own = chat.by_id == person.pk

    @cached_property
    def turns(self) -> list[Turn]:
        rows = self.chat.turns.filter(number__lt=self.last.row.number).prefetch_related("answers")
        return [*(self._turn(row, is_last=False) for row in rows), self.last]

    @cached_property
    def last(self) -> Turn:
        """Alone it is enough for a page that asks again."""
        row = self.chat.turns.prefetch_related("answers").latest("number")
        return self._turn(row, is_last=True)

    @property
    def may_say(self) -> bool:
        return self.is_own and self.last.is_over and not self.is_full

    @property
    def is_full(self) -> bool:
        return self.last.row.number >= MOST_TURNS

    @property
    def next_number(self) -> int:
        return self.last.row.number + 1

    def _turn(self, row: ChatTurn, *, is_last: bool) -> Turn:
        names = {version.pk: version.name for version in self.chat.versions}
        answers = sorted(row.answers.all(), key=row.side_of)
        is_held = self.chat.is_blind and not all(answer.text or answer.is_finished for answer in answers)
        waits = [answer.status == ChatAnswer.Status.WAITING for answer in answers]
        num_before = [before(answer) if waiting else 0 for answer, waiting in zip(answers, waits, strict=True)]
        is_known = row.is_voted or not self.chat.is_blind
        sides = [
            Side(
                answer,
                letter="AB"[side] if self.chat.is_blind else "",
                version=names[answer.version_id] if is_known else "",
                is_chosen=row.chosen_id == answer.pk,
                num_before=max(num_before) if is_held else num_before[side],
                is_held=is_held,
                is_waiting=any(waits) if is_held else waits[side],
            )
            for side, answer in enumerate(answers)
        ]
        return Turn(row, sides, is_last)


def before(answer: ChatAnswer) -> int:
    """How many answers to other turns stand before it in the queue."""
    ahead = ChatAnswer.objects.waiting().filter(queued_at__lt=answer.queued_at)
    return ahead.exclude(turn=answer.turn_id).count()
