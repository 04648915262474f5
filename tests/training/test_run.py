"""/runs/<pk>/: how a run goes, its charts, samples, settings; what a poll gets; stop and resume."""

import pytest
from django.conf import settings
from django.test import Client

from annotation.models import Project, User
from tests.training import rows
from tests.training.fence import Cast, check
from training.models import ModelVersion, Run, Sample

HTMX = {"HTTP_HX-Request": "true"}


@pytest.fixture
def tuned(project: Project) -> ModelVersion:
    base, frozen = rows.base(project), rows.snapshot(project, num_simulated=400)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    return rows.policy(project, model=base, scorer=scorer, snapshot=frozen)


@pytest.fixture
def running(tuned: ModelVersion) -> Run:
    assert tuned.run
    run = rows.run(
        tuned.project, "policy", status="running", model=tuned, reward_model=tuned.run.reward_model, step=20,
        total_steps=200, seconds_left=125.0,
    )  # fmt: skip
    rows.metrics(run, 20)
    rows.samples(run, [0, 10, 20])
    return run


def get(client: Client, user: User, address: str, **headers: str):  # type: ignore[no-untyped-def]
    client.force_login(user)
    return client.get(address, **headers)


def test_it_works(client: Client, bob: User, tuned: ModelVersion) -> None:
    page = get(client, bob, f"/runs/{tuned.run_id}/")
    assert page.status_code == 200
    text = page.content.decode()
    for part in ("Policy (PPO)", "succeeded", "400 simulated", "Reward against √KL", "Where is my parcel?", "kl_coef"):
        assert part in text
    assert 'hx-trigger="every 2s"' not in text, "a finished run is not asked again"
    assert "Rerun with changes" not in text, "a reviewer is not offered what only admins may do"


def test_fence(cast: Cast, running: Run) -> None:
    check(cast, f"/runs/{running.pk}/")


def test_missing(client: Client, bob: User) -> None:
    assert get(client, bob, "/runs/987654/").status_code == 404


def test_only_chart_pages_allow_inline_styles_and_none_allows_inline_scripts(
    client: Client, bob: User, tuned: ModelVersion
) -> None:
    chart_page = get(client, bob, f"/runs/{tuned.run_id}/")["Content-Security-Policy"]
    other_page = get(client, bob, "/runs/")["Content-Security-Policy"]
    assert "style-src 'self' 'unsafe-inline'" in chart_page.split("; ")
    assert "script-src 'self'" in chart_page.split("; ")
    assert "unsafe-inline" not in other_page


def test_a_reward_run_shows_its_report(client: Client, bob: User, tuned: ModelVersion) -> None:
    assert tuned.run
    assert tuned.run.reward_model
    text = get(client, bob, f"/runs/{tuned.run.reward_model.run_id}/").content.decode()
    shown = ("On held-out pairs", "81.0", "The longer one wins", "Calibration", "72.0", "96 without ties")
    people = ("Two labellers agree", "64.0", "The model agrees with one", "73.0", "45 held-out pairs", "98 labels")
    for part in (*shown, *people, "after the temperature 1.4", "With its temperature", "58.0", "apart by 0.21"):
        assert part in text
    assert "does not clearly beat" not in text


def test_a_reward_model_that_only_learned_length_says_so(client: Client, bob: User, project: Project) -> None:
    summary = {**rows.REWARD_SUMMARY, "length_baseline_accuracy": 0.8}
    run = rows.run(project, "reward", summary=summary)
    assert "does not clearly beat" in get(client, bob, f"/runs/{run.pk}/").content.decode()


def test_a_run_without_a_report_shows_what_it_measured(client: Client, bob: User, project: Project) -> None:
    run = rows.run(project, "evaluate", summary={"reward/mean": 0.25, "num_prompts": 12, "per_prompt": [1, 2]})
    text = get(client, bob, f"/runs/{run.pk}/").content.decode()
    for part in ("Measured at the end", "Reward</dt>", "0.25<", "num_prompts"):
        assert part in text
    assert "per_prompt" not in text


def test_a_failed_run_says_why_and_what_to_do(client: Client, dana: User, project: Project) -> None:
    run = rows.run(project, "sft", status="failed", error="learning_rate must be above 0, got -1.")
    text = get(client, dana, f"/runs/{run.pk}/").content.decode()
    assert "learning_rate must be above 0, got -1." in text
    assert "Resume from the last checkpoint" in text


