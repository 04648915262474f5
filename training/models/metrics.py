"""What a run measured: all the values of a step in one row, and summaries of stretches of steps."""

from __future__ import annotations

from django.db import models

from training.models.runs import Run


class Metric(models.Model):
    """All the values a run wrote for one step: one row a step keeps 20 curves of 100,000 points affordable."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metrics")
    step = models.PositiveIntegerField()
    time = models.FloatField(help_text="Unix seconds.")
    values = models.JSONField()
    spreads = models.JSONField(
        null=True, help_text="By metric: counts of the step's single values in bins (training/rlhf/spread.py)."
    )

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="one_metric_row_per_step")]

    def __str__(self) -> str:
        return f"{self.run} step {self.step}"


class MetricBlock(models.Model):
    """The whole of STEPS steps in a row: what a screen shows of them. Filled with Metric, and from it alone.

    A curve of 100,000 points is read from 2,000 of these, not from 100,000 rows.
    """

    STEPS = 50

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="blocks")
    number = models.PositiveIntegerField(help_text="It holds the steps from number × STEPS on.")
    last_step = models.PositiveIntegerField(help_text="The last of them that measured anything.")
    last_time = models.FloatField(help_text="Unix seconds.")
    values = models.JSONField(help_text="By metric: [step, time, value] of the lowest and of the highest, mean, count.")

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="one_block_per_stretch")]

    def __str__(self) -> str:
        return f"{self.run} steps {self.number * self.STEPS} to {self.last_step}"
