"""The import page drives its file by itself, and goes on after the server was gone."""

import json
from pathlib import Path
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from playwright.sync_api import expect

from annotation.actions.imports import keep_upload, start_import
from annotation.models import Project, User
from tests.browser.conftest import OpenPage


def test_a_step_that_fails_is_said_and_taken_again(
    open_page: OpenPage, project: Project, carol: User, settings: Any, tmp_path: Path
) -> None:
    settings.UPLOADS_DIR = tmp_path
    data = json.dumps({"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green."}).encode()
    row = start_import(keep_upload(project, SimpleUploadedFile("a.jsonl", data), by=carol).pk, by=carol, format="auto")
    page = open_page(carol, expected=("net::ERR_", "status of 500", "htmx:", "Response Status Error"))
    failing = [lambda route: route.abort(), lambda route: route.fulfill(status=500, body="no")]
    page.route("**/step/", lambda route: failing.pop(0)(route) if failing else route.continue_())
    page.goto(f"/projects/support-replies/import/{row.pk}/")
    expect(page.locator("#trouble")).to_contain_text("The connection to the server was lost.")
    expect(page.locator("#trouble")).to_contain_text("tried again every few seconds")
    expect(page.locator("#progress .badge")).to_have_text("done")
    expect(page.locator("#trouble")).to_be_hidden()
    row.refresh_from_db()
    assert (row.status, row.num_judgments) == ("done", 1)
