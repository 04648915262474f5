"""Verbs of runs and model versions: start, cancel, resume, rerun, sweep; register, promote, publish, send.

What a person gave wrongly raises ValueError with a sentence that says what to change. None of these sends a message to
the workers, because actions do not know tasks: whoever calls start_run, resume_run or rerun follows it with
`execute_run.delay_on_commit(run.pk)`. A call that forgets it costs time, not the run: the sweeper sends it too.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.intake import content
from annotation.models import AuditEntry, Project, Prompt, Response, User, Verb
from training import artifacts
from training.models import Generation, ModelVersion, Run, Snapshot, StageChange
from training.rlhf import config as rlhf
from training.rlhf.rundir import RunDir

PUBLISHED_AT_ONCE = 1000
POLICIES = (ModelVersion.Kind.BASE, ModelVersion.Kind.POLICY)
LEARNED_FROM = {"demonstrations": gettext_lazy("demonstrations"), "pairs": gettext_lazy("pairs")}


@transaction.atomic
def start_run(
    project: Project,
    *,
    kind: str,
    config: Mapping[str, Any],
    by: User | None,
    snapshot: Snapshot | None = None,
    model: ModelVersion | None = None,
    reward_model: ModelVersion | None = None,
) -> Run:
    """Queue a run. `config` holds what the form asks for; paths are filled in from the versions."""
    _check_inputs(project, kind=kind, snapshot=snapshot, model=model, reward_model=reward_model)
    run = Run(project=project, kind=kind, snapshot=snapshot, model=model, reward_model=reward_model, created_by=by)
    run.config = dict(config)
    checked = rlhf.to_dict(trainer_config(run))
    filled_by_app = {field.name for field in rlhf.describe(rlhf.KINDS[kind]) if field.filled_by_app}
    run.config = {key: value for key, value in checked.items() if key != "kind" and key not in filled_by_app}
    run.save()
    AuditEntry.objects.record(Verb.RUN_STARTED, by=by, project=project, subject=f"run {run.pk}", kind=kind)
    return run


def _check_inputs(
    project: Project,
    *,
    kind: str,
    snapshot: Snapshot | None,
    model: ModelVersion | None,
    reward_model: ModelVersion | None,
) -> None:
    """ValueError unless a run of this kind has what it needs, all of it from this project."""
    if kind not in Run.Kind.values:
        raise ValueError(f"kind must be one of {', '.join(Run.Kind.values)}, got {kind!r}.")
    for row in (snapshot, model, reward_model):
        if row is not None and row.project_id != project.pk:
            raise ValueError(
                _("%(row)s belongs to another project: choose one of %(project)s.") % {"row": row, "project": project}
            )
    if model is None:
        raise ValueError(_("Choose the model version that this run starts from."))
    if model.kind not in POLICIES and kind != Run.Kind.EVALUATE:
        raise ValueError(
            _("%(model)s is a %(kind)s: choose a base model or a policy.")
            % {"model": model, "kind": model.get_kind_display()}
        )
    if reward_model is not None and reward_model.kind != ModelVersion.Kind.REWARD:
        raise ValueError(
            _("%(model)s is a %(kind)s: choose a reward model to score with.")
            % {"model": reward_model, "kind": reward_model.get_kind_display()}
        )
    if kind == Run.Kind.POLICY and reward_model is None:
        raise ValueError(_("Choose the reward model that the policy is tuned against."))
    needs = {Run.Kind.SFT: "demonstrations", Run.Kind.REWARD: "pairs", Run.Kind.DPO: "pairs"}.get(Run.Kind(kind))
    if kind == Run.Kind.EVALUATE and model.kind == ModelVersion.Kind.REWARD:
        needs = "pairs"
    if needs and snapshot is None:
        raise ValueError(_("Choose a snapshot: this run needs its %(needs)s.") % {"needs": LEARNED_FROM[needs]})
    if needs and snapshot and not snapshot.counts.get(needs):
        raise ValueError(
            _("Snapshot %(snapshot)s holds no %(needs)s: choose another, or collect some and freeze again.")
            % {"snapshot": snapshot, "needs": LEARNED_FROM[needs]}
        )


def trainer_config(run: Run) -> rlhf.Config:
    """The whole config of a run, with the folders of its models; ValueError with the config's own sentence."""
    values = dict(run.config)
    if run.model:
        values |= {"model": run.model.location, "revision": run.model.revision}
    if run.reward_model:
        values["reward_model"] = run.reward_model.location
    if run.kind == Run.Kind.EVALUATE and run.model and run.model.kind == ModelVersion.Kind.POLICY and run.model.parent:
        values |= {"reference_model": run.model.parent.location, "reference_revision": run.model.parent.revision}
    return rlhf.from_dict(run.kind, values)


