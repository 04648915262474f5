"""Who the token speaks for, and the projects it reaches."""

from __future__ import annotations

import datetime

from ninja import Query, Router, Schema

from annotation.api.access import ANY, TokenRequest, project_for, projects_of
from annotation.api.paging import Page, PageQuery, page_of
from annotation.models import Criterion, Guidelines, Project, Role

router = Router(tags=["projects"])


class MeOut(Schema):
    """expires_at: empty for a token without an end. project: the only one it reaches, if it is so restricted."""

    username: str
    token: str
    scopes: list[str]
    project: str | None
    expires_at: datetime.datetime | None


class CriterionOut(Schema):
    """One thing to rate, from 1 to scale_max."""

    key: str
    name: str
    description: str
    scale_max: int
    low_anchor: str
    high_anchor: str


class GuidelinesOut(Schema):
    """text: Markdown."""

    version: int
    text: str
    created_at: datetime.datetime


class ProjectOut(Schema):
    """role: the user's own: annotator, reviewer or admin."""

    slug: str
    name: str
    description: str
    role: str
    overlap: int
    lease_seconds: int
    daily_goal: int
    created_at: datetime.datetime


class ProjectDetailOut(ProjectOut):
    criteria: list[CriterionOut]
    guidelines: GuidelinesOut | None
    reason_chips: list[str]


@router.get("/me", response=MeOut, auth=ANY, operation_id="read_me", summary="Who this token speaks for")
def read_me(request: TokenRequest) -> MeOut:
    token = request.auth
    return MeOut(
        username=request.user.username,
        token=token.name,
        scopes=token.scopes,
        project=token.project.slug if token.project else None,
        expires_at=token.expires_at,
    )


@router.get("/projects", response=Page[ProjectOut], auth=ANY, operation_id="list_projects", summary="List projects")
def list_projects(request: TokenRequest, query: Query[PageQuery]) -> object:
    """Those in which the token's user works."""
    found = page_of(projects_of(request), query)
    roles = dict(
        request.user.memberships.filter(project__in=found.rows, is_paused=False).values_list("project_id", "role")
    )
    return found.page([project_out(project, Role(roles[project.pk])) for project in found.rows])


@router.get(
    "/projects/{slug}", response=ProjectDetailOut, auth=ANY, operation_id="read_project", summary="Read a project"
)
def read_project(request: TokenRequest, slug: str) -> ProjectDetailOut:
    """With the criteria to rate by and the current guidelines: what a labelling page shows."""
    project = project_for(request, slug)
    role = project.role_of(request.user)
    assert role is not None  # project_for found it among the user's
    current = project.current_guidelines
    return ProjectDetailOut(
        **project_out(project, role).model_dump(),
        criteria=[criterion_out(criterion) for criterion in project.criteria.all()],
        guidelines=guidelines_out(current) if current else None,
        reason_chips=project.reason_chips,
    )


def project_out(project: Project, role: Role) -> ProjectOut:
    return ProjectOut(
        slug=project.slug,
        name=project.name,
        description=project.description,
        role=role.name.lower(),
        overlap=project.overlap,
        lease_seconds=project.lease_seconds,
        daily_goal=project.daily_goal,
        created_at=project.created_at,
    )


def criterion_out(criterion: Criterion) -> CriterionOut:
    return CriterionOut(
        key=criterion.key,
        name=criterion.name,
        description=criterion.description,
        scale_max=criterion.scale_max,
        low_anchor=criterion.low_anchor,
        high_anchor=criterion.high_anchor,
    )


def guidelines_out(guidelines: Guidelines) -> GuidelinesOut:
    return GuidelinesOut(version=guidelines.version, text=guidelines.text, created_at=guidelines.created_at)
