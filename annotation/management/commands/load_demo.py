"""Load the demo: the project `support-replies`, three logins, and pairs of replies that the starter model wrote.

    manage.py load_demo                        what is there already stays as it is
    manage.py load_demo --unless-any-project   does nothing once there is a project (a server's first start)

The logins' passwords are random and printed once, so this is refused outside of one person's own machine (DEBUG off).
"""

import json
import secrets
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from annotation import actions, intake
from annotation.models import AuditEntry, Project, Response, Role, User, Verb

SLUG = "support-replies"
DEMO = Path(__file__).parents[2] / "demo"
CAST = {"alice": Role.ANNOTATOR, "bob": Role.REVIEWER, "carol": Role.ADMIN}
CRITERIA = (
    ("helpful", "Helpful", "Does it move the customer's matter forward?", "does nothing", "solves it"),
    ("polite", "Polite", "Would you mind being written to like this?", "rude", "courteous"),
    (
        "correct",
        "Correct",
        "Is it about what the customer asked, and nothing else?",
        "another matter",
        "this very matter",
    ),
)


class Command(BaseCommand):
    help = "Load the demo project, its logins and its tasks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--unless-any-project", action="store_true", help="do nothing once there is a project")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["unless_any_project"] and Project.objects.exists():
            return
        if not settings.IS_LAPTOP:
            raise CommandError(
                "The demo's logins are for one person's own machine: DEBUG is off here, so it is refused."
            )
        passwords = load()
        self.stdout.write(f"The demo project “Support replies” is at /projects/{SLUG}/.")
        for username, password in passwords.items():
            self.stdout.write(f"  {username:6} {CAST[username].label:10} password: {password}")
        if passwords:
            self.stdout.write("These passwords are shown once. A lost one: manage.py changepassword NAME.")


@transaction.atomic
def load() -> dict[str, str]:
    """Everything of the demo that is not there yet; the new logins with their passwords."""
    project = Project.objects.filter(slug=SLUG).first() or create_project()
    passwords = {}
    for username, role in CAST.items():
        user, is_new = User.objects.get_or_create(username=username)
        if is_new:
            # Carol also runs the site: she may make projects and open Django's own admin.
            user.is_staff = user.is_superuser = role == Role.ADMIN
            passwords[username] = secrets.token_hex(6)
            user.set_password(passwords[username])
            user.save()
            AuditEntry.objects.record(Verb.ACCOUNT_CREATED, by=None, about=user, command="load_demo")
            actions.add_member(project, user=user, role=role)
    lines = (DEMO / "support_replies.jsonl").read_text(encoding="utf-8").splitlines()
    add_tasks(project, intake.add_answered_prompts(project, [read_line(line) for line in lines]))
    return passwords


def create_project() -> Project:
    project = actions.create_project(
        "Support replies",
        slug=SLUG,
        by=None,
        description="Replies to the customers of a small mail-order shop: which one serves the customer better?",
        guidelines=(DEMO / "guidelines.md").read_text(encoding="utf-8"),
        overlap=2,
    )
    for key, name, description, low, high in CRITERIA:
        actions.add_criterion(project, key=key, name=name, description=description, low_anchor=low, high_anchor=high)
    return project


def read_line(text: str) -> tuple[str, list[intake.NewResponse]]:
    """One prompt with its replies."""
    line = json.loads(text)
    return line["prompt"], [intake.NewResponse(reply["text"], reply["source"]) for reply in line["responses"]]


def add_tasks(project: Project, answered: Sequence[list[Response]]) -> None:
    """Comparisons first, so that a first visitor meets them, then a few ratings, then the rest.

    150 pairs are asked of two people, so that agreement can be seen; the others of one, because a new pair teaches a
    reward model more than a second opinion on an old one. 300 such pairs make 600 judgments in all; 50 are left over.
    """
    pairs = [(first, second) for first, second in answered]
    intake.add_comparisons(project, pairs[:40], overlap=2, priority=30)
    intake.add_ratings(project, [first for first, _ in pairs[40:52]], overlap=1, priority=20)
    intake.add_comparisons(project, pairs[40:150], overlap=2, priority=10)
    intake.add_comparisons(project, pairs[150:450], overlap=1, priority=0)
    intake.add_comparisons(project, pairs[450:], overlap=1, priority=-10)