@transaction.atomic
def cancel_run(run: Run, *, by: User | None) -> None:
    """A queued run ends at once; a running one finishes its step first. A finished one is refused."""
    AuditEntry.objects.record(Verb.RUN_CANCELLED, by=by, project=run.project, subject=f"run {run.pk}")
    if run.move(Run.Status.QUEUED, Run.Status.CANCELLED, finished_at=timezone.now()):
        return
    if not Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING).update(is_cancel_requested=True):
        run.refresh_from_db()
        raise ValueError(
            _("This run has already ended (%(status)s): there is nothing to stop.")
            % {"status": run.get_status_display()}
        )
    run.refresh_from_db()


@transaction.atomic
def resume_run(run: Run, *, by: User | None) -> None:
    """Queue a failed or cancelled run again; it goes on from its newest whole checkpoint."""
    AuditEntry.objects.record(Verb.RUN_RESUMED, by=by, project=run.project, subject=f"run {run.pk}")
    fresh: dict[str, Any] = {
        "error": "",
        "is_cancel_requested": False,
        "attempt": 0,
        "finished_at": None,
        "queued_at": timezone.now(),
    }
    for ended in (Run.Status.FAILED, Run.Status.CANCELLED):
        if run.move(ended, Run.Status.QUEUED, seconds_left=None, **fresh):
            return
    run.refresh_from_db()
    raise ValueError(
        _("Only a failed or cancelled run can be resumed; this one is %(status)s.")
        % {"status": run.get_status_display()}
    )


def rerun(run: Run, *, by: User | None, changes: Mapping[str, Any] | None = None) -> Run:
    """A new run like this one, with these settings changed."""
    return start_run(
        run.project,
        kind=run.kind,
        config={**run.config, **(changes or {})},
        by=by,
        snapshot=run.snapshot,
        model=run.model,
        reward_model=run.reward_model,
    )


def fail_stale_runs() -> list[Run]:
    """Sweep: runs whose worker is gone are queued again, or failed after max_restarts; a lost message is named too.

    Returns the runs whose message is to be sent (again).
    """
    now = timezone.now()
    to_send = []
    for run in Run.objects.stale(now):
        end: dict[str, Any] = {"held_by": run.worker, "finished_at": now, "seconds_left": None}
        if run.is_cancel_requested:
            run.move(Run.Status.RUNNING, Run.Status.CANCELLED, **end)
        elif run.attempt >= run.max_restarts:
            times = f"{run.attempt + 1} times"
            sentence = f"Its worker was lost {times}, so it was given up. See the log, then resume it from here."
            run.move(Run.Status.RUNNING, Run.Status.FAILED, error=sentence, **end)
        elif requeue(run, attempt=run.attempt + 1):
            to_send.append(run)
    for run in Run.objects.unclaimed(now):
        if Run.objects.unclaimed(now).filter(pk=run.pk).update(queued_at=now):
            to_send.append(run)
    return to_send


