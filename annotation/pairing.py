"""Which answers of a project's prompts are asked about, when an admin creates tasks from what is there.

Corrections are left out: they are kept as preferences over what they correct already.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from django.db import models
from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.models import Project, Response


class Pairing(models.TextChoices):
    ALL = "all", gettext_lazy("every pair of a prompt's answers")
    TWO = "two", gettext_lazy("two sources against each other")
    BASELINE = "baseline", gettext_lazy("every other source against one")


def sources(project: Project) -> list[tuple[str, int]]:
    """(source, its number of answers), most answers first."""
    found = answers(project).order_by().values_list("source").annotate(num=Count("pk")).order_by("-num", "source")
    return [(source, num) for source, num in found]


def answers(project: Project) -> models.QuerySet[Response]:
    return Response.objects.filter(prompt__project=project, parent__isnull=True)


def pairs(
    project: Project, *, pairing: Pairing, source: str = "", against: str = ""
) -> Iterator[tuple[Response, Response]]:
    """Pairs of answers to the same prompt, in the order of the prompts.

    Raises ValueError with a sentence when the sources that the pairing needs are not named.
    """
    if pairing != Pairing.ALL and not source:
        raise ValueError(_("Choose the source whose answers are compared."))
    if pairing == Pairing.TWO and (not against or against == source):
        raise ValueError(_("Choose two different sources."))
    return paired(project, pairing=pairing, source=source, against=against)


def paired(project: Project, *, pairing: Pairing, source: str, against: str) -> Iterator[tuple[Response, Response]]:
    rows = answers(project).order_by("prompt_id", "id").iterator(chunk_size=2000)
    for _prompt, group in itertools.groupby(rows, key=lambda response: response.prompt_id):
        for first, second in itertools.combinations(group, 2):
            both = {first.source, second.source}
            if (
                pairing == Pairing.ALL
                or (pairing == Pairing.TWO and both == {source, against})
                or (pairing == Pairing.BASELINE and source in both and len(both) == 2)
            ):
                yield first, second
