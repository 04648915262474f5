"""Static files as a team's server has them (DEBUG=0): collected once, under names that change with their content."""

import re
from pathlib import Path
from typing import Any

from django.conf import settings as current
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import Client

NAMED = re.compile(r"""{% static ["']([^"']+)["']""")


def test_every_file_that_a_page_names_is_collected(db: None, settings: Any, tmp_path: Path) -> None:
    """A name that is missing there is a 500 on a server, and nothing at all on a laptop."""
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **current.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }
    call_command("collectstatic", interactive=False, verbosity=0)

    pages = [file.read_text(encoding="utf-8") for file in (current.BASE_DIR / "templates").rglob("*.html")]
    names = {name for page in pages for name in NAMED.findall(page)}
    assert len(names) >= 8, names
    for name in names:
        assert (tmp_path / staticfiles_storage.stored_name(name)).is_file()
    page = Client().get("/login/").content.decode()
    addresses = re.findall(r'(?:href|src)="/static/([^"]+)"', page)
    assert addresses
    assert all(re.search(r"\.[0-9a-f]{12}\.", address) and (tmp_path / address).is_file() for address in addresses)
