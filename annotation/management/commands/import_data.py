"""Bring prompts, preference pairs or judgments into a project from files (docs/formats.md).

python manage.py import_data --project support pairs.jsonl
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.intake import (
    FILE_TYPES,
    FORMATS,
    ImportReport,
    Options,
    detect_type,
    import_records,
    opened,
    read_file,
    read_jsonl,
)
from annotation.models import Project


class Command(BaseCommand):
    help = (
        "Import files into a project: prompts with responses, preference pairs, or judgments. Bad lines are "
        "listed on stderr and make the exit code 1; the good ones are kept. The same file again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "files", nargs="+", metavar="FILE", help="JSONL, JSON, CSV or Parquet; - is JSONL from standard input"
        )
        parser.add_argument("--project", required=True, help="the project's address (its slug)")
        parser.add_argument("--format", choices=FORMATS, default="auto", help="auto decides line by line")
        parser.add_argument("--type", choices=FILE_TYPES, help="what the files are; default: seen from their beginning")
        parser.add_argument(
            "--map", action="append", default=[], metavar="KEY=COLUMN", help="our key, and the column that holds it"
        )
        parser.add_argument("--source", default="", help="label of responses that name no source; default: file name")
        parser.add_argument("--create-tasks", choices=["comparison", "rating"], default="", help="ask people about it")
        parser.add_argument("--overlap", type=int, help="people who judge each task in all; default: the project's")
        parser.add_argument("--priority", type=int, default=0, help="higher is asked first")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project “{options['project']}”.")
        if options["overlap"] is not None and options["overlap"] < 1:
            raise CommandError("--overlap must be at least 1.")
        num_bad = 0
        for name in options["files"]:
            report = self._import(project, name, options)
            for error in report.errors:
                self.stderr.write(f"{name}, {error}")
            num_bad += len(report.errors)
            self.stdout.write(f"{name}: {_told(report)}")
        if num_bad:
            raise CommandError(f"Lines left out: {num_bad}. The others are in.")

    def _import(self, project: Project, name: str, options: dict[str, Any]) -> ImportReport:
        wanted = Options(
            source=options["source"] or ("standard input" if name == "-" else Path(name).name.split(".")[0]),
            format=options["format"],
            create_tasks=options["create_tasks"],
            overlap=options["overlap"],
            priority=options["priority"],
            mapping=mapping_of(options["map"]),
        )
        if name == "-":
            return import_records(project, read_jsonl(sys.stdin.buffer), wanted)
        try:
            with opened(Path(name)) as (file, head):
                records = read_file(file, options["type"] or detect_type(head))
                return import_records(project, records, wanted)
        except OSError as error:
            raise CommandError(f"{name} cannot be read: {error.strerror}.") from error


def mapping_of(pairs: list[str]) -> dict[str, str]:
    if not all("=" in pair for pair in pairs):
        raise CommandError("--map takes KEY=COLUMN, for example --map prompt=question.")
    return dict(pair.split("=", 1) for pair in pairs)


def _told(report: ImportReport) -> str:
    told = (
        f"{report.num_lines} lines; new: {report.num_prompts} prompts, {report.num_responses} responses, "
        f"{report.num_tasks} tasks, {report.num_judgments} judgments"
    )
    return f"{told}; {report.num_known_judgments} judgments were there" if report.num_known_judgments else told
