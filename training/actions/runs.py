"""Verbs of runs: start, cancel, resume, rerun, sweep.

None of these sends a message to the workers, because actions do not know tasks: whoever calls start_run, resume_run or
rerun follows it with `execute_run.delay_on_commit(run.pk)`. A call that forgets it costs time, not the run: the sweeper
sends it too.
"""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotation.models import AuditEntry, Project, User, Verb
from training.actions.ending import end_run
from training.models import ModelVersion, Run, Snapshot, Sweep
from training.rlhf import config as rlhf

POLICIES = (ModelVersion.Kind.BASE, ModelVersion.Kind.POLICY)
LEARNED_FROM = {"demonstrations": gettext_lazy("demonstrations"), "pairs": gettext_lazy("pairs")}
LEARNS_FROM = {
    Run.Kind.SFT: "demonstrations", Run.Kind.REWARD: "pairs", Run.Kind.DPO: "pairs", Run.Kind.ILQL: "pairs",
}  # fmt: skip
CHANGES_NOTHING = (Run.Kind.GENERATE, Run.Kind.EVALUATE, Run.Kind.COMPARE)


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
    watcher: ModelVersion | None = None,
    reference: ModelVersion | None = None,
) -> Run:
    """Queue a run. `config` holds what the form asks for; paths are filled in from the versions."""
    _check_inputs(project, kind=kind, snapshot=snapshot, model=model, scorers=[reward_model, watcher])
    _check_reference(project, kind=kind, model=model, reference=reference)
    run = Run(
        project=project, kind=kind, created_by=by,
        snapshot=snapshot, model=model, reward_model=reward_model, watcher=watcher,
        reference=reference,
    )  # fmt: skip
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
    scorers: list[ModelVersion | None],
) -> None:
    """ValueError unless a run of this kind has what it needs, all of it from this project."""
    if kind not in Run.Kind.values:
        raise ValueError(f"kind must be one of {', '.join(Run.Kind.values)}, got {kind!r}.")
    reward_model, watcher = scorers
    for row in (snapshot, model, *scorers):
        if row is not None and row.project_id != project.pk:
            raise ValueError(
                _("%(row)s belongs to another project: choose one of %(project)s.") % {"row": row, "project": project}
            )
    model = _checked_start(model, kind)
    for scorer in scorers:
        if scorer is not None and scorer.kind != ModelVersion.Kind.REWARD:
            raise ValueError(
                _("%(model)s is a %(kind)s: choose a reward model to score with.")
                % {"model": scorer, "kind": scorer.get_kind_display()}
            )
    if watcher is not None and watcher == reward_model:
        raise ValueError(_("The reward model that watches is the one that pays: choose another, or none."))
    if kind == Run.Kind.POLICY and reward_model is None:
        raise ValueError(_("Choose the reward model that the policy is tuned against."))
    needs = LEARNS_FROM.get(Run.Kind(kind))
    if kind == Run.Kind.EVALUATE and model.kind == ModelVersion.Kind.REWARD:
        needs = "pairs"
    if needs and snapshot is None:
        raise ValueError(_("Choose a snapshot: this run needs its %(needs)s.") % {"needs": LEARNED_FROM[needs]})
    if needs and snapshot and not snapshot.counts.get(needs):
        raise ValueError(
            _("Snapshot %(snapshot)s holds no %(needs)s: choose another, or collect some and freeze again.")
            % {"snapshot": snapshot, "needs": LEARNED_FROM[needs]}
        )


def _checked_start(model: ModelVersion | None, kind: str) -> ModelVersion:
    """The version itself; ValueError unless a run of this kind can start from it."""
    if model is None:
        raise ValueError(_("Choose the model version that this run starts from."))
    if model.kind not in POLICIES and kind != Run.Kind.EVALUATE:
        raise ValueError(
            _("%(model)s is a %(kind)s: choose a base model or a policy.")
            % {"model": model, "kind": model.get_kind_display()}
        )
    if model.is_served and kind != Run.Kind.GENERATE:
        raise ValueError(
            _("%(model)s lives on a server and can only answer prompts: choose a model that is here.")
            % {"model": model}
        )
    if model.run and model.run.kind == Run.Kind.ILQL and kind not in CHANGES_NOTHING:
        raise ValueError(
            _("%(model)s is steered by token values (ILQL) and cannot be trained on: choose the model it came from.")
            % {"model": model}
        )
    return model


