"""Verbs of training. What a person gave wrongly raises ValueError with a sentence that says what to change."""

from training.actions.chats import (
    answers_to_send,
    close_lost,
    delete_chat,
    fail_lost_answers,
    generate_config,
    note_reader,
    say,
    start_chat,
    stop_turn,
    vote,
    write_again,
)
from training.actions.ending import end_run
from training.actions.publishing import publish_responses, send_to_annotators, storable
from training.actions.reviews import close_review, comment, in_own_order, is_swapped, open_review, vote_on_pair
from training.actions.rounds import publish_round, why_nothing
from training.actions.runs import (
    MOST_SEEDS,
    POLICIES,
    cancel_run,
    fail_stale_runs,
    requeue,
    rerun,
    resume_run,
    start_run,
    start_sweep,
    trainer_config,
)
from training.actions.versions import delete_version, dependents, promote, push_to_hub, register_version

__all__ = [
    "MOST_SEEDS",
    "POLICIES",
    "answers_to_send",
    "cancel_run",
    "close_lost",
    "close_review",
    "comment",
    "delete_chat",
    "delete_version",
    "dependents",
    "end_run",
    "fail_lost_answers",
    "fail_stale_runs",
    "generate_config",
    "in_own_order",
    "is_swapped",
    "note_reader",
    "open_review",
    "promote",
    "publish_responses",
    "publish_round",
    "push_to_hub",
    "register_version",
    "requeue",
    "rerun",
    "resume_run",
    "say",
    "send_to_annotators",
    "start_chat",
    "start_run",
    "start_sweep",
    "stop_turn",
    "storable",
    "trainer_config",
    "vote",
    "vote_on_pair",
    "why_nothing",
    "write_again",
]
