"""The training pages in a real browser, filled from what the real trainer wrote on a model of two layers.

Curves are really drawn and grow while the events come in; axe finds nothing, in both themes; nothing breaks the content
security policy (open_page fails on any error or warning of the console).
"""

import shutil
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from annotation.models import Project, User
from tests.browser.axe import check
from tests.browser.conftest import OpenPage
from tests.training import rows
from training.follow import follow
from training.models import ModelVersion, Run, Snapshot
from training.rlhf.rundir import RunDir

NUM_STEPS = 6
CONFIG = {"max_prompt_tokens": 32, "max_response_tokens": 6, "device": "cpu"}
REWARD = {**CONFIG, "max_steps": 8, "epochs": 8, "batch_size": 8, "evaluate_every": 2, "learning_rate": 0.01}
POLICY = {
    **CONFIG, "num_steps": NUM_STEPS, "rollout_batch_size": 8, "sample_every": 2, "num_sample_prompts": 2,
    "replace_missing_eos": False,
}  # fmt: skip
CANVAS_HAS_INK = """
(chart) => {
  const all = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
  return all(chart).filter((e) => e.tagName === "CANVAS" && e.width > 0).some((canvas) => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some((value, index) => index % 4 === 3 && value > 0);
  });
}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of a reward run and of a policy run against it, written by the real command."""
    # Loads torch, which the other browser tests do not need.
    from tests.rlhf.nano import make_run, preference_lines, save_nano_policy, train  # noqa: PLC0415

    place = tmp_path_factory.mktemp("trained")
    model = str(save_nano_policy(place / "model"))
    pairs = preference_lines()
    reward = make_run(place / "reward", "reward", {**REWARD, "model": model}, preferences=pairs)
    train("reward", reward)
    prompts = [{"id": line["prompt_id"], "messages": line["prompt"], "split": line["split"]} for line in pairs]
    config = {**POLICY, "model": model, "reward_model": str(reward.artifact)}
    policy = make_run(place / "policy", "policy", config, prompts=prompts)
    train("policy", policy)
    return {"reward": reward.path, "policy": policy.path}


