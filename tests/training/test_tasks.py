"""A run from claim to close with the real trainer on a two-layer model: well, cancelled, wrong, killed, taken over."""

import signal
import threading
import time
from collections.abc import Callable

import pytest
from django.db import connection

from tests.training.trainers import last_step, send, trainers_in, wait_until
from training import actions, tasks
from training.models import ModelVersion, Run, Snapshot
from training.rlhf.rundir import RunDir, read_events
from training.tasks import execute_run

Status = Run.Status
pytestmark = pytest.mark.django_db(transaction=True)


def types(run: Run) -> list[str]:
    return [event["type"] for event in read_events(RunDir(run.folder).events, 0)[0]]


def execute_and(run: Run, act: Callable[[], object], *, at_step: int = 12) -> None:
    """Execute the run here while another thread waits for a step and then acts."""
    failures: list[BaseException] = []

    def wait_and_act() -> None:
        try:
            wait_until(lambda: last_step(run.folder) >= at_step)
            act()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    execute_run(run.pk)
    thread.join()
    assert not failures, failures
    run.refresh_from_db()
    assert trainers_in(run.folder) == []


def hold_lock(run: Run, *, seconds: float) -> threading.Thread:
    """What an orphaned trainer does: it works in the run's folder a while longer."""

    def hold() -> None:
        with RunDir(run.folder).lock():
            is_held.set()
            time.sleep(seconds)
            (run.folder / "orphan_ended_at").write_text(str(time.time()))

    run.folder.mkdir(parents=True)
    is_held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    return thread


def test_it_works_and_a_second_delivery_does_nothing(sft_run: Run, base: ModelVersion) -> None:
    sft_run.config["max_steps"] = 60
    sft_run.save(update_fields=["config"])
    orphan = hold_lock(sft_run, seconds=2)
    execute_run(sft_run.pk)
    orphan.join()
    events = read_events(RunDir(sft_run.folder).events, 0)[0]
    assert events[0]["time"] > float((sft_run.folder / "orphan_ended_at").read_text())
    sft_run.refresh_from_db()
    assert (sft_run.status, sft_run.error) == (Status.SUCCEEDED, "")
    assert sft_run.step == sft_run.total_steps == 60
    assert sft_run.started_at and sft_run.finished_at and sft_run.summary
    first, last = sft_run.metrics.first(), sft_run.metrics.last()
    assert first and last and last.values["loss/train"] < first.values["loss/train"]
    version = ModelVersion.objects.get(run=sft_run)
    assert (version.parent, version.kind, version.name) == (base, "policy", f"sft-{sft_run.pk}")
    assert (version.folder / "model.safetensors").is_file()
    config = RunDir(sft_run.folder).read_config("sft")
    assert config.model == base.location and config.seed == 0

    size = (sft_run.folder / "events.jsonl").stat().st_size
    execute_run(sft_run.pk)
    assert (sft_run.folder / "events.jsonl").stat().st_size == size
    execute_run(sft_run.pk + 1)  # a run that is not there


def test_cancelled_while_running_and_resumed(sft_run: Run) -> None:
    execute_and(sft_run, lambda: actions.cancel_run(Run.objects.get(pk=sft_run.pk), by=None))
    assert sft_run.status == Status.CANCELLED and sft_run.error == ""
    assert 12 <= sft_run.step < 200
    assert not ModelVersion.objects.filter(run=sft_run).exists()
    actions.resume_run(sft_run, by=None)
    execute_run(sft_run.pk)
    sft_run.refresh_from_db()
    assert sft_run.status == Status.SUCCEEDED
    assert types(sft_run).count("resumed") == 1
    assert list(sft_run.metrics.values_list("step", flat=True)) == sorted(
        set(sft_run.metrics.values_list("step", flat=True))
    )


def test_a_trainer_that_does_not_listen_is_killed_and_counts_as_cancelled(sft_run: Run, settings) -> None:
    settings.RUN_CANCEL_GRACE = 0.2

    def hang_and_cancel() -> None:
        send(sft_run.folder, signal.SIGSTOP)
        actions.cancel_run(Run.objects.get(pk=sft_run.pk), by=None)

    execute_and(sft_run, hang_and_cancel, at_step=3)
    assert (sft_run.status, sft_run.error) == (Status.CANCELLED, "")


def test_cancelled_while_queued_never_starts(sft_run: Run) -> None:
    actions.cancel_run(sft_run, by=None)
    execute_run(sft_run.pk)
    sft_run.refresh_from_db()
    assert sft_run.status == Status.CANCELLED and not sft_run.folder.exists()


def test_killed_by_the_system_is_told_as_out_of_memory(sft_run: Run) -> None:
    execute_and(sft_run, lambda: send(sft_run.folder, signal.SIGKILL))
    assert sft_run.status == Status.FAILED
    assert "memory" in sft_run.error and "micro_batch_size" in sft_run.error
    assert types(sft_run)[-1] == "error"


def test_a_persons_error_is_their_sentence(sft_run: Run, frozen: Snapshot) -> None:
    with (frozen.folder / "demonstrations.jsonl").open("a") as file:
        file.write('{"id": "x", "prompt_id": "p", "prompt": [], "response": "y", "split": "train"}\n')
    execute_run(sft_run.pk)
    sft_run.refresh_from_db()
    assert sft_run.status == Status.FAILED
    assert sft_run.error == "demonstrations.jsonl line 25: a prompt must be a list of {role, content} messages."


def test_a_lost_snapshot_file_is_a_sentence(sft_run: Run, frozen: Snapshot) -> None:
    (frozen.folder / "demonstrations.jsonl").unlink()
    execute_run(sft_run.pk)
    sft_run.refresh_from_db()
    assert sft_run.status == Status.FAILED and "has lost its file" in sft_run.error


def test_a_worker_that_was_swept_leaves_the_run_to_its_successor(sft_run: Run) -> None:
    execute_and(sft_run, lambda: Run.objects.filter(pk=sft_run.pk).update(worker="successor:1"))
    assert (sft_run.status, sft_run.worker) == (Status.RUNNING, "successor:1")
    assert "done" not in types(sft_run)


def test_our_own_failure_leaves_no_trainer_behind(sft_run: Run) -> None:
    events = sft_run.folder / "events.jsonl"
    seen: list[int] = []

    def act() -> None:
        seen.extend(trainers_in(sft_run.folder))
        with events.open("a") as file:
            file.write("this is no event\n")

    with pytest.raises(ValueError, match="Expecting value"):
        execute_and(sft_run, act)
    wait_until(lambda: seen)
    assert trainers_in(sft_run.folder) == []
    sft_run.refresh_from_db()
    assert (sft_run.status, sft_run.error) == (
        Status.FAILED,
        "Plumbline itself failed here (JSONDecodeError): see its log.",
    )


@pytest.mark.parametrize(("code", "words"), [(-9, "memory runs out"), (-11, "ended by SIGSEGV"), (3, "exit code 3")])
def test_what_an_exit_code_means(code: int, words: str) -> None:
    assert words in tasks.unsaid(code)
