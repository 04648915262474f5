"""The rows of the training side in Django's admin: to look things up, not to change what a run did.

What may be changed has a verb and a page of its own; a row edited here would say what no run has written.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from training.models import Generation, ModelVersion, Round, Run, Snapshot, StageChange


class ReadOnlyAdmin(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = ["__str__", "project", "num_simulated", "created_by", "created_at"]
    list_filter = ["project"]
    search_fields = ["content_hash"]


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["id", "project", "kind", "status", "step", "total_steps", "attempt", "worker", "heartbeat_at"]
    list_filter = ["status", "kind", "project"]
    search_fields = ["error", "worker"]


class StageChangeInline(admin.TabularInline):
    model = StageChange
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ["name", "project", "kind", "stage", "parent", "run", "created_at"]
    list_filter = ["stage", "kind", "project"]
    search_fields = ["name", "checksum", "location"]
    inlines = [StageChangeInline]


@admin.register(Generation)
class GenerationAdmin(ReadOnlyAdmin):
    list_display = ["response", "version", "run", "reward", "num_tokens", "has_ended"]
    list_filter = ["version"]
    raw_id_fields = ["response"]


@admin.register(Round)
class RoundAdmin(ReadOnlyAdmin):
    list_display = [
        "__str__",
        "project",
        "version",
        "opponent",
        "num_random",
        "num_doubtful",
        "created_by",
        "created_at",
    ]
    list_filter = ["project"]
