"""The admin site: a plain look at every row, for those who run the installation.

What a project holds goes through actions, which keep the counters right, an admin in each project, and the audit log:
so it is all read-only here. Accounts may be made and changed; the log is told.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db import transaction
from django.http import HttpRequest

from annotation.models import (
    Assignment,
    AuditEntry,
    Criterion,
    Guidelines,
    Judgment,
    Membership,
    Project,
    Prompt,
    Rating,
    Response,
    Task,
    User,
    Verb,
)


class ReadOnly:
    """Rows that only actions may change."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class PlumblineUserAdmin(UserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "email", "is_staff", "is_active", "is_simulated")
    list_filter = (*UserAdmin.list_filter, "is_simulated")
    fieldsets = (*(UserAdmin.fieldsets or ()), ("Plumbline", {"fields": ("is_simulated", "language")}))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # erasing an account leaves what the project needs: annotation/actions/erasure.py

    def log_addition(self, request: HttpRequest, obj: User, message: Any) -> Any:
        self._record(Verb.ACCOUNT_CREATED, request, obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        """A new password too; of each change the fields' names, and never a value: it may be a name or an address."""
        fields = [name for part in message for name in part.get("changed", {}).get("fields", [])]
        self._record(Verb.ACCOUNT_CHANGED, request, obj, fields=[str(name) for name in fields])
        return super().log_change(request, obj, message)

    def _record(self, verb: Verb, request: HttpRequest, about: User, **details: Any) -> None:
        assert isinstance(request.user, User), "the admin site is for who is logged in"
        with transaction.atomic():
            AuditEntry.objects.record(verb, by=request.user, about=about, **details)


class MembershipInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = Membership
    fields = ("user", "role", "is_paused")


class CriterionInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = Criterion
    fields = ("position", "key", "name", "scale_max", "low_anchor", "high_anchor", "weight")


@admin.register(Project)
class ProjectAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "slug", "overlap", "lease_seconds", "created_at")
    search_fields = ("name", "slug")
    inlines = (MembershipInline, CriterionInline)


@admin.register(Guidelines)
class GuidelinesAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("project", "version", "created_by", "created_at")
    list_filter = ("project",)


@admin.register(Prompt)
class PromptAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("id", "project", "__str__", "external_id", "created_at")
    list_filter = ("project",)
    search_fields = ("external_id",)


@admin.register(Response)
class ResponseAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("id", "prompt_id", "source", "parent_id", "created_at")
    list_filter = ("prompt__project",)
    search_fields = ("source",)


@admin.register(Task)
class TaskAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("id", "project", "kind", "priority", "overlap", "num_judged", "num_leased", "is_withdrawn")
    list_filter = ("project", "kind", "is_withdrawn")
    list_select_related = ("project",)


@admin.register(Assignment)
class AssignmentAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("id", "task_id", "annotator", "status", "is_swapped", "leased_at", "expires_at", "skip_reason")
    list_filter = ("task__project", "status", "skip_reason")
    list_select_related = ("annotator",)


class RatingInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = Rating
    fields = ("criterion", "response", "value")


@admin.register(Judgment)
class JudgmentAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("id", "task_id", "annotator", "preferred_id", "strength", "both_bad", "is_current", "created_at")
    list_filter = ("task__project", "is_current", "both_bad", "annotator__is_simulated")
    list_select_related = ("annotator",)
    inlines = (RatingInline,)
