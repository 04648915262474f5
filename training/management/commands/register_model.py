"""Register a model's folder as a base version that runs can start from and people's answers can come from.

    manage.py register_model training/starter/model --name starter --project support-replies
    manage.py register_model ORG/MODEL --revision COMMIT --name NAME --project SLUG      a hub's model, loaded by runs
    manage.py register_model llama3.1:8b --served --name NAME --project SLUG             a model that a server has

The folder is copied below var/models/, so the version keeps its weights whatever becomes of the folder. Registering the
same files under the same name again changes nothing.
"""

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.models import Project
from training import actions, artifacts
from training.models import ModelVersion
from training.models.versions import SERVED

COMMIT = re.compile(r"[0-9a-f]{40}")


class Command(BaseCommand):
    help = "Register a model's folder as a base version of a project."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", help="folder with config.json, a tokenizer and safetensors weights; or a hub's id")
        parser.add_argument("--revision", default="", help="for a hub's id: the commit to load, 40 hexadecimal digits")
        parser.add_argument("--served", action="store_true", help="a server has it: path is what it is called there")
        parser.add_argument("--name", required=True, help="the version's name, also the source label of its answers")
        parser.add_argument("--project", required=True, help="slug of the project")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}: create it first, or load_demo.")
        path, name, revision = options["path"], options["name"], options["revision"]
        if options["served"]:
            revision = SERVED
        elif revision and not COMMIT.fullmatch(revision):
            raise CommandError(
                f"--revision must be a commit (40 hexadecimal digits), because a branch moves: {revision}"
            )
        try:
            if revision:
                version = actions.register_version(
                    project, path=path, name=name, kind=ModelVersion.Kind.BASE, revision=revision
                )
            else:
                version = registered(project, path=Path(path), name=name)
        except ValueError as error:
            raise CommandError(str(error)) from None
        if options["verbosity"]:
            where = f"loaded from {version.location} at {revision}" if revision else f"kept in {version.location}"
            if version.is_served:
                where = f"answered for by the server that calls it {version.location}"
            self.stdout.write(f"{version.name} is a base model of {project}, {where}.")


def registered(project: Project, *, path: Path, name: str) -> ModelVersion:
    """The version of that name with these files; ValueError where the name stands for other files."""
    existing = project.model_versions.filter(name=name).first()
    if existing and path.is_dir() and existing.checksum == artifacts.checksum(path):
        return existing
    return actions.register_version(project, path=path, name=name, kind=ModelVersion.Kind.BASE)
