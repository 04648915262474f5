"""The settings in processes of their own: what a start refuses, and what it must not load."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


def check(code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    program = f"import django; django.setup(); {code}" if code else "import django; django.setup()"
    kept = {key: value for key, value in os.environ.items() if key not in {"DEBUG", "SECRET_KEY", "ALLOWED_HOSTS"}}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPO,
        env={**kept, "DJANGO_SETTINGS_MODULE": "config.settings", **environment},
        capture_output=True,
        text=True,
    )


def test_a_clone_starts_with_nothing_set() -> None:
    done = check("from django.conf import settings; print(settings.IS_LAPTOP, settings.DEBUG)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False"]


def test_the_laptop_key_is_refused_when_debug_is_off() -> None:
    done = check(DEBUG="0", ALLOWED_HOSTS="labels.example.org")
    assert done.returncode != 0
    assert "set SECRET_KEY" in done.stderr


def test_hosts_must_be_named_when_debug_is_off() -> None:
    done = check(DEBUG="0", SECRET_KEY="a long random text of our own")
    assert done.returncode != 0
    assert "set ALLOWED_HOSTS" in done.stderr


def test_a_flag_that_is_no_flag_is_refused() -> None:
    assert "DEBUG must be 1 or 0, got 'maybe'" in check(DEBUG="maybe").stderr


def test_another_database_engine_is_refused() -> None:
    assert "PostgreSQL" in check(DATABASE_URL="sqlite:///here.db").stderr


def test_manage_check_loads_no_heavy_library() -> None:
    """torch alone costs two seconds, and forking a process that has loaded it hangs."""
    code = (
        "from django.core.management import call_command; import sys; call_command('check');"
        "from django.urls import get_resolver; get_resolver().url_patterns;"
        "import config.celery; config.celery.app.loader.import_default_modules();"
        "print([name for name in ('torch', 'transformers', 'scipy', 'peft') if name in sys.modules])"
    )
    done = check(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("directive", ["script-src", "default-src"])
def test_scripts_come_from_us_alone(directive: str, settings) -> None:  # type: ignore[no-untyped-def]
    assert settings.CONTENT_SECURITY_POLICY["DIRECTIVES"][directive] == ["'self'"]


def test_the_deployment_check_finds_nothing() -> None:
    code = (
        "from django.core.management import call_command; call_command('check', '--deploy', '--fail-level', 'WARNING')"
    )
    key = "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    done = check(code, DEBUG="0", SECRET_KEY=key, ALLOWED_HOSTS="labels.example.org", BEHIND_PROXY="1")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize(("behind_proxy", "is_redirected"), [("1", "True"), ("0", "False")])
def test_plain_http_is_redirected_where_it_can_be_told_apart(behind_proxy: str, is_redirected: str) -> None:
    code = "from django.conf import settings; print(settings.SECURE_SSL_REDIRECT)"
    production = {"DEBUG": "0", "SECRET_KEY": "x" * 60, "ALLOWED_HOSTS": "labels.example.org"}
    assert check(code, **production, BEHIND_PROXY=behind_proxy).stdout.strip() == is_redirected
