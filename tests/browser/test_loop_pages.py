"""The pages of the loop on real runs: what the real trainer wrote is drawn, counted, compared, led back to people."""

import csv
import re
import statistics
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from annotation.models import Judgment
from tests.browser.axe import FITS, check
from tests.browser.conftest import OpenPage
from tests.browser.loop_world import BY_ALICE, NUM_STEPS, LoopWorld, loop_world
from tests.browser.test_run_pages import CANVAS_HAS_INK
from training.doctor import examine
from training.models import Generation, Metric, Run
from training.reward_report import RewardReport
from training.win_rates import win_rates


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loop")


@pytest.fixture
def world(live_server: LiveServer, settings, folder: Path) -> LoopWorld:  # type: ignore[no-untyped-def]
    settings.VAR_DIR, settings.RUNS_DIR, settings.MODELS_DIR = folder, folder / "runs", folder / "models"
    return loop_world(folder)


def points(page: Page, source: str) -> Locator:
    return page.locator(f'[data-source="{source}"]')


def step(page: Page, title: str) -> Locator:
    """That of the dashboard's cards."""
    return page.locator(".loop > li", has=page.get_by_role("heading", name=title, exact=True))


def drawn(page: Page, *charts: str) -> None:
    expect(page.locator("#curves")).to_have_attribute("data-finished", "true")
    for chart in charts:
        assert page.locator(f'[data-chart="{chart}"]').evaluate(CANVAS_HAS_INK), chart


def test_the_dashboard_tells_what_the_runs_came_to(open_page: OpenPage, world: LoopWorld) -> None:
    page = open_page(world.person("carol"))
    page.goto("/dashboard/")
    labels, reward, policy = (step(page, title) for title in ("Labels", "Reward model", "Policy"))
    expect(labels.locator(".big")).to_contain_text(str(Judgment.objects.counted().count()))
    report = RewardReport.read(world.scorer.metrics)
    assert report
    expect(reward.locator(".big")).to_contain_text(f"{100 * report.accuracy.value:.1f}")
    last = Metric.objects.filter(run=world.run("policy")).latest("step").values["reward/mean"]
    shown = policy.locator(".big").inner_text().split()[0].replace("−", "-")
    newest = Run.objects.filter(kind="policy").latest("pk")
    lasts = {round(last, 2), round(Metric.objects.filter(run=newest).latest("step").values["reward/mean"], 2)}
    assert round(float(shown), 2) in lasts
    for curve in (reward, policy):
        assert len((curve.locator("polyline").get_attribute("points") or "").split()) > 1, "a curve"
    rate = next(iter(win_rates([world.round]).values()))
    assert rate.share, "the simulated annotators judged what was drawn by chance"
    row = page.locator("table tbody tr")
    expect(row).to_contain_text(f"{100 * rate.share.value:.1f}")
    check(page)
    row.get_by_role("link", name="Round 1").click()
    expect(page.locator(".stats")).to_contain_text(f"{rate.num_judged} judged")
    assert {badge.inner_text() for badge in page.locator(".pair-head .badge").all()} == {"by chance", "by doubt"}
    check(page)


def test_a_sweep_and_an_overlay_lay_real_runs_over_one_another(open_page: OpenPage, world: LoopWorld) -> None:
    page = open_page(world.person("carol"))
    page.goto("/runs/")
    seeds = list(world.sweep.runs.order_by("pk"))
    for run in (world.run("policy"), seeds[0]):
        page.locator(f"#choose-{run.pk}").focus()
        page.keyboard.press("Space")
    page.get_by_role("button", name="Overlay the chosen runs").click()
    drawn(page, "reward", "kl", "reward_by_kl")
    expect(points(page, f"reward:reward/mean:{seeds[0].pk}")).to_have_attribute("data-points", str(NUM_STEPS))
    check(page)

    page.goto(f"/runs/{seeds[0].pk}/")
    page.get_by_role("link", name=f"Sweep {world.sweep.pk}").click()
    drawn(page, "reward", "kl")
    for name in (*(str(run.pk) for run in seeds), "band"):
        expect(points(page, f"reward:reward/mean:{name}")).to_have_attribute("data-points", str(NUM_STEPS))
    in_numbers(page, "reward", seeds)
    page.get_by_label("Smoothing").select_option(index=1)
    page.wait_for_url(re.compile(r"smooth=0?\.\d"))
    drawn(page, "reward")
    check(page)


def in_numbers(page: Page, key: str, seeds: list[Run]) -> None:
    """The table of a sweep's chart opens by keyboard, and its file has what the seeds measured, and their mean."""
    chart = page.locator(f'[data-chart="{key}"]')
    chart.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(chart.locator("tbody tr")).to_have_count(NUM_STEPS)
    expect(chart.locator("thead")).to_contain_text("lowest")
    check(page)
    with page.expect_download() as download:
        chart.get_by_role("link", name="CSV").click()
    lines = list(csv.DictReader(download.value.path().read_text().splitlines()))
    for run in seeds:
        measured = [each.values["reward/mean"] for each in Metric.objects.filter(run=run).order_by("step")]
        assert [float(line[f"reward/mean:{run.pk}"]) for line in lines] == measured
    means = [statistics.fmean(float(line[f"reward/mean:{run.pk}"]) for run in seeds) for line in lines]
    assert [float(line["reward/mean:mean"]) for line in lines] == pytest.approx(means)


