"""Mails about ended runs, to whoever started them: Run.mail_at is the outbox, and the sweeper empties it.

A mail is claimed by moving mail_at into the future, so two sweepers do not send it twice, and one that could not be
sent comes up again by itself.
"""

from __future__ import annotations

import datetime
import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from training.models import Run

logger = logging.getLogger(__name__)

AGAIN_AFTER = datetime.timedelta(minutes=5)
GIVE_UP_AFTER = datetime.timedelta(days=1)
"""A day after its end, nobody needs to be told of a run by a mail."""


def mail_ended_runs() -> int:
    """Send what is due; returns how many mails went out."""
    now = timezone.now()
    Run.objects.filter(mail_at__isnull=False, finished_at__lt=now - GIVE_UP_AFTER).update(mail_at=None)
    due = Run.objects.filter(mail_at__lte=now).select_related("project", "created_by", "version")
    return sum(_send(run) for run in due if _claim(run, now))


def _claim(run: Run, now: datetime.datetime) -> bool:
    again = now + AGAIN_AFTER
    return Run.objects.filter(pk=run.pk, mail_at=run.mail_at).update(mail_at=again) == 1


def _send(run: Run) -> bool:
    person = run.created_by
    if person and person.email and person.is_active:
        with translation.override(person.language or settings.LANGUAGE_CODE):
            subject, text = _written(run)
        try:
            send_mail(" ".join(subject.split()), text, None, [person.email])
        except (OSError, SMTPException):
            logger.exception("run %s: its mail could not be sent; it is tried again in %s", run.pk, AGAIN_AFTER)
            return False
    Run.objects.filter(pk=run.pk).update(mail_at=None)
    return True


def _written(run: Run) -> tuple[str, str]:
    """Subject and text, in the language that is active."""
    page = settings.SITE_ADDRESS + reverse("training:run", args=[run.pk])
    kind = run.get_kind_display()
    values = {"number": run.pk, "kind": kind[:1].upper() + kind[1:], "project": run.project, "page": page}
    values |= {"error": run.error, "runs": settings.SITE_ADDRESS + reverse("training:runs")}
    choose = _("Choose which of these mails you get: %(runs)s")
    if run.status == Run.Status.FAILED:
        subject = _("[Plumbline] Run %(number)d of %(project)s failed")
        text = _("%(kind)s: run %(number)d of %(project)s failed.\n\n%(error)s\n\n%(page)s")
    else:
        subject = _("[Plumbline] Run %(number)d of %(project)s succeeded")
        text = _("%(kind)s: run %(number)d of %(project)s succeeded.\n\n%(page)s")
    return subject % values, f"{text}\n\n-- \n{choose}\n" % values
