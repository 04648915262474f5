"""Message trees as Open Assistant publishes them: conversations with a common beginning in one tree, answers ranked.

A node's place among its siblings is what people said, comparisons and rankings alike: the mean of what each vote says
of it and another answer (+1 better, 0 tied, −1 worse), the highest first. One ranking, or comparisons of every two
answers that do not contradict each other, come out in their own order.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from annotation.export.batches import batches
from annotation.models import Judgment, Project, Rank, Response, Task
from annotation.models.work import JudgmentQuerySet

Line = dict[str, Any]
Messages = list[dict[str, str]]


class _Answer(NamedTuple):
    id: int
    text: str
    source: str
    rank: int | None
    """0 is best; None: nobody said."""


class _Asked(NamedTuple):
    """A prompt with its answers."""

    id: int
    external_id: str
    messages: Messages
    metadata: dict[str, Any]
    answers: list[_Answer]

    @property
    def beginning(self) -> Messages:
        """What a tree's conversations have in common: the first user's turn, and the system's before it."""
        return self.messages[: 2 if self.messages[0]["role"] == "system" else 1]


def open_assistant(project: Project, *, include_simulated: bool) -> Iterator[Line]:
    """A tree for each beginning. Conversations that are none of turns and answers in turn have no tree."""
    asked = (prompt for prompt in _asked(project, include_simulated=include_simulated) if _alternates(prompt.messages))
    for beginning, of_tree in itertools.groupby(asked, key=lambda prompt: prompt.beginning):
        yield _tree(beginning, sorted(of_tree, key=lambda prompt: (len(prompt.messages), prompt.id)))


def _alternates(messages: Messages) -> bool:
    turns = messages[1:] if messages[0]["role"] == "system" else messages
    return all(turn["role"] == role for turn, role in zip(turns, itertools.cycle(("user", "assistant")), strict=False))


def _asked(project: Project, *, include_simulated: bool) -> Iterator[_Asked]:
    """Those of a tree one after the other."""
    votes = Judgment.objects.votes()
    votes = votes if include_simulated else votes.filter(annotator__is_simulated=False)
    rows = project.prompts.order_by("messages__0", "messages__1", "pk")
    for batch in batches(rows.values_list("pk", "external_id", "messages", "metadata")):
        prompt_ids = [row[0] for row in batch]
        scores = _scores(votes, prompt_ids)
        answers: dict[int, list[_Answer]] = defaultdict(list)
        found = Response.objects.filter(prompt__among=prompt_ids, parent__isnull=True).order_by("pk")
        for prompt_id, pk, text, source in found.values_list("prompt_id", "pk", "text", "source"):
            answers[prompt_id].append(_Answer(pk, text, source, rank=None))
        for pk, external_id, messages, metadata in batch:
            yield _Asked(pk, external_id, messages, metadata, list(_ranked(answers[pk], scores)))


def _ranked(answers: list[_Answer], scores: dict[int, float]) -> Iterator[_Answer]:
    places = sorted({scores[answer.id] for answer in answers if answer.id in scores}, reverse=True)
    for answer in answers:
        yield answer._replace(rank=places.index(scores[answer.id]) if answer.id in scores else None)


def _scores(votes: JudgmentQuerySet, prompt_ids: list[int]) -> dict[int, float]:
    """Response id to the mean of what was said of it, −1 … 1."""
    said: dict[int, list[int]] = defaultdict(list)
    of_these = votes.filter(task__prompt__among=prompt_ids)
    compared = of_these.filter(task__kind=Task.Kind.COMPARISON)
    for a, b, preferred in compared.values_list("task__response_a_id", "task__response_b_id", "preferred_id"):
        outcome = 0 if preferred is None else 1 if preferred == a else -1
        said[a].append(outcome)
        said[b].append(-outcome)
    ranks: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for judgment, response, rank in Rank.objects.filter(judgment__in=of_these).values_list(
        "judgment_id", "response_id", "rank"
    ):
        ranks[judgment].append((response, rank))
    for places in ranks.values():
        for (response, rank), (_other, other) in itertools.permutations(places, 2):
            said[response].append((other > rank) - (other < rank))
    return {response: round(sum(outcomes) / len(outcomes), 9) for response, outcomes in said.items()}


def _tree(beginning: Messages, prompts: list[_Asked]) -> Line:
    """prompts: the shorter before the longer, which go on from their answers."""
    root = _node(beginning[-1], f"prompt-{prompts[0].id}")
    for prompt in prompts:
        node = root
        for number, turn in enumerate(prompt.messages[len(beginning) :]):
            node = _reply(node, turn, f"prompt-{prompt.id}-{number}")
        if prompt.external_id:
            node["message_id"] = prompt.external_id
        node |= {"lang": prompt.metadata["lang"]} if isinstance(prompt.metadata.get("lang"), str) else {}
        for answer in prompt.answers:
            reply = {"role": "assistant", "content": answer.text}
            answered = _node(reply, f"response-{answer.id}")
            node["replies"].append(answered | {"model_name": answer.source, "rank": answer.rank})
    _name_parents(root)
    tree = next((prompt.metadata["tree"] for prompt in prompts if isinstance(prompt.metadata.get("tree"), str)), None)
    system = {"system": beginning[0]["content"]} if len(beginning) > 1 else {}
    return {"message_tree_id": tree or root["message_id"], "tree_state": "ready_for_export", **system, "prompt": root}


def _node(turn: dict[str, str], message_id: str) -> Line:
    role = "prompter" if turn["role"] == "user" else turn["role"]
    return {"message_id": message_id, "parent_id": None, "text": turn["content"], "role": role, "replies": []}


def _reply(node: Line, turn: dict[str, str], message_id: str) -> Line:
    """The reply with these words, which is there or is added."""
    new = _node(turn, message_id)
    replies: list[Line] = node["replies"]
    same = next((reply for reply in replies if (reply["role"], reply["text"]) == (new["role"], new["text"])), None)
    if same is None:
        replies.append(new)
    return same or new


def _name_parents(node: Line) -> None:
    """Last, for a prompt's own id takes the place of a made one."""
    open_nodes = [node]
    while open_nodes:
        parent = open_nodes.pop()
        for reply in parent["replies"]:
            reply["parent_id"] = parent["message_id"]
            open_nodes.append(reply)
