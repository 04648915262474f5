"""What admins send about tasks: what to make, which to list, what to change, what is right."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotation.controls import check_gold
from annotation.forms.task import one_newline
from annotation.models import Gold, Making, Project, Task
from annotation.pairing import Asked, Pairing, check, sources


class TaskFilterForm(forms.Form):
    """What the list of tasks shows; nothing here can be wrong enough for a sentence."""

    STATES = [("", _("all")), ("open", _("open")), ("done", _("done")), ("withdrawn", _("withdrawn"))]
    PURPOSES = [("", _("all")), ("question", _("questions")), *Task.Control.choices]
    ORDERS = [
        ("", _("as they are asked")),
        ("-id", _("newest first")),
        ("-num_judged", _("most judged first")),
        ("num_judged", _("least judged first")),
    ]

    search = forms.CharField(label=_("Search in prompts"), required=False)
    state = forms.ChoiceField(label=_("State"), choices=STATES, required=False)
    kind = forms.ChoiceField(label=_("Kind"), choices=[("", _("all")), *Task.Kind.choices], required=False)
    purpose = forms.ChoiceField(label=_("Purpose"), choices=PURPOSES, required=False)
    making = forms.ModelChoiceField(
        label=_("Made together"), queryset=Making.objects.none(), required=False, empty_label=_("all")
    )
    order = forms.ChoiceField(label=_("Order"), choices=ORDERS, required=False)

    def __init__(self, data: Any = None, *, project: Project) -> None:
        super().__init__(data)
        field = self.fields["making"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Making.objects.filter(project=project)
        field.label_from_instance = making_label  # type: ignore[method-assign, assignment]  # as Django names choices

    def is_filtering(self) -> bool:
        return any(self.cleaned_data.get(name) for name in self.fields if name != "order")


def making_label(making: Making) -> str:
    kinds = {**dict(Pairing.choices), "repeats": _("asked again"), "round": _("a round of a model's answers")}
    return gettext("%(number)d · %(kind)s · %(num)d tasks") % {
        "number": making.pk,
        "kind": kinds.get(making.kind, making.kind),
        "num": making.num_tasks,
    }


class NewTasksForm(forms.Form):
    """Makes tasks of the answers that are there."""

    what = forms.ChoiceField(label=_("Ask about"), choices=Pairing.choices)
    source = forms.ChoiceField(label=_("Source"), required=False)
    against = forms.ChoiceField(label=_("Against"), required=False)
    among = forms.MultipleChoiceField(
        label=_("Only answers of"), required=False, widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: of all sources."),
    )  # fmt: skip
    num_ranked = forms.IntegerField(
        label=_("Answers in a ranking"), initial=4, min_value=3, max_value=6, required=False
    )
    overlap = forms.IntegerField(label=_("People per task"), min_value=1, max_value=1000)
    priority = forms.IntegerField(
        label=_("Priority"), initial=0, min_value=-1000, max_value=1000, help_text=_("Higher is asked first.")
    )

    def __init__(self, data: Any = None, *, project: Project) -> None:
        super().__init__(data, initial={"overlap": project.overlap})
        self.project = project
        choices = [(source, f"{source} ({num})") for source, num in sources(project)]
        for name, found in (("source", [("", "—"), *choices]), ("against", [("", "—"), *choices]), ("among", choices)):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = found

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if self.errors:
            return values
        try:
            check(self.project, self.asked())
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        return values

    def asked(self) -> Asked:
        values = self.cleaned_data
        return Asked(
            pairing=Pairing(values["what"]),
            source=values["source"],
            against=values["against"],
            among=tuple(values["among"]),
            num_ranked=values["num_ranked"] or 4,
        )


class TaskChangeForm(forms.Form):
    """What to do with the ticked tasks, or with all that the list's filters let through."""

    WITHDRAW, RESTORE, PRIORITY, OVERLAP = "withdraw", "restore", "priority", "overlap"
    CHANGES = [
        (WITHDRAW, _("withdraw")),
        (RESTORE, _("bring back")),
        (PRIORITY, _("set the priority to")),
        (OVERLAP, _("set the people per task to")),
    ]

    change = forms.ChoiceField(label=_("Change"), choices=CHANGES)
    value = forms.IntegerField(label=_("Number"), required=False, min_value=-1000, max_value=1000)
    all = forms.BooleanField(label=_("All that match the filters"), required=False)
    task = forms.TypedMultipleChoiceField(required=False, coerce=int)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        ticked = data.getlist("task") if data is not None else []
        field = self.fields["task"]
        assert isinstance(field, forms.TypedMultipleChoiceField)
        field.choices = [(pk, pk) for pk in ticked if pk.isascii() and pk.isdecimal() and len(pk) < 19]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        change, value = values.get("change"), values.get("value")
        if not values.get("all") and not values.get("task"):
            raise forms.ValidationError(gettext("Tick the tasks to change, or choose all that match."))
        if change in (self.PRIORITY, self.OVERLAP) and value is None and "value" not in self.errors:
            raise forms.ValidationError(gettext("Say which number to set."))
        if change == self.OVERLAP and value is not None and value < 1:
            raise forms.ValidationError(gettext("At least one person must judge each task: set 1 or more."))
        return values

    def changes(self) -> dict[str, Any]:
        """What `actions.change_tasks` takes."""
        change, value = self.cleaned_data["change"], self.cleaned_data["value"]
        if change in (self.PRIORITY, self.OVERLAP):
            return {change: value}
        return {"is_withdrawn": change == self.WITHDRAW}


