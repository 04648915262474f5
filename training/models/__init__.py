"""The rows of the training side: what a run trains on and writes (runs), what comes of it (versions), what two versions
say of the answers of both (comparing), what a team decides (reviews), what people are asked about that (rounds), who
talked with which (chats), and who wants mails (mailing).
"""

from training.models.chats import Chat, ChatAnswer, ChatTurn
from training.models.comparing import Likelihood
from training.models.mailing import RunMail
from training.models.metrics import Metric, MetricBlock
from training.models.reviews import Review, ReviewComment, ReviewVote
from training.models.rounds import Round, RoundTask
from training.models.runs import Run, Sample, Snapshot, SnapshotJudgment, Sweep
from training.models.versions import Generation, HubPush, ModelVersion, StageChange

__all__ = [
    "Chat",
    "ChatAnswer",
    "ChatTurn",
    "Generation",
    "HubPush",
    "Likelihood",
    "Metric",
    "MetricBlock",
    "ModelVersion",
    "Review",
    "ReviewComment",
    "ReviewVote",
    "Round",
    "RoundTask",
    "Run",
    "RunMail",
    "Sample",
    "Snapshot",
    "SnapshotJudgment",
    "StageChange",
    "Sweep",
]
