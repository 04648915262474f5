"""What a run writes comes into the database the same from any offset, however often, whatever was torn or rewritten."""

import json
from pathlib import Path

import pytest
from django.template.loader import render_to_string

from training.follow import follow
from training.models import Metric, ModelVersion, Run, Sample
from training.rlhf.rundir import RunDir
from training.run_memory import memory_of

ITEM = {"prompt_id": "3", "prompt": [{"role": "user", "content": "Hi"}], "num_tokens": 2, "ended": True}


@pytest.fixture
def folder(run: Run) -> RunDir:
    run.folder.mkdir(parents=True)
    return RunDir(run.folder)


def picture(run: Run) -> dict[str, object]:
    """Everything that follow() fills."""
    run.refresh_from_db()
    return {
        "metrics": list(Metric.objects.filter(run=run).values_list("step", "time", "values")),
        "samples": list(Sample.objects.filter(run=run).values_list("step", "prompt_id", "text", "reward", "has_ended")),
        "versions": list(ModelVersion.objects.filter(run=run).values_list("name", "kind", "parent", "metrics")),
        "run": [run.step, run.total_steps, run.warnings, run.summary, run.error],
    }


def test_it_fills_every_row(run: Run, folder: RunDir) -> None:
    with folder.open_events() as events:
        events.progress(step=1, total_steps=4, seconds_left=9.5)
        events.metrics(step=1, values={"loss/train": 0.7})
        events.metrics(step=1, values={"validation/loss": 0.6})
        events.sample(step=1, items=[{**ITEM, "text": "a", "reward": 0.25, "kl": None}])
        events.warning("2 prompts were cut")
    assert len(follow(run)) == 5
    assert follow(run) == []
    assert [(m.step, m.values) for m in run.metrics.all()] == [(1, {"loss/train": 0.7, "validation/loss": 0.6})]
    assert [(s.prompt_id, s.text, s.reward, s.kl) for s in run.samples.all()] == [("3", "a", 0.25, None)]
    run.refresh_from_db()
    assert (run.step, run.total_steps, run.seconds_left) == (1, 4, 9.5)
    assert run.warnings == ["2 prompts were cut"]
    assert run.events_offset == folder.events.stat().st_size


def test_a_torn_line_waits_until_it_is_whole(run: Run, folder: RunDir) -> None:
    with folder.open_events() as events:
        events.progress(step=1, total_steps=4)
    line = json.dumps({"seq": 2, "time": 1.0, "type": "progress", "step": 2, "total_steps": 4}) + "\n"
    with folder.events.open("a") as file:
        file.write(line[:20])
    follow(run)
    assert run.step == 1
    with folder.events.open("a") as file:
        file.write(line[20:])
    follow(run)
    assert run.step == 2


def write_a_life(folder: RunDir, nano_policy: Path) -> None:
    """Killed in step 3 (torn line), resumed after step 2, failed, resumed again, finished."""
    with folder.open_events() as events:
        for step in (1, 2, 3):
            events.progress(step=step, total_steps=4)
            events.metrics(step=step, values={"loss/train": 1 / step, "speed/tokens_per_second": 100.0 + step})
        events.sample(step=3, items=[{**ITEM, "text": "c", "reward": 0.1}])
        events.warning("2 prompts were cut")
    with folder.events.open("ab") as file:
        file.write(b'{"seq": 8, "type": "metr')
    with folder.open_events() as events:
        events.resumed(step=2)
        events.warning("2 prompts were cut")
        events.metrics(step=3, values={"loss/train": 1 / 3, "speed/tokens_per_second": 55.0})
        events.error("loss is not finite at step 4: lower learning_rate", owner="user")
    with folder.open_events() as events:
        events.resumed(step=2)
        for step in (3, 4):
            events.progress(step=step, total_steps=4)
            events.metrics(step=step, values={"loss/train": 1 / step, "speed/tokens_per_second": 200.0})
        events.sample(step=3, items=[{**ITEM, "text": "d", "reward": 0.2}])
        (folder.path / "artifact").symlink_to(nano_policy)
        events.artifact(path="artifact", model_kind="policy", metrics={"perplexity": 3.5})
        events.done(status="succeeded", summary={"perplexity": 3.5})