class RepeatsForm(forms.Form):
    percent = forms.IntegerField(
        label=_("Percent of all judgments"), initial=5, min_value=1, max_value=100,
        help_text=_("Each is asked of the person who gave it, once, with the answers in another order."),
    )  # fmt: skip


class ControlsForm(forms.Form):
    percent = forms.IntegerField(
        label=_("Percent of what each person gets"), min_value=0, max_value=50,
        help_text=_("Gold tasks and repeats are mixed in at random, while there are any."),
    )  # fmt: skip
    repeats = forms.IntegerField(
        label=_("Percent of what each person judged that they are asked again"), min_value=0, max_value=50,
        help_text=_("Repeats are made by themselves, every few minutes, for those at work. 0: none."),
    )  # fmt: skip

    @classmethod
    def of(cls, project: Project) -> ControlsForm:
        shares = {"percent": project.control_share, "repeats": project.repeat_share}
        return cls(initial={name: round(100 * share) for name, share in shares.items()})


class GoldForm(forms.Form):
    """The right answer of one task."""

    TIE = "tie"

    note = forms.CharField(
        label=_("Why it is right (reviewers see it)"), required=False, widget=forms.Textarea(attrs={"rows": 2})
    )

    def __init__(self, data: Any = None, *, task: Task, gold: Gold | None) -> None:
        self.task = task
        self.criteria = list(task.project.criteria.all()) if task.kind == Task.Kind.RATING else []
        initial: dict[str, Any] = {"note": gold.note} if gold else {}
        if gold:
            initial["preferred"] = str(gold.preferred_id or self.TIE)
            for key, (low, high) in gold.ratings.items():
                initial |= {f"low_{key}": low, f"high_{key}": high}
        super().__init__(data, initial=initial)
        if task.kind == Task.Kind.RATING:
            self._add_ranges()
        else:
            self._add_preferred()
        self.order_fields([name for name in self.fields if name != "note"])

    def _add_ranges(self) -> None:
        for criterion in self.criteria:
            names, most = {"criterion": criterion.name}, criterion.scale_max
            for end, label in (("low", gettext("%(criterion)s: from")), ("high", gettext("%(criterion)s: to"))):
                self.fields[f"{end}_{criterion.key}"] = forms.IntegerField(
                    label=label % names, min_value=1, max_value=most, required=False
                )

    def _add_preferred(self) -> None:
        ids: list[int | None] = [*self.task.candidate_ids] or [self.task.response_a_id, self.task.response_b_id]
        choices = [
            (str(pk), gettext("answer %(letter)s") % {"letter": letter})
            for pk, letter in zip(ids, "ABCDEF", strict=False)
        ]
        if self.task.kind == Task.Kind.COMPARISON:
            choices.append((self.TIE, gettext("a tie")))
        self.fields["preferred"] = forms.ChoiceField(
            label=_("The best is"), choices=choices, widget=forms.RadioSelect,
            error_messages={"required": _("Choose which answer is right.")},
        )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if not self.errors:
            try:
                check_gold(self.gold(), self.task)
            except ValueError as error:
                raise forms.ValidationError(str(error)) from None
        return values

    def gold(self) -> Gold:
        """The right answer, not saved."""
        values = self.cleaned_data
        preferred = values.get("preferred") or self.TIE
        ratings = {}
        for criterion in self.criteria:
            low, high = values.get(f"low_{criterion.key}"), values.get(f"high_{criterion.key}")
            if low is not None or high is not None:
                ratings[criterion.key] = [low or 1, high or criterion.scale_max]
        note = one_newline(values["note"]).strip()
        return Gold(preferred_id=None if preferred == self.TIE else int(preferred), ratings=ratings, note=note)


class GoldPairForm(forms.Form):
    """A gold task written by hand: a question, its right answer and a wrong one."""

    prompt = forms.CharField(label=_("Question"), widget=forms.Textarea(attrs={"rows": 2}))
    right = forms.CharField(label=_("The better answer"), widget=forms.Textarea(attrs={"rows": 3}))
    wrong = forms.CharField(label=_("The worse answer"), widget=forms.Textarea(attrs={"rows": 3}))
    note = forms.CharField(label=_("Why it is right (reviewers see it)"), required=False)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        for name in ("prompt", "right", "wrong"):
            values[name] = one_newline(values.get(name, "")).strip()
        if values["right"] and values["right"] == values["wrong"]:
            raise forms.ValidationError(gettext("The two answers are the same: change one."))
        return values