def test_the_diff_of_two_versions_and_its_way_through_the_review(open_page: OpenPage, world: LoopWorld) -> None:
    page = open_page(world.person("rita"))
    page.goto(f"{world.diff}&order=kl")
    answered = Generation.objects.filter(version=world.tuned).values("response__prompt").distinct().count()
    expect(page.locator(".stats")).to_contain_text(f"of {answered} prompts")
    assert page.locator(".diffs ins, .diffs del").count() > 0
    pair = page.locator(".diffs > li", has=page.locator(".likelier, .rarer")).first
    pair.locator(".tokens > summary").first.focus()
    page.keyboard.press("Enter")
    expect(pair.locator(".heat").first).to_be_visible()
    assert page.locator(".spread rect").count() > 10, "the changes of the reward as bars"
    check(page)

    page.get_by_role("button", name="Review the pair").click()
    page.get_by_role("link", name="To the comparison").click()
    page.get_by_role("link", name="In the review").first.click()
    vote_by_keyboard(page)
    page.get_by_role("link", name="In the model diff").click()
    expect(page.locator(".diffs > li:target")).to_be_in_viewport()


def vote_by_keyboard(page: Page) -> None:
    """A key chooses and does not send; Enter does, and again leads on."""
    expect(page.get_by_role("heading", name="Which answer is better?")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Which answer is better?")).to_be_visible()
    for key, value in (("1", "first"), ("7", "second"), ("t", "tie"), ("5", "second"), ("4", "tie")):
        page.keyboard.press(key)
        expect(page.locator(f"[name=choice][value={value}]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("Your vote: no difference.")
    page.keyboard.press("n")
    expect(page.get_by_label("Comment")).to_be_focused()
    page.keyboard.type("1 of 7 n")
    expect(page.get_by_label("Comment")).to_have_value("1 of 7 n")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Which answer is better?")).to_be_visible()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("Your vote:")


def test_a_version_in_its_family_its_stages_and_its_card(open_page: OpenPage, world: LoopWorld) -> None:
    page = open_page(world.person("carol"))
    page.goto("/models/")
    child = page.locator(".tree .tree .version", has_text=world.tuned.name)
    expect(child.get_by_role("link", name="compare with its parent")).to_be_visible()
    child.get_by_role("link", name=world.tuned.name, exact=True).click()
    page.get_by_label("Stage").select_option("approved")
    page.get_by_label("Reason").fill("Shorter, and as kind.")
    page.get_by_role("button", name="Move", exact=True).click()
    expect(page.locator(".stages", has_text="Shorter, and as kind.")).to_contain_text("carol")
    check(page)
    page.get_by_role("link", name="Model card").click()
    card = page.locator(".model-card")
    for said in ("1 person judged.", "2 programs judged", world.snapshot.content_hash[:12], "`kl_coef`".strip("`")):
        expect(card).to_contain_text(said)
    page.goto(f"/models/{world.scorer.pk}/card/")
    expect(card).to_contain_text("Accuracy on held-out pairs")
    check(page)


def test_from_a_curve_back_to_the_people_and_from_a_judgment_to_the_runs(open_page: OpenPage, world: LoopWorld) -> None:
    page = open_page(world.person("rita"))
    run = world.run("policy")
    page.goto(f"/runs/{run.pk}/")
    page.locator(f"a[href='/snapshots/{world.snapshot.pk}/']").first.click()
    page.get_by_role("link", name="alice", exact=True).click()
    expect(page.locator("main")).to_contain_text(f"{BY_ALICE} judgments of those that it used.")
    expect(page.locator("main")).to_contain_text("Fuller.")
    page.locator("tbody th a").first.click()
    used = page.locator("section", has_text="What learned from it")
    for each in (world.run("reward"), run):
        expect(used.locator(f"a[href='/runs/{each.pk}/']")).to_be_visible()
    page.locator(".pair header a").first.click()
    expect(page.get_by_role("heading", name="An answer and its origin")).to_be_visible()
    page.goto(f"/rounds/{world.round.pk}/")
    page.locator(".diffs .pair header a", has_text=world.tuned.name).first.click()
    expect(page.locator("main")).to_contain_text("What that version had learned from")
    expect(page.locator(f"main a[href='/runs/{world.run('reward').pk}/']")).to_be_visible()
    check(page)


def test_a_run_in_numbers_and_step_by_step(open_page: OpenPage, world: LoopWorld) -> None:
    page = open_page(world.person("carol"), expected=("data value for log axis",))  # a share that is 0 all the time
    run = world.run("policy")
    page.goto(f"/runs/{run.pk}/?x=time&scale=log")
    drawn(page, "reward", "kl")
    for finding in examine(run):
        expect(page.locator("section", has=page.locator("#doctor-title"))).to_contain_text(finding.sentence)
    samples, rewards, chart = (page.locator(each) for each in ("#samples", "#rewards", '[data-chart="reward"]'))
    assert samples.locator("ins, del").count(), "what the fixed prompts' answers have gained and lost"
    assert rewards.locator(".multiples svg").count() == NUM_STEPS
    chart.locator("summary").click()
    with page.expect_download() as download:
        chart.get_by_role("link", name="CSV").click()
    lines = list(csv.DictReader(download.value.path().read_text().splitlines()))
    measured = [each.values["reward/mean"] for each in Metric.objects.filter(run=run).order_by("step")]
    assert [float(line["reward/mean"]) for line in lines] == measured
    chart.locator("tbody th a").last.click()
    expect(page.locator("h1")).to_contain_text(f"step {NUM_STEPS}")
    expect(page.locator("main")).to_contain_text("What it had learned from")
    check(page)
    page.goto(f"/runs/{run.pk}/rewards/")
    expect(page.locator("thead th")).to_have_count(1 + NUM_STEPS)
    check(page)


def test_what_a_reward_model_is_worth_and_why_versions_stay(open_page: OpenPage, world: LoopWorld) -> None:
    page = open_page(world.person("carol"))
    page.goto(f"/runs/{world.run('reward').pk}/")
    expect(page.locator(".diagram circle").first).to_be_visible()
    page.get_by_role("link", name="Rerun with changes").click()
    expect(page.get_by_label("learning_rate", exact=True)).to_have_value("0.01")
    page.goto(f"/models/{world.starter.pk}/")
    page.get_by_text("Delete this version").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("body")).to_contain_text("cannot be deleted, because something depends on it")
    check(page)


def test_a_round_is_asked_from_the_form(open_page: OpenPage, world: LoopWorld) -> None:
    page = open_page(world.person("carol"))
    page.goto(f"/models/{world.tuned.pk}/round/")
    expect(page.locator(".stats")).to_contain_text("by one reward model, whose doubt can choose")
    page.get_by_label("Questions").fill("4")
    page.get_by_label("By chance, in %").fill("50")
    page.get_by_role("button", name="Ask people").click()
    expect(page.get_by_role("heading", name="Round 2")).to_be_visible()
    expect(page.locator(".diffs > li")).to_have_count(4)


def addresses(world: LoopWorld) -> list[str]:
    runs = [world.run(kind) for kind in ("reward", "policy")]
    versions = [world.scorer, world.tuned]
    return [
        "/dashboard/", "/runs/", "/models/", world.diff,
        f"/runs/sweeps/{world.sweep.pk}/", f"/runs/sweeps/{world.sweep.pk}/table/reward/",
        *(f"/runs/{run.pk}/" for run in runs), *(f"/models/{version.pk}/card/" for version in versions),
        f"/models/{world.tuned.pk}/", f"/rounds/{world.round.pk}/", f"/snapshots/{world.snapshot.pk}/",
    ]  # fmt: skip


def test_in_chinese_on_a_phone_and_on_paper(
    open_page: OpenPage, world: LoopWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page scrolls sideways, on paper nothing is left of menus and buttons, and every chart is there, whole."""
    monkeypatch.setenv("PLUMBLINE_LOCALE", "zh-CN")
    page = open_page(world.person("carol"), width=360, theme="dark")
    for path in addresses(world):
        page.goto(path)
        expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
        page.wait_for_function(FITS)
        if page.locator("#curves").count():
            expect(page.locator("#curves")).to_have_attribute("data-finished", "true")
        on_paper(page)


HAS_INK = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((value) => value > 0)"
PAPER = {"width": 703, "height": 1024}
"""A4 between its margins."""


def on_paper(page: Page) -> None:
    size = page.viewport_size
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size(PAPER)  # type: ignore[arg-type]
    expect(page.locator("main h1").first).to_be_visible()
    for gone in (".masthead nav", ".button", ".skip-link", "form.toolbar"):
        expect(page.locator(f"{gone}:visible")).to_have_count(0)
    page.wait_for_function(FITS)
    folds = page.locator("main details.foldable:not(:has(form), [hx-get])")
    for number in range(folds.count()):
        expect(folds.nth(number).locator("> :not(summary)").first).to_be_visible()
    charts = page.locator(".chart[data-drawn]")
    for number in range(charts.count()):
        picture = charts.nth(number).locator("canvas.on-paper")
        expect(picture).to_be_visible()
        assert picture.evaluate(HAS_INK), page.url
    page.emulate_media(media="screen")
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    expect(page.locator(".on-paper")).to_have_count(0)
    assert size
    page.set_viewport_size(size)
