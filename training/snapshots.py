"""Judgments frozen into files: hashed by content, split by prompt.

    snapshot = freeze(project, by=user)

A snapshot lies under var/snapshots/<hash>/ as preferences.jsonl, prompts.jsonl and demonstrations.jsonl, and never
changes. A prompt's split follows from its content and the seed alone: it stays where it is when labels are added, and
no prompt stands in two splits. The same content is the same snapshot.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext as _

from annotation import export
from annotation.models import AuditEntry, Judgment, Project, Prompt, Response, User, Verb
from annotation.progress import NOBODY, Telling
from training.models import ModelVersion, Run, Snapshot
from training.rlhf.rundir import RunDir

PREFERENCES, PROMPTS, DEMONSTRATIONS = "preferences.jsonl", "prompts.jsonl", "demonstrations.jsonl"
SPLITS = ("train", "validation", "test")
USUAL_SHARE = 0.1
"""Of the prompts, for each of the validation and the test split."""

Line = dict[str, Any]


class Splitter:
    """Says in which split a prompt stands: by a hash of its content and the seed, never by its place or its labels."""

    def __init__(self, *, validation_share: float, test_share: float, seed: int) -> None:
        for name, share in (("validation_share", validation_share), ("test_share", test_share)):
            if not 0 <= share < 1:
                raise ValueError(
                    _("%(name)s must be from 0 to below 1, got %(share)s.") % {"name": name, "share": share}
                )
        if validation_share + test_share >= 1:
            raise ValueError(
                _("validation_share and test_share leave nothing to train on (%(validation)s + %(test)s): lower one.")
                % {"validation": validation_share, "test": test_share}
            )
        self.validation_share, self.test_share, self.seed = validation_share, test_share, seed

    def split_of(self, content_hash: str) -> str:
        digest = hashlib.sha256(f"{self.seed}:{content_hash}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        if place < self.test_share:
            return "test"
        return "validation" if place < self.test_share + self.validation_share else "train"


def freeze(
    project: Project,
    *,
    by: User | None,
    validation_share: float = USUAL_SHARE,
    test_share: float = USUAL_SHARE,
    seed: int = 0,
    grading: export.Grading = "choice",
    kappa: float = 1.0,
    include_simulated: bool = True,
    telling: Telling = NOBODY,
) -> Snapshot:
    """The project's judgments as they are now; ValueError with a sentence when there is nothing to train on."""
    splitter = Splitter(validation_share=validation_share, test_share=test_share, seed=seed)
    targets: dict[str, Any] = {"grading": grading, "kappa": kappa, "include_simulated": include_simulated}
    with _folder_to_fill() as folder:
        with _one_moment():
            # About: of several labels of two answers comes one line.
            telling.expect(project.prompts.count() + Judgment.objects.votes().in_project(project).count())
            counts, judgments = _fill(folder, project, splitter, targets, telling)
        _refuse_nothing(counts)
        content_hash = _hash(folder)
        _keep(folder, settings.VAR_DIR / "snapshots" / content_hash)
    how = {"validation_share": validation_share, "test_share": test_share, "seed": seed, **targets}
    values = {"settings": how, "counts": counts, "num_simulated": counts["simulated"], "created_by": by}
    with transaction.atomic():
        kept, is_new = Snapshot.objects.get_or_create(project=project, content_hash=content_hash, defaults=values)
        if is_new:
            AuditEntry.objects.record(Verb.SNAPSHOT_FROZEN, by=by, project=project, subject=f"snapshot {kept.pk}")
        remember_uses(kept, judgments)
    return kept