def requeue(run: Run, *, attempt: int) -> bool:
    """Back into the queue from the worker that held it; True when this call did it."""
    return run.move(
        Run.Status.RUNNING, Run.Status.QUEUED, held_by=run.worker, attempt=attempt, queued_at=timezone.now(), worker=""
    )


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
    if current[version.pk].stage == stage:
        raise ValueError(
            _("%(version)s is already at this stage (%(stage)s).")
            % {"version": version, "stage": current[version.pk].get_stage_display()}
        )
    if stage == ModelVersion.Stage.PRODUCTION:
        for former in current.values():
            if former.stage == stage:
                _move_stage(former, ModelVersion.Stage.ARCHIVED, by=by, reason=f"{version} took its place.")
    change = [current[version.pk].stage, stage]
    AuditEntry.objects.record(Verb.MODEL_PROMOTED, by=by, project=version.project, subject=version.name, stage=change)
    return _move_stage(version, stage, by=by, reason=reason.strip())


def _move_stage(version: ModelVersion, stage: str, *, by: User | None, reason: str) -> StageChange:
    version.stage = stage
    version.save(update_fields=["stage"])
    return StageChange.objects.create(version=version, stage=stage, by=by, reason=reason)


def publish_responses(run: Run) -> list[Response]:
    """A generate run's answers become responses whose source is the version's name; a second call adds nothing.

    Answers to prompts that are gone by now are left out. An empty answer stays: a version that falls silent must show.
    """
    assert run.model, "a generate run has a model"
    with RunDir(run.folder).responses.open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    prompts = Prompt.objects.filter(project=run.project).in_bulk({int(line["prompt_id"]) for line in lines})
    written = [(prompts[pk], line) for line in lines if (pk := int(line["prompt_id"])) in prompts]
    responses: list[Response] = []
    for start in range(0, len(written), PUBLISHED_AT_ONCE):
        responses += _publish(run, run.model, written[start : start + PUBLISHED_AT_ONCE])
    return responses


@transaction.atomic
def _publish(run: Run, version: ModelVersion, written: list[tuple[Prompt, dict[str, Any]]]) -> list[Response]:
    content.lock(run.project)
    new = [(prompt.pk, content.NewResponse(storable(line["text"]), source=version.name)) for prompt, line in written]
    answers, _created = content.add_answers(new)
    found = Response.objects.select_related("prompt").in_bulk([answer.id for answer in answers])
    rows = [found[answer.id] for answer in answers]
    by_response = {row.pk: _generation(run, version, row, line) for row, (_, line) in zip(rows, written, strict=True)}
    # The same words from an earlier run: the newest run, with its reward model's score, is the one that counts.
    Generation.objects.bulk_create(
        by_response.values(),
        update_conflicts=True,
        unique_fields=["response"],
        update_fields=["run", "settings", "reward", "logprob", "num_tokens", "has_ended"],
    )
    return rows


def storable(text: str) -> str:
    """A model may write any byte, and PostgreSQL keeps all but one: NUL becomes the replacement character."""
    return text.replace("\0", "\ufffd")


def _generation(run: Run, version: ModelVersion, response: Response, line: Mapping[str, Any]) -> Generation:
    return Generation(
        response=response,
        version=version,
        run=run,
        settings={key: run.config[key] for key in ("temperature", "max_response_tokens", "seed")},
        reward=line.get("reward"),
        logprob=line["logprob"],
        num_tokens=line["num_tokens"],
        has_ended=line["ended"],
    )


def send_to_annotators(
    project: Project, *, pairs: Iterable[tuple[int, int]], overlap: int | None = None, priority: int = 0
) -> int:
    """Ask people which of two answers is better, for pairs of response ids; returns how many questions are new."""
    pairs = list(pairs)
    ids = {pk for pair in pairs for pk in pair}
    rows = Response.objects.select_related("prompt").filter(prompt__project=project).in_bulk(ids)
    if missing := ids - set(rows):
        raise ValueError(
            _("%(project)s has no response %(response)d: reload the page and choose again.")
            % {"project": project, "response": min(missing)}
        )
    chosen = [(rows[a], rows[b]) for a, b in pairs]
    return len(content.add_comparisons(project, chosen, overlap=overlap, priority=priority))
