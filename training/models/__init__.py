"""The rows of the training side: what a run trains on and writes (runs), and what comes of it (versions)."""

from training.models.runs import Metric, Run, Sample, Snapshot, SnapshotJudgment
from training.models.versions import Generation, ModelVersion, StageChange

__all__ = ["Generation", "Metric", "ModelVersion", "Run", "Sample", "Snapshot", "SnapshotJudgment", "StageChange"]
