"""Write a project's judgments, preferences or prompts as JSONL (docs/formats.md).

python manage.py export_data --project support --format preferences --output pairs.jsonl
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.consensus import CONSENSUSES
from annotation.export import FORMATS, lines
from annotation.models import Project


class Command(BaseCommand):
    help = "Export a project as JSONL, to a file or to standard output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="the project's address (its slug)")
        parser.add_argument("--format", choices=FORMATS, default="judgments")
        parser.add_argument("--output", default="-", help="a file, written whole or not at all; default: stdout")
        parser.add_argument("--grading", choices=["choice", "graded"], default="choice", help="of preferences' targets")
        parser.add_argument("--kappa", type=float, default=1.0, help="of the graded target σ(κ·s)")
        parser.add_argument(
            "--consensus", choices=CONSENSUSES, default="votes", help="how several people's votes on a pair become one"
        )
        parser.add_argument("--without-simulated", action="store_true", help="leave out what programs judged")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project “{options['project']}”.")
        try:
            rows = lines(
                project,
                format=options["format"],
                grading=options["grading"],
                kappa=options["kappa"],
                include_simulated=not options["without_simulated"],
                consensus=options["consensus"],
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        texts = (json.dumps(row, ensure_ascii=False, default=str) for row in rows)
        if options["output"] == "-":
            self._print(texts)
            return
        self._write(texts, Path(options["output"]))

    def _print(self, texts: Iterator[str]) -> None:
        try:
            for text in texts:
                self.stdout.write(text)
        except BrokenPipeError:
            # The reader (head, say) has enough. What Python flushes at its end must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _write(self, texts: Iterator[str], target: Path) -> None:
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        num = 0
        try:
            with beside.open("w", encoding="utf-8") as file:
                for num, text in enumerate(texts, start=1):  # noqa: B007  the last number is the count
                    file.write(text + "\n")
            beside.replace(target)
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}.") from error
        finally:
            beside.unlink(missing_ok=True)
        self.stderr.write(f"{num} lines in {target}")
