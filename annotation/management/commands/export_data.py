"""Write a project's judgments, preferences or prompts as a file (docs/formats.md).

python manage.py export_data --project support --format preferences --output pairs.jsonl
"""

from __future__ import annotations

import itertools
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from annotation.consensus import CONSENSUSES
from annotation.export import FILE_TYPES, FORMATS, LAYOUTS, FileType, check_type, encoded, lines
from annotation.models import AuditEntry, Project, Verb


class Command(BaseCommand):
    help = "Export a project as JSONL, JSON, CSV or Parquet, to a file or to standard output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="the project's address (its slug)")
        parser.add_argument("--format", choices=FORMATS, default="judgments")
        parser.add_argument("--output", default="-", help="a file, written whole or not at all; default: stdout")
        parser.add_argument("--type", choices=FILE_TYPES, help="default: by the output's ending, else jsonl")
        parser.add_argument("--layout", choices=LAYOUTS, default="conversational", help="how preferences are written")
        parser.add_argument("--margin", action="store_true", help="preferences with TRL's column of that name")
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
        file_type: FileType = options["type"] or type_of(options["output"])
        try:
            rows = lines(
                project,
                format=options["format"],
                grading=options["grading"],
                kappa=options["kappa"],
                include_simulated=not options["without_simulated"],
                consensus=options["consensus"],
                layout=options["layout"],
                margin=options["margin"],
            )
            check_type(options["format"], file_type)
        except ValueError as error:
            raise CommandError(str(error)) from error
        with transaction.atomic():
            AuditEntry.objects.record(
                Verb.EXPORTED, by=None, project=project, subject=options["format"], file_type=file_type
            )
        numbers = itertools.count()
        pieces = encoded(
            (row for row in rows if next(numbers) >= 0),
            format=options["format"],
            file_type=file_type,
            packed=options["output"].endswith(".gz"),
        )
        if options["output"] == "-":
            self._print(pieces)
            return
        self._write(pieces, Path(options["output"]))
        self.stderr.write(f"{next(numbers)} lines in {options['output']}")

    def _print(self, pieces: Iterator[bytes]) -> None:
        """As bytes to the terminal or pipe; a caller's own stream takes text."""
        binary = getattr(self.stdout, "buffer", None)
        try:
            for piece in pieces:
                if binary is not None:
                    binary.write(piece)
                else:
                    self.stdout.write(piece.decode(), ending="")
            if binary is not None:
                binary.flush()
        except BrokenPipeError:
            # The reader (head, say) has enough. What Python flushes at its end must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _write(self, pieces: Iterator[bytes], target: Path) -> None:
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
            beside.replace(target)
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}.") from error
        finally:
            beside.unlink(missing_ok=True)


def type_of(name: str) -> FileType:
    ending = Path(name.removesuffix(".gz")).suffix.removeprefix(".")
    return next((known for known in FILE_TYPES if known == ending), "jsonl")