def test_from_any_offset_and_in_any_portions_the_rows_are_the_same(
    run: Run, folder: RunDir, nano_policy: Path, settings, tmp_path
) -> None:
    write_a_life(folder, nano_policy)
    lines = folder.events.read_bytes().splitlines(keepends=True)
    follow(run)
    expected = picture(run)
    assert [step for step, _, _ in expected["metrics"]] == [1, 2, 3, 4]  # type: ignore[attr-defined]
    assert expected["metrics"][2][2]["speed/tokens_per_second"] == 200.0  # type: ignore[index]  # the last write wins
    assert expected["samples"] == [(3, "3", "d", 0.2, True)]
    assert expected["run"] == [4, 4, ["2 prompts were cut"], {"perplexity": 3.5}, ""]

    offsets = [sum(map(len, lines[:count])) for count in range(len(lines))]
    assert len(offsets) > 15
    for offset in offsets:  # read again from every line on
        run.events_offset = offset
        follow(run)
        assert picture(run) == expected, f"from offset {offset}"

    run.metrics.all().delete()
    run.samples.all().delete()
    whole = folder.events.read_bytes()
    run.events_offset, run.warnings, run.summary = 0, [], {}
    for cut in range(0, len(whole) + 40, 40):  # as it grows, in portions that end anywhere
        folder.events.write_bytes(whole[:cut])
        follow(run)
    assert picture(run) == expected


def test_a_model_may_write_any_byte(run: Run, folder: RunDir) -> None:
    with folder.open_events() as events:
        events.sample(step=1, items=[{**ITEM, "text": "a\0b", "reward": None}])
    follow(run)
    assert run.samples.get().text == "a\ufffdb"


def test_time_left_is_told_from_the_pace_where_the_trainer_does_not(run: Run, folder: RunDir) -> None:
    lines = [
        {"seq": 2 * step + part, "time": 1000.0 + 3 * step, "type": kind, "step": step, **rest}
        for step in (1, 2, 3)
        for part, (kind, rest) in enumerate(
            [("metrics", {"values": {"loss/train": 1.0}}), ("progress", {"total_steps": 9})]
        )
    ]
    folder.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    follow(run)
    assert run.seconds_left == pytest.approx(3.0 * 6)  # six steps are left at three seconds each


def test_an_error_of_ours_says_where_to_look(run: Run, folder: RunDir) -> None:
    with folder.open_events() as events:
        events.error("The trainer met an error of its own (KeyError).", owner="plumbline")
    follow(run)
    assert run.error.startswith("Plumbline itself failed here, not your data or settings. The trainer met an error")


def test_a_persons_error_is_overcome_by_the_next_attempt(run: Run, folder: RunDir) -> None:
    with folder.open_events() as events:
        events.error("preferences.jsonl line 3: target must be between 0 and 1", owner="user")
    follow(run)
    assert run.error == "preferences.jsonl line 3: target must be between 0 and 1"
    with folder.open_events() as events:
        events.progress(step=1, total_steps=2)
    follow(run)
    assert run.error == ""


def test_the_artifact_becomes_one_version_with_its_parent(run: Run, folder: RunDir, nano_policy: Path) -> None:
    write_a_life(folder, nano_policy)
    follow(run)
    version = ModelVersion.objects.get(run=run)
    assert (version.name, version.kind, version.parent) == (f"reward-{run.pk}", "policy", run.model)
    assert version.metrics == {"perplexity": 3.5}
    assert len(version.checksum) == 64 and version.stage == "candidate"


def test_a_taken_name_gets_a_number(run: Run, folder: RunDir, nano_policy: Path) -> None:
    ModelVersion.objects.create(project=run.project, name=f"reward-{run.pk}", kind="base", location="elsewhere")
    write_a_life(folder, nano_policy)
    follow(run)
    assert ModelVersion.objects.get(run=run).name == f"reward-{run.pk}-2"


def test_the_memory_of_the_last_life_stands_beside_what_was_estimated(run: Run, folder: RunDir) -> None:
    with folder.open_events() as events:
        events.memory(peak=900, estimated=1000)
    follow(run)
    assert memory_of(Run.objects.get()).apart == 0
    for peak, apart, words in ((1300, 30, "It took 30 % more"), (600, -40, "It took 40 % less")):
        with folder.open_events() as events:
            events.memory(peak=peak, estimated=1000)
        follow(run)
        found = memory_of(Run.objects.get())
        assert (found.taken, found.estimated, found.apart) == (peak, 1000, apart)
        assert words in render_to_string("training/_memory.html", {"memory": found})
