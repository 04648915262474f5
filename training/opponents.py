"""Whom a version's answers are compared with when they go back to people."""

from __future__ import annotations

from training.models import Generation, ModelVersion


def opponents(version: ModelVersion) -> list[tuple[str, ModelVersion]]:
    """(why, version) each, the usual one first: in production, the baseline, the parent, itself, the others.

    Versions that have written no answers are left out, but for the first three, whose page says what is missing.
    """
    versions = ModelVersion.objects.filter(project=version.project).policies()
    by_pk = {each.pk: each for each in versions.order_by("-id")}
    in_production = [each for each in by_pk.values() if each.stage == ModelVersion.Stage.PRODUCTION]
    line = _ancestors(version, by_pk)
    found = [("production", each) for each in in_production if each != version]
    found += [("base", line[-1]), ("parent", line[0])] if line else []
    found.append(("itself", version))
    have_written = Generation.objects.filter(version__in=by_pk).values_list("version", flat=True).distinct()
    writers = set(have_written)
    found += [
        ("other", each) for each in by_pk.values() if each.pk in writers and each.stage != ModelVersion.Stage.ARCHIVED
    ]
    first: dict[int, tuple[str, ModelVersion]] = {}
    for why, each in found:
        first.setdefault(each.pk, (why, each))
    return list(first.values())


def _ancestors(version: ModelVersion, by_pk: dict[int, ModelVersion]) -> list[ModelVersion]:
    """Its parent, that one's parent …, to the base model."""
    line: list[ModelVersion] = []
    parent = by_pk.get(version.parent_id or 0)
    while parent:
        line.append(parent)
        parent = by_pk.get(parent.parent_id or 0)
    return line
