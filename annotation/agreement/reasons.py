"""Why a figure is not there, in a sentence that says what would change it."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Reason(TextChoices):
    NOTHING = "nothing", _("Nobody has judged anything here yet.")
    ONE_PERSON = "one_person", _("Only one person has judged: agreement takes two.")
    NO_OVERLAP = "no_overlap", _("No question was judged by two people: raise the overlap of some tasks.")
    ONE_VALUE = "one_value", _("Everybody said the same every time: without any difference, chance is not defined.")
    ONE_PROMPT = "one_prompt", _("All of it is about one prompt: an interval takes several.")
    TOO_FEW = "too_few", _("Too few prompts on which people said different things for an interval.")
    NO_ORDERS = "no_orders", _("Nobody has rated two answers to one prompt that somebody else rated too.")
