"""Bring prompts, preference pairs or judgments into a project from JSONL files (docs/formats.md).

python manage.py import_data --project support pairs.jsonl
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, get_args

from django.core.management.base import BaseCommand, CommandError

from annotation.intake import Format, ImportReport, import_lines
from annotation.models import Project


class Command(BaseCommand):
    help = (
        "Import JSONL files into a project: prompts with responses, preference pairs, or judgments. Bad lines are "
        "listed on stderr and make the exit code 1; the good ones are kept. The same file again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="a JSONL file, or - for standard input")
        parser.add_argument("--project", required=True, help="the project's address (its slug)")
        parser.add_argument("--format", choices=get_args(Format), default="auto", help="auto decides line by line")
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
        wanted = {
            "format": options["format"],
            "create_tasks": options["create_tasks"],
            "overlap": options["overlap"],
            "priority": options["priority"],
        }
        if name == "-":
            return import_lines(project, sys.stdin.buffer, source=options["source"] or "standard input", **wanted)
        try:
            with Path(name).open("rb") as lines:
                return import_lines(project, lines, source=options["source"] or Path(name).stem, **wanted)
        except OSError as error:
            raise CommandError(f"{name} cannot be read: {error.strerror}.") from error


def _told(report: ImportReport) -> str:
    told = (
        f"{report.num_lines} lines; new: {report.num_prompts} prompts, {report.num_responses} responses, "
        f"{report.num_tasks} tasks, {report.num_judgments} judgments"
    )
    return f"{told}; {report.num_known_judgments} judgments were there" if report.num_known_judgments else told
