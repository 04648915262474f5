"""The attacks of tests/test_foreign_text.py in a real browser, on every page that shows foreign text: none is run.

That test reads the pages' HTML; here Chromium decides, and our own scripts have had their turn with the texts too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.urls import reverse
from playwright.sync_api import Browser, Dialog, Page

from annotation.models import Project, User
from tests.browser.conftest import OpenPage
from tests.test_foreign_text import ATTACKS, MARK, make_hostile, pages_with_foreign_text

WATCH = f"""
window.wasRun = [];
window.{MARK} = () => window.wasRun.push('run');
document.addEventListener('securitypolicyviolation', (event) => window.wasRun.push('refused ' + event.blockedURI));
"""
"""What the attacks call, and what the browser says when it stopped one: neither may be needed."""


def test_the_watch_sees_an_attack(chromium: Browser) -> None:
    with chromium.new_context() as context:
        context.add_init_script(WATCH)
        page = context.new_page()
        page.goto("about:blank")
        page.set_content(ATTACKS[1])
        page.wait_for_function("window.wasRun.length > 0")


def test_nothing_foreign_is_run(open_page: OpenPage, live_server: Any, settings: Any, tmp_path: Path) -> None:
    settings.RUNS_DIR = settings.UPLOADS_DIR = tmp_path
    hostile = make_hostile(tmp_path)
    project, dana, pks = hostile
    visit(open_page(dana), [*pages_with_foreign_text(hostile), reverse("annotation:keys")])
    visit(open_page(User.objects.get(username="ann")), pages_of_annotator(project, pks["said_by_ann"]))


def pages_of_annotator(project: Project, said: int) -> list[str]:
    names = ("project", "annotate", "guidelines", "guidelines_versions", "judgments")
    return [
        reverse("annotation:home"),
        *(reverse(f"annotation:{name}", args=[project.slug]) for name in names),
        reverse("annotation:revise", args=[said]),
        reverse("annotation:account"),
    ]


def visit(page: Page, paths: list[str]) -> None:
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.add_init_script(WATCH)
    for path in paths:
        answer = page.goto(path)
        assert answer is not None and answer.status == 200, path
        policy = answer.headers["content-security-policy"]
        rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
        assert rules["script-src"] == "'self'", path
        page.wait_for_load_state("networkidle")
        for more in page.locator("details:not([open]) > summary").all():  # what is folded away is shown too
            if more.is_visible():
                more.click()
        assert page.evaluate("window.wasRun") == [], path
    assert dialogs == []
