"""Verbs of model versions: register, promote, send to a hub, delete."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotation.models import AuditEntry, Project, User, Verb
from training import artifacts, hub
from training.models import Chat, HubPush, ModelVersion, Review, Round, Run, StageChange
from training.rlhf.rundir import discard


def register_version(
    project: Project,
    *,
    path: str | Path,
    name: str,
    kind: str,
    parent: ModelVersion | None = None,
    run: Run | None = None,
    by: User | None = None,
    revision: str = "",
    metrics: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """A version of the model in a folder (or of a hub's model at a pinned revision). Twice for one run is once."""
    if kind not in ModelVersion.Kind.values:
        raise ValueError(f"kind must be one of {', '.join(ModelVersion.Kind.values)}, got {kind!r}.")
    try:
        validate_slug(name)
    except ValidationError:
        raise ValueError(
            _("“%(name)s” is no name for a version: use letters, digits, - and _ only.") % {"name": name}
        ) from None
    same_name = project.model_versions.filter(name=name).first()
    if same_name and (run is None or same_name.run_id != run.pk):
        raise ValueError(
            _("%(project)s already has a version named “%(name)s”: choose another name.")
            % {"project": project, "name": name}
        )
    values: dict[str, Any] = {"kind": kind, "parent": parent, "revision": revision, "metrics": dict(metrics or {})}
    values["presets"] = dict(parent.presets) if parent else {}
    if revision:
        values["location"] = str(path)
    else:
        artifacts.check(Path(path), kind=kind)
        values["presets"] |= artifacts.read_presets(Path(path))
        kept = artifacts.keep(Path(path), project_slug=project.slug, name=name)
        values |= {"location": str(kept), "checksum": artifacts.checksum(kept)}
    values |= {"project": project, "name": name, "created_by": by}
    if run:
        return ModelVersion.objects.update_or_create(run=run, defaults=values)[0]
    with transaction.atomic():
        AuditEntry.objects.record(Verb.MODEL_REGISTERED, by=by, project=project, subject=name, kind=kind)
        return ModelVersion.objects.create(**values)


@transaction.atomic
def promote(version: ModelVersion, *, stage: str, by: User | None, reason: str) -> StageChange:
    """Move a version to a stage. One version a kind is in production: the former one is archived."""
    if stage not in ModelVersion.Stage.values:
        raise ValueError(f"stage must be one of {', '.join(ModelVersion.Stage.values)}, got {stage!r}.")
    if not reason.strip():
        raise ValueError(_("Say why: the reason is what the team reads when it asks how this version got there."))
    # All versions of the kind are locked, in one order, so that two promotions at once cannot both win.
    siblings = (
        ModelVersion.objects.select_for_update().filter(project=version.project, kind=version.kind).order_by("id")
    )
    current = {sibling.pk: sibling for sibling in siblings}
    version.stage = current[version.pk].stage
    if version.stage == stage:
        raise ValueError(
            _("%(version)s is already at this stage (%(stage)s).")
            % {"version": version, "stage": version.get_stage_display()}
        )
    if stage == ModelVersion.Stage.PRODUCTION:
        _require_approval(version)
        for former in current.values():
            if former.stage == stage:
                _move_stage(former, ModelVersion.Stage.ARCHIVED, by=by, reason=f"{version} took its place.")
    return _move_stage(version, stage, by=by, reason=reason.strip())


@transaction.atomic
def delete_version(version: ModelVersion, *, by: User | None) -> None:
    """The row and its files; ValueError with a sentence that names what depends on it."""
    ModelVersion.objects.select_for_update().get(pk=version.pk)
    if version.stage == ModelVersion.Stage.PRODUCTION:
        raise ValueError(_("%(version)s is in production: move it to another stage first.") % {"version": version})
    if used_by := dependents(version):
        raise ValueError(
            _("%(version)s cannot be deleted, because something depends on it: %(used_by)s. Archive it instead.")
            % {"version": version, "used_by": ", ".join(used_by)}
        )
    AuditEntry.objects.record(
        Verb.MODEL_DELETED, by=by, project=version.project, subject=version.name, checksum=version.checksum
    )
    folder, is_ours = version.folder, artifacts.is_ours(version)
    version.delete()
    if is_ours:
        transaction.on_commit(lambda: discard(folder))


@transaction.atomic
def push_to_hub(version: ModelVersion, *, repo_id: str, is_private: bool, by: User | None) -> HubPush:
    """Queue it; whoever calls this follows it with `push_version.delay_on_commit(push.pk)`. ValueError with a sentence
    when it could not be sent.
    """
    hub.check(version, repo_id=repo_id)
    AuditEntry.objects.record(
        Verb.MODEL_PUSHED, by=by, project=version.project, subject=version.name, repo_id=repo_id, is_private=is_private
    )
    return HubPush.objects.create(version=version, repo_id=repo_id, is_private=is_private, by=by)


def dependents(version: ModelVersion) -> list[str]:
    """What would lose its origin with this version, each with how many there are."""
    runs = Run.objects.filter(
        Q(model=version) | Q(reference=version) | Q(reward_model=version) | Q(watcher=version)
    ).count()
    reviews = Review.objects.filter(Q(a=version) | Q(b=version)).count()
    rounds = Round.objects.filter(Q(version=version) | Q(opponent=version) | Q(scorer=version)).count()
    chats = Chat.objects.filter(Q(a=version) | Q(b=version)).count()
    children, answers = version.children.count(), version.generations.count()
    counted = [
        (children, ngettext("%(num)d version that came of it", "%(num)d versions that came of it", children)),
        (runs, ngettext("%(num)d run that used it", "%(num)d runs that used it", runs)),
        (answers, ngettext("%(num)d answer it wrote", "%(num)d answers it wrote", answers)),
        (reviews, ngettext("%(num)d review", "%(num)d reviews", reviews)),
        (rounds, ngettext("%(num)d round", "%(num)d rounds", rounds)),
        (chats, ngettext("%(num)d chat", "%(num)d chats", chats)),
    ]
    return [said % {"num": num} for num, said in counted if num]


def _require_approval(version: ModelVersion) -> None:
    """A policy of a project that asks for it needs an approved review. A base model or a reward model has no answers of
    its own making to be reviewed.
    """
    if version.kind != ModelVersion.Kind.POLICY or not version.project.promotion_needs_approval:
        return
    if not Review.objects.approving(version).exists():
        raise ValueError(
            _(
                "%(project)s wants an approval before production: compare %(version)s with the version before it, open "
                "a review there and approve it."
            )
            % {"project": version.project, "version": version}
        )


@transaction.atomic
def _move_stage(version: ModelVersion, stage: str, *, by: User | None, reason: str) -> StageChange:
    change = [version.stage, stage]
    AuditEntry.objects.record(Verb.MODEL_PROMOTED, by=by, project=version.project, subject=version.name, stage=change)
    version.stage = stage
    version.save(update_fields=["stage"])
    return StageChange.objects.create(version=version, stage=stage, by=by, reason=reason)
