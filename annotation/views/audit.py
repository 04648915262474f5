"""/projects/<slug>/audit/ : who changed what in a project, when and from where. For admins."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Any

from django import forms
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from annotation.days import midnight
from annotation.models import AuditEntry, Project, Role, User, Verb
from annotation.models.record import AuditEntryQuerySet
from annotation.spreadsheets import csv_file
from annotation.views.access import PersonRequest, person_required, project_for

PAGE_SIZE = 50


class AuditFilterForm(forms.Form):
    """What of the log is shown; what makes no sense is left out."""

    verb = forms.ChoiceField(label=_("What"), required=False)
    person = forms.ModelChoiceField(label=_("Who"), queryset=User.objects.none(), required=False, empty_label=_("all"))
    first = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(label=_("Until"), required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, data: Any, *, project: Project) -> None:
        super().__init__(data)
        self.fields["verb"] = forms.ChoiceField(
            label=_("What"), required=False, choices=[("", _("all")), *Verb.choices]
        )
        people = AuditEntry.objects.filter(project=project).order_by().values("actor").distinct()
        self.fields["person"].queryset = User.objects.filter(pk__in=people).order_by("username")  # type: ignore[attr-defined]


@person_required
@require_safe
def audit(request: PersonRequest, slug: str) -> HttpResponse:
    """Paged by the last entry shown: deep pages cost what the first one does, and nothing moves while one reads."""
    project = project_for(request, slug, role=Role.ADMIN)
    form = AuditFilterForm(request.GET, project=project)
    rows = chosen(project, form)
    below = request.GET.get("below", "")
    if below.isascii() and below.isdigit() and len(below) < 19:
        last = rows.filter(pk=int(below)).first()
        rows = rows.before(last) if last else rows
    entries = list(rows.with_people()[: PAGE_SIZE + 1])
    query = request.GET.copy()
    query.pop("below", None)
    older = query.copy()
    if len(entries) > PAGE_SIZE:
        older["below"] = str(entries[PAGE_SIZE - 1].pk)
    context = {
        "project": project,
        "role": Role.ADMIN,
        "form": form,
        "entries": entries[:PAGE_SIZE],
        "query": query.urlencode(),
        "older": older.urlencode() if len(entries) > PAGE_SIZE else "",
    }
    return render(request, "annotation/audit.html", context)


@person_required
@require_safe
def audit_csv(request: PersonRequest, slug: str) -> HttpResponseBase:
    project = project_for(request, slug, role=Role.ADMIN)
    rows = chosen(project, AuditFilterForm(request.GET, project=project)).with_people()
    head = ["at", "who", "verb", "about", "subject", "details", "address"]
    return csv_file(f"audit-{project.slug}.csv", head, cells(rows))


def chosen(project: Project, form: AuditFilterForm) -> AuditEntryQuerySet:
    form.is_valid()
    values = form.cleaned_data
    rows = AuditEntry.objects.filter(project=project).newest_first()
    if values.get("verb"):
        rows = rows.filter(verb=values["verb"])
    if values.get("person"):
        rows = rows.filter(actor=values["person"])
    first, last = values.get("first"), values.get("last")
    after = last and last < datetime.date.max and last + datetime.timedelta(days=1)
    return rows.between(start_of(first), start_of(after or None))


def start_of(day: datetime.date | None) -> datetime.datetime | None:
    """None for none, and for a day that no clock can show."""
    return midnight(day) if day and 1970 <= day.year < 9999 else None


def cells(rows: AuditEntryQuerySet) -> Iterator[list[str]]:
    for entry in rows.iterator(chunk_size=1000):
        details = json.dumps(entry.details, ensure_ascii=False) if entry.details else ""
        people = [name(entry.actor, entry.actor_id), name(entry.about, entry.about_id)]
        yield [entry.at.isoformat(), people[0], entry.verb, people[1], entry.subject, details, entry.address or ""]


def name(person: User | None, pk: int | None) -> str:
    if person is not None:
        return person.username
    return f"#{pk}" if pk else ""
