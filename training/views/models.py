"""Model versions: the family tree, one version, and its way through the stages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from annotation.models import AuditEntry, Project, Role, Verb
from annotation.progress import Work, telling
from training import actions, archives, artifacts, reports
from training.forms import PromoteForm, PushForm
from training.model_card import markdown, sections
from training.models import ModelVersion, Snapshot
from training.reward_report import RewardReport
from training.tasks import push_version
from training.views.requests import PersonRequest, find_version


@dataclass
class Branch:
    """A version and what came of it."""

    version: ModelVersion
    children: list[Branch] = field(default_factory=list)

    @property
    def num_simulated(self) -> int:
        return self.version.run.num_simulated if self.version.run else 0


def family_tree(versions: Iterable[ModelVersion]) -> list[Branch]:
    """The versions under their parents; whose parent is not among them stands at the root."""
    branches = {version.pk: Branch(version) for version in versions}
    roots: list[Branch] = []
    for branch in branches.values():
        parent = branches.get(branch.version.parent_id or 0)
        (parent.children if parent else roots).append(branch)
    return roots


@login_required
@require_safe
def models(request: PersonRequest) -> HttpResponse:
    versions = list(
        ModelVersion.objects.visible_to(request.user).with_origins().select_related("project").order_by("id")
    )
    projects = Project.objects.with_role(request.user, Role.REVIEWER)
    trees = [
        (project, family_tree(version for version in versions if version.project_id == project.pk))
        for project in projects
    ]
    policies = [version for version in versions if version.kind != ModelVersion.Kind.REWARD]
    return render(request, "training/models.html", {"trees": trees, "policies": policies})


@login_required
@require_safe
def model(request: PersonRequest, pk: int) -> HttpResponse:
    version = find_version(request, pk)
    context = _about(version) | {
        "version": version,
        "can_change": version.project.role_of(request.user) == Role.ADMIN,
        "form": PromoteForm(initial={"stage": version.stage}),
    }
    return render(request, "training/model.html", context)


def _about(version: ModelVersion) -> dict[str, object]:
    ancestors: list[ModelVersion] = []
    parent = version.parent
    while parent:
        ancestors.insert(0, parent)
        parent = parent.parent
    pushes = list(version.pushes.select_related("by"))
    return {
        "ancestors": ancestors,
        "children": version.children.select_related("run"),
        "report": RewardReport.read(version.metrics),
        "figures": reports.measured(version.metrics),
        "stage_changes": version.stage_changes.select_related("by"),
        "num_generations": version.generations.count(),
        "num_simulated": Branch(version).num_simulated,
        "pushes": pushes,
        "is_pushing": any(push.is_under_way for push in pushes),
        "push_form": PushForm(),
        "reviews": version.reviews.select_related("a", "b", "opened_by", "closed_by"),
        "snapshots": Snapshot.objects.behind(version.run),
    }


@login_required
@require_safe
def model_card(request: PersonRequest, pk: int) -> HttpResponse:
    """What is known of the version, to read; the same as a file: model_card_file."""
    version = find_version(request, pk)
    return render(request, "training/model_card.html", {"version": version, "card": "\n\n".join(sections(version))})


@login_required
@require_safe
def model_card_file(request: PersonRequest, pk: int) -> HttpResponse:
    version = find_version(request, pk)
    return HttpResponse(
        markdown(version),
        content_type="text/markdown; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{version.name}-README.md"'},
    )


@login_required
@require_POST
def model_download(request: PersonRequest, pk: int) -> HttpResponseBase:
    """The artifact as a tar file with its card, once its checksum has been found right."""
    version = find_version(request, pk, role=Role.ADMIN)
    try:
        if version.revision:
            raise ValueError(
                _("%(version)s is a model of a hub: download %(location)s there.")
                % {"version": version, "location": version.location}
            )
        with telling(Work.MODEL, request.user) as told:
            told.expect(artifacts.num_pieces(version.folder))
            artifacts.verify(version, between=told.advance)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("training:model", pk=pk)
    with transaction.atomic():
        AuditEntry.objects.record(
            Verb.MODEL_DOWNLOADED, by=request.user, project=version.project, subject=version.name,
            checksum=version.checksum,
        )  # fmt: skip
    card = {"README.md": markdown(version).encode()}
    headers = {
        "Content-Disposition": f'attachment; filename="{version.name}.tar"',
        "Content-Length": str(archives.size_of(version.folder, name=version.name, extra=card)),
    }
    pieces = archives.tar_of(version.folder, name=version.name, extra=card)
    return StreamingHttpResponse(pieces, content_type="application/x-tar", headers=headers)


@login_required
@require_POST
def model_push(request: PersonRequest, pk: int) -> HttpResponse:
    """Queue the version for a hub; the page shows how it went."""
    version = find_version(request, pk, role=Role.ADMIN)
    form = PushForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Name the repository as owner/name."))
        return redirect("training:model", pk=pk)
    try:
        sending = actions.push_to_hub(version, by=request.user, **form.cleaned_data)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        push_version.delay_on_commit(sending.pk)
        messages.success(request, _("It waits for a worker to send it; how that goes stands under Files."))
    return redirect("training:model", pk=pk)


@login_required
@require_POST
def model_delete(request: PersonRequest, pk: int) -> HttpResponse:
    version = find_version(request, pk, role=Role.ADMIN)
    try:
        actions.delete_version(version, by=request.user)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("training:model", pk=pk)
    messages.success(request, _("%(version)s is deleted.") % {"version": version.name})
    return redirect("training:models")


@login_required
@require_POST
def promote(request: PersonRequest, pk: int) -> HttpResponse:
    version = find_version(request, pk, role=Role.ADMIN)
    form = PromoteForm(request.POST)
    if form.is_valid():
        try:
            actions.promote(version, by=request.user, **form.cleaned_data)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            version.refresh_from_db()
            said = _("%(version)s is now at this stage: %(stage)s.")
            messages.success(request, said % {"version": version, "stage": version.get_stage_display()})
            return redirect("training:model", pk=version.pk)
    context = _about(version) | {"version": version, "can_change": True, "form": form}
    return render(request, "training/model.html", context, status=422)
