"""What became of the labels that a snapshot used: told on every page that shows the snapshot."""

import datetime
import importlib
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation import actions
from annotation.models import Judgment, Project, User
from tests.training import rows
from tests.training.test_snapshots import ask, label
from training.models import Run, Snapshot, SnapshotJudgment
from training.snapshots import freeze, used_judgments


@pytest.fixture
def frozen(project: Project, alice: User) -> Snapshot:
    """Six judged pairs."""
    ask(project, 6)
    label(alice, project, corrections=True)
    return freeze(project, by=None, validation_share=0, test_share=0)


def changes(snapshot: Snapshot) -> tuple[int, int, int, bool]:
    found = Snapshot.objects.with_changes().get(pk=snapshot.pk)
    return found.num_voided, found.num_revised, found.num_undone, found.are_uses_known  # type: ignore[attr-defined]


def revise(judgment: Judgment) -> None:
    """A newer version, as rows: which verb made it does not matter here."""
    Judgment.objects.filter(pk=judgment.pk).update(is_current=False)
    Judgment.objects.create(
        task=judgment.task, annotator=judgment.annotator, assignment=judgment.assignment, strength=0
    )  # fmt: skip


def test_it_works(frozen: Snapshot, project: Project, alice: User, dana: User) -> None:
    judgments = list(Judgment.objects.order_by("pk"))
    assert set(frozen.uses.values_list("judgment", flat=True)) == {judgment.pk for judgment in judgments}
    assert Judgment.objects.filter(frozen_at=frozen.created_at).count() == 6
    assert changes(frozen) == (0, 0, 0, True)
    revise(judgments[0])
    Judgment.objects.filter(pk=judgments[1].pk).update(is_current=False)
    assert changes(frozen) == (0, 1, 1, True)
    actions.void_judgments(project, annotator=alice, by=dana, reason="guessed")
    assert changes(frozen) == (4, 1, 1, True), "the newer version is voided, which was not frozen"


def test_a_voided_revision_and_labels_that_count_again(frozen: Snapshot, project: Project, dana: User) -> None:
    voiding = actions.void_judgments(project, annotator=User.objects.get(username="alice"), by=dana, reason="guessed")
    assert changes(frozen) == (6, 0, 0, True)
    actions.restore(voiding, by=dana)
    assert changes(frozen) == (0, 0, 0, True)


def test_the_same_content_again_is_remembered_once(frozen: Snapshot, project: Project) -> None:
    assert freeze(project, by=None, validation_share=0, test_share=0) == frozen
    assert SnapshotJudgment.objects.count() == 6


def test_gold_tasks_and_repeats_do_not_show_themselves_by_being_open_to_change(project: Project, alice: User) -> None:
    ask(project, 6)
    first, second, *_others = project.tasks.order_by("pk")
    label(alice, project)
    project.tasks.filter(pk=first.pk).update(control="gold", overlap=second.EVERYBODY)
    project.tasks.filter(pk=second.pk).update(control="repeat", repeat_of=first, reserved_for=alice)
    freeze(project, by=None, validation_share=0, test_share=0)
    assert not Judgment.objects.revisable(project).exists()


def test_what_is_said_after_the_freeze_and_of_other_kinds_stays_open(project: Project, alice: User) -> None:
    ask(project, 4)
    first, second, *_votes = project.tasks.order_by("pk")
    label(alice, project)
    project.tasks.filter(pk__in=[first.pk, second.pk]).update(control="gold", overlap=first.EVERYBODY)
    project.tasks.filter(pk=second.pk).update(kind="rating", response_b=None)
    late = Judgment.objects.filter(task=first)
    late.update(created_at=timezone.now() + datetime.timedelta(hours=1))
    freeze(project, by=None, validation_share=0, test_share=0)
    assert set(Judgment.objects.revisable(project).values_list("task", flat=True)) == {first.pk, second.pk}


def test_older_snapshots_are_read_off_their_files(frozen: Snapshot, project: Project) -> None:
    SnapshotJudgment.objects.all().delete()
    Judgment.objects.update(frozen_at=None)
    lost = rows.snapshot(project, name="its folder is gone")
    assert changes(frozen) == (0, 0, 0, False)
    Judgment.objects.order_by("pk").first().corrections.clear()  # type: ignore[union-attr]
    migration = importlib.import_module("training.migrations.0004_uses_of_older_snapshots")
    with connection.schema_editor(atomic=False) as editor:
        migration.read_files(apps, editor)
    assert set(frozen.uses.values_list("judgment", flat=True)) == used_judgments(frozen.folder)
    assert SnapshotJudgment.objects.count() == 6 and Judgment.objects.filter(frozen_at=frozen.created_at).count() == 6
    assert changes(lost) == (0, 0, 0, False)


def test_every_page_with_the_snapshot_says_so(
    frozen: Snapshot, project: Project, client: Client, dana: User, settings: Any
) -> None:
    base = rows.base(project)
    scorer = rows.reward_model(project, model=base, snapshot=frozen)
    other = rows.snapshot(project, name="another")
    tuned = rows.policy(project, model=base, scorer=scorer, snapshot=other)
    assert tuned.run and scorer.run
    client.force_login(dana)
    pages = [
        f"/runs/{scorer.run.pk}/",
        f"/runs/{tuned.run.pk}/",
        f"/models/{scorer.pk}/",
        f"/models/{tuned.pk}/",
        "/projects/support/freeze/",
        "/runs/new/?project=support&kind=reward",
    ]
    sentence = "6 of its labels were taken out of the count since."
    assert [page for page in pages if sentence in client.get(page).content.decode()] == []
    actions.void_judgments(project, annotator=User.objects.get(username="alice"), by=dana, reason="guessed")
    assert [page for page in pages if sentence not in client.get(page).content.decode()] == []
    unknown = "Which labels it used was not recorded"
    assert unknown in client.get(f"/runs/{tuned.run.pk}/").content.decode(), "of the snapshot that was put in as a row"


def test_one_query_however_many_snapshots(frozen: Snapshot, project: Project, alice: User) -> None:
    for _time in range(3):
        ask_more = ask(project, 8)
        assert ask_more
        label(alice, project)
        freeze(project, by=None, seed=_time)
    with CaptureQueriesContext(connection) as queries:
        assert len(list(Snapshot.objects.with_changes())) >= 2
    assert len(queries) == 1


def test_a_run_without_a_snapshot_has_none_behind_it(project: Project, alice: User) -> None:
    base = rows.base(project)
    assert Snapshot.objects.behind(rows.run(project, "generate", model=base)) == []
    assert Snapshot.objects.behind(None) == []
    assert Run.objects.count() == 1