def remember_uses(snapshot: Snapshot, judgment_ids: Collection[int]) -> int:
    """Keep which judgments the snapshot used, and mark them as frozen; returns how many were not known yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO training_snapshotjudgment (snapshot_id, judgment_id) "
            "SELECT %s, id FROM annotation_judgment WHERE id = ANY(%s) ON CONFLICT DO NOTHING",
            [snapshot.pk, list(judgment_ids)],
        )
        num = int(cursor.rowcount)
    unfrozen = Judgment.objects.filter(frozen_at__isnull=True)
    unfrozen.filter(pk__in=snapshot.uses.values("judgment")).update(frozen_at=snapshot.created_at)
    # What was said of gold tasks and repeats is frozen with the votes of its kind: were it the one judgment that can
    # still be changed, it would show itself.
    kinds = set(snapshot.uses.order_by().values_list("judgment__task__kind", flat=True).distinct())
    controls = unfrozen.in_project(snapshot.project).exclude(task__control="").filter(task__kind__in=kinds)
    controls.filter(created_at__lte=snapshot.created_at).update(frozen_at=snapshot.created_at)
    return num


def used_judgments(folder: Path) -> set[int]:
    """What a frozen snapshot's files say of the judgments they were made of."""
    found: set[int] = set()
    for name in (PREFERENCES, DEMONSTRATIONS):
        with (folder / name).open(encoding="utf-8") as file:
            for line in file:
                found.update(json.loads(line)["judgment_ids"])
    return found