@pytest.fixture(autouse=True)
def own_folders(settings, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    settings.VAR_DIR, settings.RUNS_DIR, settings.MODELS_DIR = tmp_path, tmp_path / "runs", tmp_path / "models"


@pytest.fixture
def frozen(project: Project) -> Snapshot:
    return rows.snapshot(project, num_simulated=12)


@pytest.fixture
def starter(project: Project) -> ModelVersion:
    return rows.base(project)


def unfinished(folder: Path, *, model: ModelVersion, snapshot: Snapshot, config: dict[str, object]) -> Run:
    """A running run in whose folder everything lies but the events."""
    kind = folder.name
    run = rows.run(model.project, kind, status="running", model=model, snapshot=snapshot, step=0, total_steps=0)
    Run.objects.filter(pk=run.pk).update(config=config, heartbeat_at=timezone.now())
    run.refresh_from_db()
    shutil.copytree(folder, run.folder, ignore=shutil.ignore_patterns("events.jsonl", "model"))
    return run


def let_happen(run: Run, folder: Path, *, up_to_step: int | None = None) -> None:
    """Append the trainer's next events (up to the metrics of a step, else all) and follow them."""
    lines = RunDir(folder).events.read_text().splitlines(keepends=True)
    end = len(lines)
    if up_to_step is not None:
        marks = [n for n, line in enumerate(lines) if '"type": "metrics"' in line and f'"step": {up_to_step},' in line]
        end = marks[-1] + 1
    RunDir(run.folder).events.write_text("".join(lines[:end]))
    follow(run)
    if up_to_step is None:
        run.move(Run.Status.RUNNING, Run.Status.SUCCEEDED, finished_at=timezone.now())


def points(page: Page, source: str):  # type: ignore[no-untyped-def]
    return page.locator(f'[data-source="{source}"]')


def test_curves_are_drawn_and_grow_while_the_run_goes_on(
    open_page: OpenPage, trained: dict[str, Path], starter: ModelVersion, frozen: Snapshot, carol: User
) -> None:
    run = unfinished(trained["policy"], model=starter, snapshot=frozen, config=POLICY)
    page = open_page(carol)
    page.goto(f"/runs/{run.pk}/")
    expect(page.locator("#chart-reward")).to_contain_text("Nothing measured yet.")

    let_happen(run, trained["policy"], up_to_step=3)
    reward = points(page, "reward:reward/mean")
    expect(reward).to_have_attribute("data-points", "2")  # the newest step waits until the next has come
    expect(page.locator("#progress")).to_contain_text(f"of {NUM_STEPS}")
    assert page.locator('[data-chart="reward"]').evaluate(CANVAS_HAS_INK)
    expect(page.locator("#samples")).to_contain_text("step 2")

    let_happen(run, trained["policy"])
    expect(reward).to_have_attribute("data-points", str(NUM_STEPS))
    expect(page.locator("#curves")).to_have_attribute("data-finished", "true")
    expect(page.locator("#progress")).to_contain_text("succeeded")
    expect(page.locator("#progress")).to_contain_text(f"Model policy-{run.pk}")
    expect(page.locator("#log")).to_contain_text("done: succeeded")
    for chart in ("reward", "kl", "reward_by_kl", "length", "ended", "policy_loss", "value_loss", "entropy"):
        assert page.locator(f'[data-chart="{chart}"]').evaluate(CANVAS_HAS_INK), chart
    empty = page.locator(".canvas", has_text="Nothing measured yet.").count()
    assert empty == 0, "every chart of a policy run has a metric that the trainer writes"


def test_a_finished_run_is_asked_for_its_points_once(
    open_page: OpenPage, trained: dict[str, Path], starter: ModelVersion, frozen: Snapshot, carol: User
) -> None:
    run = unfinished(trained["reward"], model=starter, snapshot=frozen, config=REWARD)
    let_happen(run, trained["reward"])
    page = open_page(carol)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/runs/" in request.url else None)
    page.goto(f"/runs/{run.pk}/")
    expect(page.locator("#curves")).to_have_attribute("data-finished", "true")
    for chart in ("loss", "accuracy", "calibration_error"):
        assert page.locator(f'[data-chart="{chart}"]').evaluate(CANVAS_HAS_INK), chart
    expect(page.locator("#progress")).to_contain_text("On held-out pairs")
    page.wait_for_timeout(2500)
    assert [url.rsplit("/", 1)[1] for url in asked] == ["", "curves.json?x=&smooth=&after=-1"]


def test_the_table_of_a_chart_opens_by_keyboard(
    open_page: OpenPage, trained: dict[str, Path], starter: ModelVersion, frozen: Snapshot, carol: User
) -> None:
    run = unfinished(trained["policy"], model=starter, snapshot=frozen, config=POLICY)
    let_happen(run, trained["policy"])
    page = open_page(carol)
    page.goto(f"/runs/{run.pk}/")
    page.locator('[data-chart="kl"] summary').focus()
    page.keyboard.press("Enter")
    table = page.locator('[data-chart="kl"] tbody tr')
    expect(table).to_have_count(NUM_STEPS)
    check(page)


def test_what_the_trainer_wrote_is_accessible_in_both_themes_and_fits_a_phone(
    open_page: OpenPage, trained: dict[str, Path], starter: ModelVersion, frozen: Snapshot, carol: User
) -> None:
    page = open_page(carol)
    for path in addresses(starter, frozen, trained):
        page.goto(path)
        page.evaluate("() => document.querySelectorAll('main details').forEach((folded) => { folded.open = true; })")
        page.wait_for_load_state("networkidle")
        check(page)


def addresses(starter: ModelVersion, frozen: Snapshot, trained: dict[str, Path]) -> list[str]:
    """The pages that show it; the others of this side are visited with all pages (test_accessibility.py)."""
    runs = {kind: unfinished(trained[kind], model=starter, snapshot=frozen, config=CONFIG) for kind in trained}
    for kind, run in runs.items():
        let_happen(run, trained[kind])
    scorer, tuned = (ModelVersion.objects.get(run=runs[kind]) for kind in ("reward", "policy"))
    Run.objects.filter(pk=runs["policy"].pk).update(reward_model=scorer)
    return [
        *(f"/runs/{run.pk}/" for run in runs.values()),
        f"/models/{tuned.pk}/",
        f"/models/{scorer.pk}/",
    ]


def test_a_run_is_started_from_the_form_without_scripts(
    open_page: OpenPage, starter: ModelVersion, frozen: Snapshot, carol: User
) -> None:
    page = open_page(carol, javascript=False)
    page.goto(f"/runs/new/?project={starter.project.slug}&kind=reward")
    page.get_by_label("learning_rate", exact=True).fill("fast")
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator(".errorlist")).to_contain_text("learning_rate must be a number, got 'fast'.")
