"""Which judgments the snapshots used that are already frozen: read off their files, where these still lie."""

import json
from pathlib import Path

from django.conf import settings
from django.db import migrations

AT_ONCE = 10_000


def used_judgments(folder: Path) -> set[int]:
    found: set[int] = set()
    for name in ("preferences.jsonl", "demonstrations.jsonl"):
        if (folder / name).exists():
            with (folder / name).open(encoding="utf-8") as file:
                for line in file:
                    found.update(json.loads(line).get("judgment_ids", []))
    return found


def read_files(apps, schema_editor):
    Snapshot = apps.get_model("training", "Snapshot")
    with schema_editor.connection.cursor() as cursor:
        for pk, content_hash, created_at in Snapshot.objects.values_list("pk", "content_hash", "created_at"):
            ids = sorted(used_judgments(Path(settings.VAR_DIR) / "snapshots" / content_hash))
            for start in range(0, len(ids), AT_ONCE):
                some = ids[start : start + AT_ONCE]
                cursor.execute(
                    "INSERT INTO training_snapshotjudgment (snapshot_id, judgment_id) "
                    "SELECT %s, id FROM annotation_judgment WHERE id = ANY(%s) ON CONFLICT DO NOTHING",
                    [pk, some],
                )
                cursor.execute(
                    "UPDATE annotation_judgment SET frozen_at = %s WHERE id = ANY(%s) AND frozen_at IS NULL",
                    [created_at, some],
                )


class Migration(migrations.Migration):
    dependencies = [("annotation", "0002_rankings_controls_quality"), ("training", "0003_snapshot_uses")]
    operations = [migrations.RunPython(read_files, migrations.RunPython.noop)]
