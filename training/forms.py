"""The forms of the training pages. RunForm is drawn from a run kind's config and repeats the config's own sentences."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotation.models import Project
from training.actions import MOST_SEEDS
from training.actions.reviews import LONGEST_TEXT
from training.models import ModelVersion, Review, Run, Snapshot
from training.rlhf.config import KINDS, FieldHelp, SettingError, describe, from_dict

ESSENTIAL: dict[str, tuple[str, ...]] = {
    Run.Kind.SFT: ("learning_rate", "batch_size", "epochs", "lora_rank", "seed"),
    Run.Kind.REWARD: ("learning_rate", "batch_size", "epochs", "lora_rank", "seed"),
    Run.Kind.DPO: ("learning_rate", "batch_size", "epochs", "beta", "loss", "lora_rank", "seed"),
    Run.Kind.ILQL: ("learning_rate", "batch_size", "epochs", "beta", "expectile", "lora_rank", "seed"),
    Run.Kind.POLICY: (
        *("algorithm", "total_episodes", "rollout_batch_size", "learning_rate", "kl_coef", "max_response_tokens"),
        *("temperature", "lora_rank", "seed"),
    ),
    Run.Kind.GENERATE: (
        *("samples_per_prompt", "temperature", "max_response_tokens", "split", "seed", "backend", "server"),
        "server_model",
    ),
    Run.Kind.EVALUATE: ("split", "batch_size", "max_response_tokens", "seed"),
}
"""The settings that people turn first; all others lie folded up below them."""

SCORED = {Run.Kind.POLICY, Run.Kind.GENERATE, Run.Kind.EVALUATE}
"""Kinds of run that take a reward model; only a policy run cannot do without."""

NEED_SNAPSHOT = {Run.Kind.SFT, Run.Kind.REWARD, Run.Kind.DPO, Run.Kind.ILQL}
"""Kinds of run that learn from labels; the others can do with the project's prompts alone."""

SWEPT = {Run.Kind.SFT, Run.Kind.REWARD, Run.Kind.POLICY, Run.Kind.DPO, Run.Kind.ILQL}
"""Kinds of run that learn: their result depends on the seed."""

MAX_SNAPSHOTS = 12


class SnapshotChoice(forms.ModelChoiceField):
    def label_from_instance(self, snapshot: Snapshot) -> str:
        return snapshot.content_hash[:10]


class VersionChoice(forms.ModelChoiceField):
    def label_from_instance(self, version: ModelVersion) -> str:
        return f"{version.name} · {version.get_kind_display()} · {version.get_stage_display()}"


