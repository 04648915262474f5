"""Let simulated annotators judge a project's open tasks by the stated rule of annotation/simulation.py.

    manage.py simulate_annotators --project support-replies --annotators 3 --judgments 600 --seed 0

They take tasks from the same queue and judge through the same actions as people do. Their users carry is_simulated,
which pages, exports and snapshots show. What one of them says of a pair depends on the seed, their name and the texts
only, so the same project labelled in another order is labelled alike.
"""

import random
import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from annotation import actions, queue, simulation
from annotation.models import Assignment, AuditEntry, Membership, Project, Task, User, Verb


class Command(BaseCommand):
    help = "Simulated annotators judge open tasks of a project by a stated rule with Bradley-Terry noise."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="slug of the project")
        parser.add_argument("--annotators", type=int, default=3, help="how many simulated annotators (default 3)")
        parser.add_argument("--judgments", type=int, default=600, help="how many judgments in all (default 600)")
        parser.add_argument("--seed", type=int, default=0, help="another seed gives other annotators' noise")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            known = ", ".join(Project.objects.values_list("slug", flat=True)) or "none yet"
            raise CommandError(f"There is no project {options['project']!r}. Projects: {known}.")
        if options["annotators"] < 1 or options["judgments"] < 1:
            raise CommandError("--annotators and --judgments must be at least 1.")
        annotators = [simulated_annotator(project, number) for number in range(1, options["annotators"] + 1)]
        done = simulate(project, annotators=annotators, judgments=options["judgments"], seed=options["seed"])
        self.stdout.write(f"{done} simulated judgments by {len(annotators)} annotators in {project}.")
        if done < options["judgments"]:
            self.stdout.write("No open task is left for them: import more, or raise the overlap.")


@transaction.atomic
def simulated_annotator(project: Project, number: int) -> User:
    """The project's simulated annotator of that number, who cannot log in."""
    user, is_new = User.objects.get_or_create(username=f"simulated-{number}", defaults={"is_simulated": True})
    if not user.is_simulated:
        raise CommandError(f"The user {user.username!r} is a person: rename them, so that labels are not mixed up.")
    if is_new:
        user.set_unusable_password()
        user.save(update_fields=["password"])
        AuditEntry.objects.record(
            Verb.ACCOUNT_CREATED, by=None, project=project, about=user, command="simulate_annotators"
        )
    if not Membership.objects.filter(project=project, user=user).exists():
        actions.add_member(project, user=user)
    return user


def simulate(project: Project, *, annotators: list[User], judgments: int, seed: int) -> int:
    """In turns, until so many judgments are made or nobody finds a task; the number made."""
    done = 0
    at_work = list(annotators)
    while at_work and done < judgments:
        for user in list(at_work)[: judgments - done]:
            assignment = queue.claim(user, project=project)
            if assignment is None:
                at_work.remove(user)
                continue
            judge(assignment, by=user, seed=seed)
            done += 1
    return done


def judge(assignment: Assignment, *, by: User, seed: int) -> None:
    """Answer one task as the rule and this annotator's noise have it."""
    task = assignment.task
    prompt = str(task.prompt.messages[-1]["content"])
    first, second = task.response_a, task.response_b
    texts = [first.text] if second is None else [first.text, second.text]
    rng = random.Random("\0".join([str(seed), by.username, prompt, *texts]))
    if task.kind == Task.Kind.RANKING:
        felt = {response.pk: simulation.felt(prompt, response.text, rng=rng) for response in assignment.shown}
        best_first = sorted(felt, key=lambda pk: felt[pk], reverse=True)
        ranks = {pk: place for place, pk in enumerate(best_first, start=1)}
        actions.judge(assignment, by=by, submission_key=uuid.uuid4(), ranks=ranks)
        return
    if task.kind == Task.Kind.RATING or second is None:
        ratings = {
            criterion.pk: simulation.rate(
                prompt, first.text, criterion=criterion.key, low=1, high=criterion.scale_max, rng=rng
            )
            for criterion in task.project.criteria.all()
        }
        actions.judge(assignment, by=by, submission_key=uuid.uuid4(), ratings=ratings)
        return
    said = simulation.compare(prompt, first.text, second.text, rng=rng)
    better = None if said.strength == 0 else first if said.strength > 0 else second
    actions.judge(
        assignment,
        by=by,
        submission_key=uuid.uuid4(),
        preferred=better,
        strength=abs(said.strength),
        both_bad=said.both_bad,
    )
