"""A database of a benchmark's own, below a folder that is kept: the next run finds it and is there sooner."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import django


@contextlib.contextmanager
def own_database(folder: Path, **environment: str) -> Iterator[None]:
    """Set Django up on a database under this folder; one started here is stopped at the end."""
    os.environ |= {"PLUMBLINE_VAR": str(folder.resolve()), "LOG_LEVEL": "WARNING", **environment}
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.conf import settings  # noqa: PLC0415  after django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    started = settings.POSTGRES.start()
    try:
        settings.POSTGRES.create_database("plumbline")
        call_command("migrate", verbosity=0)
        call_command("createcachetable", verbosity=0)
        call_command("collectstatic", verbosity=0, interactive=False)
        yield
    finally:
        if started:
            settings.POSTGRES.stop()


def database_seconds() -> float:
    """Processor seconds of this connection's process in the database so far."""
    from django.db import connection  # noqa: PLC0415  after django.setup()

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        fields = Path(f"/proc/{cursor.fetchone()[0]}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