class RunForm(forms.Form):
    """What a run starts from and every setting of its kind. Wrong values come back with the config's own sentence."""

    def __init__(self, *args: Any, project: Project, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.project = project
        self.kind = Run.Kind(kind)
        self._add_inputs()
        self.settings = [setting for setting in describe(KINDS[kind]) if not setting.filled_by_app]
        for setting in self.settings:
            self.fields[setting.name] = draw(setting)
        if self.kind in SWEPT:
            self.fields["num_seeds"] = forms.IntegerField(
                label=_("Number of seeds"),
                min_value=1,
                max_value=MOST_SEEDS,
                initial=1,
                required=False,
                help_text=_(
                    "More than one starts as many runs that differ in their seed alone, and shows their spread."
                ),
            )
        self._suggest()
        for field in self.fields.values():
            field.widget.attrs.pop("required", None)
        self.use_required_attribute = False

    def _add_inputs(self) -> None:
        newest = Snapshot.objects.filter(project=self.project)[:MAX_SNAPSHOTS]
        self.snapshots = list(newest)
        self.fields["snapshot"] = SnapshotChoice(
            Snapshot.objects.with_changes().filter(pk__in=[snapshot.pk for snapshot in self.snapshots]),
            label=_("Snapshot"),
            widget=forms.RadioSelect,
            empty_label=None if self.kind in NEED_SNAPSHOT else _("all prompts of the project"),
            required=self.kind in NEED_SNAPSHOT,
            initial=self.snapshots[0].pk if self.snapshots else None,
            error_messages={"required": _("Choose the snapshot to train on, or freeze one first.")},
        )
        versions = ModelVersion.objects.filter(project=self.project).exclude(stage=ModelVersion.Stage.ARCHIVED)
        startable = versions if self.kind == Run.Kind.EVALUATE else versions.policies()
        self.fields["model"] = VersionChoice(
            startable.order_by("-id"),
            label=_("Model"),
            empty_label=None,
            help_text=MODEL_HELP[self.kind],
            initial=_default(startable),
            error_messages={"required": _("Choose a model to start from; register one first if the list is empty.")},
        )
        if self.kind not in SCORED:
            return
        scorers = versions.reward_models()
        self.fields["reward_model"] = VersionChoice(
            scorers.order_by("-id"),
            label=_("Reward model"),
            required=self.kind == Run.Kind.POLICY,
            empty_label=None if self.kind == Run.Kind.POLICY else _("none"),
            help_text=_("Scores the answers."),
            initial=_default(scorers),
            error_messages={"required": _("Choose the reward model that scores the answers, or train one first.")},
        )
        if self.kind == Run.Kind.POLICY:
            self.fields["watcher"] = VersionChoice(
                scorers.order_by("-id"),
                label=_("Another reward model that watches"),
                required=False,
                empty_label=_("none"),
                help_text=_("Pays nothing. When its score falls while the reward rises, the run says so."),
            )

    def _suggest(self) -> None:
        """Begin with the settings that suit the model, where it brings any."""
        chosen = self.initial.get("model") or self.fields["model"].initial
        version = ModelVersion.objects.filter(project=self.project, pk=chosen).first()
        presets = version.presets.get(self.kind, {}) if version else {}
        for setting in self.settings:
            if setting.name in presets:
                self.initial.setdefault(setting.name, presets[setting.name])

    @property
    def essential(self) -> list[forms.BoundField]:
        return [self[name] for name in ESSENTIAL[self.kind]]

    @property
    def others(self) -> list[forms.BoundField]:
        return [self[setting.name] for setting in self.settings if setting.name not in ESSENTIAL[self.kind]]

    @property
    def has_folded_errors(self) -> bool:
        """An error below the fold opens it."""
        return any(field.errors for field in self.others)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        values = {
            setting.name: parse(setting, cleaned[setting.name])
            for setting in self.settings
            if setting.name in cleaned and not (cleaned[setting.name] == "" and setting.kind != "str")
        }
        try:
            from_dict(self.kind, values)
        except SettingError as error:
            self.add_error(self._owner(str(error)), error.said_in(gettext))
        cleaned["config"] = values
        return cleaned

    def _owner(self, sentence: str) -> str | None:
        """The field that a sentence of the config speaks of: it opens with the field's name."""
        first = sentence.split()[0].strip("'\",:")
        return first if first in self.fields else None

    def initial_from(self, run: Run) -> None:
        """Take over everything of an earlier run, to be started again with changes."""
        self.initial.update({"snapshot": run.snapshot_id, "model": run.model_id, "reward_model": run.reward_model_id})
        self.initial["watcher"] = run.watcher_id
        self.initial.update(
            {setting.name: run.config[setting.name] for setting in self.settings if setting.name in run.config}
        )


MODEL_HELP = {
    Run.Kind.SFT: _("The weights it starts from."),
    Run.Kind.REWARD: _("Its trunk starts from these weights; a new head gives the score."),
    Run.Kind.DPO: _("The policy starts from it, and is measured against it."),
    Run.Kind.ILQL: _("It keeps its weights; values learned on a copy of it steer what it writes."),
    Run.Kind.POLICY: _("The policy starts from it, and the KL is measured from it."),
    Run.Kind.GENERATE: _("Writes the answers."),
    Run.Kind.EVALUATE: _("Is measured."),
}


def _default(versions: Any) -> int | None:
    """What is in production, else the newest."""
    in_production = versions.filter(stage=ModelVersion.Stage.PRODUCTION).order_by("-id").first()
    chosen = in_production or versions.order_by("-id").first()
    return chosen.pk if chosen else None


def draw(setting: FieldHelp) -> forms.Field:
    """The form field of one setting. Texts are taken as they are: the config says what is wrong with them."""
    shared: dict[str, Any] = {
        "label": setting.name,
        "help_text": gettext(setting.help),
        "required": False,
        "initial": setting.default,
    }
    if setting.kind == "bool":
        return forms.BooleanField(**shared)
    if setting.kind == "choice":
        return forms.CharField(widget=forms.Select(choices=[(name, name) for name in setting.choices]), **shared)
    numeric = {"inputmode": "decimal" if setting.kind == "float" else "numeric"} if setting.kind != "str" else {}
    return forms.CharField(
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", **numeric}), **shared
    )


def parse(setting: FieldHelp, value: Any) -> Any:
    """Numbers as numbers; a text that is none is handed on, so that the config's sentence can quote it."""
    if setting.kind not in ("int", "float") or not isinstance(value, str):
        return value
    for convert in (int, float):
        try:
            return convert(value)
        except ValueError:
            continue
    return value


class FreezeForm(forms.Form):
    validation_share = forms.FloatField(
        label=_("Validation share"), min_value=0, max_value=0.5, initial=0.1,
        help_text=_("Of the prompts: watched while training."),
    )  # fmt: skip
    test_share = forms.FloatField(
        label=_("Test share"), min_value=0, max_value=0.5, initial=0.1,
        help_text=_("Of the prompts: measured once, at the end."),
    )  # fmt: skip
    seed = forms.IntegerField(
        label=_("Seed"), min_value=0, initial=0,
        help_text=_("With the prompt's content it decides the split; the same seed keeps every prompt where it was."),
    )  # fmt: skip
    include_simulated = forms.BooleanField(
        label=_("Include simulated labels"), required=False, initial=True,
        help_text=_("Labels by programs that follow a stated rule. Everything trained on them is marked."),
    )  # fmt: skip


class PromoteForm(forms.Form):
    stage = forms.ChoiceField(label=_("Stage"), choices=ModelVersion.Stage.choices)
    reason = forms.CharField(
        label=_("Reason"), widget=forms.Textarea(attrs={"rows": 3}), max_length=2000,
        help_text=_("What you saw that speaks for it. It stays with the version."),
    )  # fmt: skip


OPPONENTS = {
    "production": _("%(version)s · in production"),
    "base": _("%(version)s · the baseline"),
    "parent": _("%(version)s · its parent"),
    "itself": _("its own other answers"),
    "other": _("%(version)s"),
}


class RoundForm(forms.Form):
    """Which of a version's answers go back to people, against whose, and how many of them by chance."""

    opponent = forms.ChoiceField(label=_("Against"), help_text=_("People see two answers and never whose they are."))
    num = forms.IntegerField(
        label=_("Questions"), min_value=1, max_value=100_000, initial=100,
        help_text=_("At most; fewer where fewer answers differ."),
    )  # fmt: skip
    random_percent = forms.IntegerField(
        label=_("By chance, in %"), min_value=0, max_value=100, initial=30,
        help_text=_(
            "The win rate is that of these alone. The others are the pairs that the reward model is least sure of: "
            "their labels teach it most."
        ),
    )  # fmt: skip
    overlap = forms.IntegerField(label=_("People per task"), min_value=1, max_value=1000)
    priority = forms.IntegerField(
        label=_("Priority"), initial=0, min_value=-1000, max_value=1000, help_text=_("Higher is asked first.")
    )
    seed = forms.IntegerField(
        label=_("Seed"), min_value=0, max_value=2**31 - 1, initial=0,
        help_text=_("The same answers and the same seed draw the same questions."),
    )  # fmt: skip

    def __init__(self, *args: Any, opponents: list[tuple[str, ModelVersion]], overlap: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.versions = {str(version.pk): version for _why, version in opponents}
        field = self.fields["opponent"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(str(version.pk), OPPONENTS[why] % {"version": version}) for why, version in opponents]
        self.fields["overlap"].initial = overlap

    def clean_opponent(self) -> ModelVersion:
        return self.versions[self.cleaned_data["opponent"]]


class PushForm(forms.Form):
    repo_id = forms.CharField(label=_("Repository"), max_length=200, help_text=_("As owner/name."))
    is_private = forms.BooleanField(
        label=_("Private"), required=False, initial=True, help_text=_("Only who is invited sees it.")
    )


class CommentForm(forms.Form):
    text = forms.CharField(label=_("Comment"), widget=forms.Textarea(attrs={"rows": 3}), max_length=LONGEST_TEXT)


class CloseReviewForm(forms.Form):
    status = forms.ChoiceField(
        label=_("Verdict"), widget=forms.RadioSelect,
        choices=[(Review.Status.APPROVED, _("approve")), (Review.Status.REJECTED, _("reject"))],
    )  # fmt: skip
    reason = forms.CharField(
        label=_("Reason"), widget=forms.Textarea(attrs={"rows": 3}), max_length=LONGEST_TEXT,
        help_text=_("What decided it. It stays with both versions."),
    )  # fmt: skip