def test_a_poll_gets_nothing_while_nothing_changed(client: Client, bob: User, running: Run) -> None:
    page = get(client, bob, f"/runs/{running.pk}/")
    state = page.context["state"]
    assert f"?seen={state}" in page.content.decode()
    assert get(client, bob, f"/runs/{running.pk}/?seen={state}", **HTMX).status_code == 204


def test_a_poll_gets_the_parts_that_changed(client: Client, bob: User, running: Run) -> None:
    state = get(client, bob, f"/runs/{running.pk}/").context["state"]
    Run.objects.filter(pk=running.pk).update(step=30)
    answer = get(client, bob, f"/runs/{running.pk}/?seen={state}", **HTMX)
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "step 30 of 200" in text
    assert "hx-swap-oob" not in text, "samples that did not change keep their place and their open parts"
    assert "<html" not in text
    Sample.objects.filter(run=running, step=20).update(step=30)
    assert 'id="samples"' in get(client, bob, f"/runs/{running.pk}/?seen={state}", **HTMX).content.decode()


def test_a_poll_of_a_run_that_has_ended_stops_the_asking(client: Client, bob: User, running: Run) -> None:
    state = get(client, bob, f"/runs/{running.pk}/").context["state"]
    Run.objects.filter(pk=running.pk).update(status="succeeded", step=200)
    answer = get(client, bob, f"/runs/{running.pk}/?seen={state}", **HTMX)
    assert answer.status_code == 286
    assert "every 2s" not in answer.content.decode()


def test_the_log_shows_events_and_stderr(client: Client, bob: User, running: Run) -> None:
    folder = settings.RUNS_DIR / str(running.pk)
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_text('{"seq": 1, "time": 3.0, "type": "checkpoint", "step": 5, "path": "x"}\n')
    (folder / "stderr.txt").write_text("a word from the trainer\n")
    text = get(client, bob, f"/runs/{running.pk}/").content.decode()
    assert "00:00:03  checkpoint at step 5" in text
    assert "a word from the trainer" in text


def test_queries_do_not_grow_with_the_run(
    client: Client, bob: User, running: Run, django_assert_max_num_queries
) -> None:  # type: ignore[no-untyped-def]
    rows.metrics(running, 10_000, first=21)
    rows.samples(running, list(range(30, 330, 10)))
    client.force_login(bob)
    with django_assert_max_num_queries(16):
        page = client.get(f"/runs/{running.pk}/")
    assert len(page.content) < 200_000


def test_stop(client: Client, dana: User, cast: Cast, running: Run) -> None:
    client.force_login(dana)
    answer = client.post(f"/runs/{running.pk}/cancel/", follow=True)
    running.refresh_from_db()
    assert running.is_cancel_requested
    assert "stops after this step" in answer.content.decode()
    check(cast, f"/runs/{running.pk}/cancel/", admin_only=True, method="post", allows="POST")


def test_stopping_a_finished_run_says_so(client: Client, dana: User, tuned: ModelVersion) -> None:
    client.force_login(dana)
    text = client.post(f"/runs/{tuned.run_id}/cancel/", follow=True).content.decode()
    assert "there is nothing to stop" in text


def test_resume(client: Client, dana: User, cast: Cast, project: Project, django_capture_on_commit_callbacks) -> None:  # type: ignore[no-untyped-def]
    run = rows.run(project, "sft", status="failed", error="the disk was full")
    client.force_login(dana)
    with django_capture_on_commit_callbacks() as to_send:
        client.post(f"/runs/{run.pk}/resume/")
    run.refresh_from_db()
    assert run.status == Run.Status.QUEUED
    assert run.error == ""
    assert len(to_send) == 1, "the workers are told, once the row is there"
    check(cast, f"/runs/{run.pk}/resume/", admin_only=True, method="post", allows="POST")


def test_resuming_a_running_run_says_so(client: Client, dana: User, running: Run) -> None:
    client.force_login(dana)
    assert "Only a failed or cancelled run" in client.post(f"/runs/{running.pk}/resume/", follow=True).content.decode()
