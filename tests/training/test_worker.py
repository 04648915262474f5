"""A real Celery worker on the real broker: killed with -9 and told to stop, the run goes on from its checkpoint."""

import datetime
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from tests.training.trainers import last_step, trainers_in, wait_until
from tests.training.workers import Start, workers_of
from training.models import ModelVersion, Run
from training.rlhf.rundir import RunDir, read_events
from training.tasks import execute_run, sweep_stale_runs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def start_worker(settings: Any, tmp_path: Path) -> Iterator[Start]:
    with workers_of("training", tmp_path, broker=django_settings.VALKEY) as start:
        yield start


def test_killed_worker_swept_resumed_then_told_to_stop_and_resumed_again(sft_run: Run, start_worker: Start) -> None:
    def reached(step: int) -> Callable[[], bool]:
        return lambda: last_step(sft_run.folder) >= step

    def status() -> str:
        sft_run.refresh_from_db()
        return sft_run.status

    first = start_worker()
    execute_run.delay(sft_run.pk)
    execute_run.delay(sft_run.pk)  # delivered twice
    wait_until(reached(25))
    (orphan,) = trainers_in(sft_run.folder)
    first.kill()
    first.wait()
    wait_until(lambda: trainers_in(sft_run.folder) == [])  # it noticed that its parent is gone
    assert status() == "running"
    assert not ModelVersion.objects.filter(run=sft_run).exists()

    Run.objects.filter(pk=sft_run.pk).update(heartbeat_at=timezone.now() - datetime.timedelta(minutes=2))
    sweep_stale_runs()
    assert status() == "queued" and sft_run.attempt == 1
    second = start_worker()
    step = last_step(sft_run.folder)
    wait_until(reached(step + 10))
    assert orphan not in trainers_in(sft_run.folder)

    second.send_signal(signal.SIGTERM)  # as the launcher does: checkpoint, back into the queue, no restart counted
    assert second.wait(timeout=180) == 0
    assert status() == "queued" and sft_run.attempt == 1
    assert trainers_in(sft_run.folder) == []

    start_worker()
    wait_until(lambda: status() == "succeeded")
    events = read_events(RunDir(sft_run.folder).events, 0)[0]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events].count("resumed") == 2
    assert sft_run.metrics.count() == len({event["step"] for event in events if event["type"] == "metrics"})
    assert ModelVersion.objects.get(run=sft_run).parent == sft_run.model
