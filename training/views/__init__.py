"""The pages of runs and model versions, one file a page or a small family of pages."""

from training.views.chats import chat, chat_again, chat_delete, chat_say, chat_stop, chat_vote, chats
from training.views.compare import compare
from training.views.compare_verbs import compare_generate, compare_send, compare_tokens
from training.views.dashboard import dashboard
from training.views.freeze import freeze
from training.views.lineage import answer, snapshot, task_uses
from training.views.models import (
    model,
    model_card,
    model_card_file,
    model_delete,
    model_download,
    model_push,
    models,
    promote,
)
from training.views.overlay import overlay, sweep, sweep_curves
from training.views.overlay_numbers import overlay_csv, overlay_table, sweep_csv, sweep_table
from training.views.reviews import (
    review,
    review_close,
    review_comment,
    review_next,
    review_open,
    review_pair,
    review_vote,
)
from training.views.rounds import round_new, round_page
from training.views.run import run, run_cancel, run_csv, run_curves, run_fit, run_resume, run_table
from training.views.run_mail import run_mail
from training.views.run_rewards import run_rewards, run_rewards_csv
from training.views.run_step import run_step
from training.views.runs import run_new, runs

__all__ = [
    "answer",
    "chat",
    "chat_again",
    "chat_delete",
    "chat_say",
    "chat_stop",
    "chat_vote",
    "chats",
    "compare",
    "compare_generate",
    "compare_send",
    "compare_tokens",
    "dashboard",
    "freeze",
    "model",
    "model_card",
    "model_card_file",
    "model_delete",
    "model_download",
    "model_push",
    "models",
    "overlay",
    "overlay_csv",
    "overlay_table",
    "promote",
    "review",
    "review_close",
    "review_comment",
    "review_next",
    "review_open",
    "review_pair",
    "review_vote",
    "round_new",
    "round_page",
    "run",
    "run_cancel",
    "run_csv",
    "run_curves",
    "run_fit",
    "run_mail",
    "run_new",
    "run_resume",
    "run_rewards",
    "run_rewards_csv",
    "run_step",
    "run_table",
    "runs",
    "snapshot",
    "sweep",
    "sweep_csv",
    "sweep_curves",
    "sweep_table",
    "task_uses",
]
