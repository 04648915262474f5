"""manage.py find_traces: which files that Plumbline wrote still name a person whose account was erased."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from annotation.actions.traces import files_naming

FOLDERS = ("uploads", "mail", "log", "snapshots", "runs", "models")
"""Of the data folder; the database's own files are not searched, for erasing looks after what is in it."""


class Command(BaseCommand):
    help = "List the files of the data folder that contain a name or an address, so that you can delete or edit them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("words", nargs="+", help="the person's user name, e-mail address, a sentence they wrote")

    def handle(self, *args: Any, **options: Any) -> None:
        words = [word for word in options["words"] if word.strip()]
        if not words:
            raise CommandError("Give a name, an address or a sentence to look for.")
        num = 0
        for name in FOLDERS:
            for path in files_naming(words, Path(settings.VAR_DIR) / name):
                self.stdout.write(str(path))
                num += 1
        self.stdout.write(f"{num} files in {settings.VAR_DIR} ({', '.join(FOLDERS)}) contain it.")