def _check_reference(
    project: Project, *, kind: str, model: ModelVersion | None, reference: ModelVersion | None
) -> None:
    """Two models that write answers, of this project and not the same one twice; no other kind of run has a second."""
    if (kind == Run.Kind.COMPARE) != (reference is not None):
        raise ValueError(_("A run that compares needs two models, and no other run takes a second one."))
    if reference is None:
        return
    if reference == model:
        raise ValueError(_("A model is compared with another one: choose two."))
    if reference.project_id != project.pk:
        raise ValueError(
            _("%(row)s belongs to another project: choose one of %(project)s.") % {"row": reference, "project": project}
        )
    if reference.kind not in POLICIES:
        raise ValueError(
            _("%(model)s is a %(kind)s: choose a base model or a policy.")
            % {"model": reference, "kind": reference.get_kind_display()}
        )


def trainer_config(run: Run) -> rlhf.Config:
    """The whole config of a run, with the folders of its models; ValueError with the config's own sentence."""
    values = dict(run.config)
    if run.model:
        values |= {"model": run.model.location, "revision": run.model.revision}
    if run.reward_model:
        values["reward_model"] = run.reward_model.location
    if run.watcher:
        values["watcher"] = run.watcher.location
    if run.reference:
        values |= {"reference_model": run.reference.location, "reference_revision": run.reference.revision}
    if run.kind == Run.Kind.EVALUATE and run.model and run.model.kind == ModelVersion.Kind.POLICY and run.model.parent:
        values |= {"reference_model": run.model.parent.location, "reference_revision": run.model.parent.revision}
    config = rlhf.from_dict(run.kind, values)
    _refuse_server(run, config)
    return config


def _refuse_server(run: Run, config: rlhf.Config) -> None:
    """ValueError where a run would ask a server that the operator has not named, or none where it needs one."""
    backend = getattr(config, "backend", "model")
    if run.model and run.model.is_served and backend == "model":
        raise ValueError(
            _("%(model)s is answered for by a server: set backend to openai, and server to its address.")
            % {"model": run.model}
        )
    if backend == "openai" and getattr(config, "server", "") not in settings.MODEL_SERVERS:
        raise ValueError(
            _(
                "server must be an address that this Plumbline may ask (%(allowed)s). Whoever runs it adds others with "
                "MODEL_SERVERS."
            )
            % {"allowed": ", ".join(settings.MODEL_SERVERS) or _("there is none yet")}
        )


MOST_SEEDS = 8


@transaction.atomic
def start_sweep(
    project: Project, *, kind: str, config: Mapping[str, Any], by: User | None, num_seeds: int, **inputs: Any
) -> Sweep:
    """Queue runs that differ in their seed alone: the given one and those after it."""
    if not 2 <= num_seeds <= MOST_SEEDS:
        raise ValueError(_("A sweep has 2 to %(most)s seeds: change their number.") % {"most": MOST_SEEDS})
    sweep = Sweep.objects.create(project=project, created_by=by)
    for number in range(num_seeds):
        seeded = {**config, "seed": int(config.get("seed", 0)) + number}
        run = start_run(project, kind=kind, config=seeded, by=by, **inputs)
        run.sweep = sweep
        run.save(update_fields=["sweep"])
    return sweep


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
        "mail_at": None,
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
        watcher=run.watcher,
        reference=run.reference,
    )


def fail_stale_runs() -> list[Run]:
    """Sweep: runs whose worker is gone are queued again, or failed after max_restarts; a lost message is named too.

    Returns the runs whose message is to be sent (again).
    """
    now = timezone.now()
    to_send = []
    for run in Run.objects.stale(now):
        if run.is_cancel_requested:
            end_run(run, Run.Status.CANCELLED, held_by=run.worker)
        elif run.attempt >= run.max_restarts:
            times = f"{run.attempt + 1} times"
            sentence = f"Its worker was lost {times}, so it was given up. See the log, then resume it from here."
            end_run(run, Run.Status.FAILED, held_by=run.worker, error=sentence)
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