def fill_run_folder(run: Run) -> None:
    """Put the run's data into its folder: its snapshot's files, or all prompts of the project where it has none.

    What is there already stays: a run that is resumed goes on with the data it began with.
    """
    folder = RunDir(run.folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    if run.snapshot is None:
        if not folder.prompts.exists():
            splitter = Splitter(validation_share=USUAL_SHARE, test_share=USUAL_SHARE, seed=0)
            with _beside(folder.prompts) as beside:
                if not _write(beside, prompt_lines(run.project, splitter)):
                    raise ValueError(
                        _("%(project)s has no prompts yet: import some, then run it again.") % {"project": run.project}
                    )
        return
    for name in (PREFERENCES, PROMPTS, DEMONSTRATIONS):
        source, target = run.snapshot.folder / name, folder.path / name
        if target.exists():
            continue
        if not source.exists():
            raise ValueError(
                _("Snapshot %(snapshot)s has lost its file %(file)s: freeze the project again.")
                % {"snapshot": run.snapshot, "file": source}
            )
        with _beside(target) as beside:
            try:
                beside.hardlink_to(source)  # it never changes, so the run may share it
            except OSError:  # another disk
                shutil.copyfile(source, beside)


def prompt_lines(project: Project, splitter: Splitter) -> Iterator[Line]:
    """All prompts of the project; `reference` is the first answer of a base model, where one has answered."""
    bases = project.model_versions.filter(kind=ModelVersion.Kind.BASE).values_list("name", flat=True)
    answers = Response.objects.filter(prompt__project=project, source__in=list(bases), parent=None)
    references = dict(answers.order_by("prompt_id", "id").distinct("prompt_id").values_list("prompt_id", "text"))
    prompts = Prompt.objects.filter(project=project).order_by("id").values_list("id", "messages", "content_hash")
    for pk, messages, content_hash in prompts.iterator(chunk_size=2000):
        reference = {"reference": references[pk]} if pk in references else {}
        yield {"id": str(pk), "messages": messages, **reference, "split": splitter.split_of(content_hash)}


@contextlib.contextmanager
def _one_moment() -> Iterator[None]:
    """All reads inside see the database of one moment, although people go on judging meanwhile."""
    if connection.in_atomic_block:  # the caller's transaction decides what is seen
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def _pair_lines(project: Project, split_of: Mapping[int, str], targets: Mapping[str, Any]) -> Iterator[Line]:
    for pair in export.preferences(project, **targets):
        # Two people may make the same correction, and two rankings share a pair; else a pair has one record an origin.
        whose = pair.judgment_ids[:1] if pair.origin in ("correction", "ranking") else []
        yield {
            "id": "-".join(map(str, [pair.origin, pair.response_a_id, pair.response_b_id, *whose])),
            "prompt_id": str(pair.prompt_id),
            "prompt": pair.messages,
            "response_a": pair.text_a,
            "response_b": pair.text_b,
            "target": pair.target,
            "strength": pair.strength,
            "weight": pair.weight,
            "votes": pair.votes,
            "split": split_of[pair.prompt_id],
            "judgment_ids": pair.judgment_ids,
            "num_simulated": pair.num_simulated,
        }


def _demonstration_lines(project: Project, split_of: Mapping[int, str], *, include_simulated: bool) -> Iterator[Line]:
    for correction in export.corrections(project, include_simulated=include_simulated):
        yield {
            "id": f"correction-{correction.id}-{correction.judgment_id}",
            "prompt_id": str(correction.prompt_id),
            "prompt": correction.messages,
            "response": correction.text,
            "split": split_of[correction.prompt_id],
            "judgment_ids": [correction.judgment_id],
        }


def _fill(
    folder: Path, project: Project, splitter: Splitter, targets: Mapping[str, Any], telling: Telling
) -> tuple[Line, set[int]]:
    """Write the three files; counts what they hold, and names the judgments they are made of."""
    hashes = Prompt.objects.filter(project=project).values_list("id", "content_hash")
    split_of = {pk: splitter.split_of(content_hash) for pk, content_hash in hashes}
    simulated_too = targets["include_simulated"]
    lines: dict[str, Iterator[Line]] = {
        "prompts": prompt_lines(project, splitter),
        "pairs": _pair_lines(project, split_of, targets),
        "demonstrations": _demonstration_lines(project, split_of, include_simulated=simulated_too),
    }
    counts: Line = {"splits": {split: dict.fromkeys(lines, 0) for split in SPLITS}}
    files = {"prompts": PROMPTS, "pairs": PREFERENCES, "demonstrations": DEMONSTRATIONS}
    judgments: set[int] = set()
    for name, of_name in lines.items():
        counts[name] = _write(
            folder / files[name], _counted(telling.passing(of_name), counts["splits"], name, judgments)
        )
    simulated = Judgment.objects.filter(task__project=project, annotator__is_simulated=True).values_list(
        "id", flat=True
    )
    counts |= {"judgments": len(judgments), "simulated": len(judgments.intersection(simulated))}
    return counts, judgments


def _counted(lines: Iterable[Line], splits: Line, name: str, judgments: set[int]) -> Iterator[Line]:
    for line in lines:
        splits[line["split"]][name] += 1
        judgments.update(line.get("judgment_ids", ()))
        yield line


def _refuse_nothing(counts: Line) -> None:
    if not counts["pairs"] and not counts["demonstrations"]:
        raise ValueError(_("There is nothing to train on yet: compare or correct some answers first, then freeze."))
    train = counts["splits"]["train"]
    if not train["pairs"] and not train["demonstrations"]:
        raise ValueError(
            _(
                "All %(num)d pairs fell into the validation and test splits: label answers to more prompts, or lower "
                "the shares of the two."
            )
            % {"num": counts["pairs"]}
        )


@contextlib.contextmanager
def _folder_to_fill() -> Iterator[Path]:
    """A folder of its own for each freeze, so that two at once do not write into each other's files."""
    place = settings.VAR_DIR / "snapshots"
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(folder: Path, final: Path) -> None:
    """Give the filled folder its name; whoever froze the same content first has given it already."""
    folder.chmod(0o755)
    with contextlib.suppress(OSError):
        folder.rename(final)
    if not final.is_dir():
        raise OSError(f"cannot name the snapshot's folder {final}")


def _hash(folder: Path) -> str:
    """SHA-256 over the names and contents of the three files."""
    total = hashlib.sha256()
    for name in (PREFERENCES, PROMPTS, DEMONSTRATIONS):
        with (folder / name).open("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A name to write to; it becomes `target` when the block ends without an error."""
    beside = target.with_name(f".new-{target.name}")
    beside.unlink(missing_ok=True)
    yield beside
    beside.replace(target)


def _write(path: Path, lines: Iterable[Line]) -> int:
    """One object a line, keys in order, flushed to the disk; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False, sort_keys=True) + "\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count
