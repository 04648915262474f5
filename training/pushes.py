"""A push to a model hub, carried out by a worker: its record moves with it, and does not outlive a worker that died.

    carry_out(push_id)      claim, send, close the record; harmless when the push is not (or no longer) queued
    sweep()                 pushes whose worker is gone are failed; those whose message was lost are named

The library sends a commit in one call that may take an hour, so a thread beats the heart meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connection
from django.db.models.functions import Now
from django.utils import timezone

from training import hub
from training.models import HubPush

logger = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
LOST = "The worker that sent it is gone, so nobody knows how far it came. Send it again: what is there is replaced."


def carry_out(push_id: int) -> None:
    push = HubPush.objects.select_related("version__project", "version__parent").filter(pk=push_id).first()
    status = HubPush.Status
    if push is None or not push.move(status.QUEUED, status.RUNNING, alive_at=Now()):
        return
    try:
        with heart(push):
            address = hub.push(push.version, repo_id=push.repo_id, is_private=push.is_private)
    except ValueError as error:  # the person's, or the hub's
        push.move(status.RUNNING, status.FAILED, error=str(error))
    except Exception as error:  # the log gets the traceback, the page a sentence
        sentence = f"Plumbline itself failed here ({type(error).__name__}): see its log."
        push.move(status.RUNNING, status.FAILED, error=sentence)
        raise
    else:
        sent = {"address": address, "error": ""}
        # A worker that slept so long that it was swept has sent it all the same.
        if not push.move(status.RUNNING, status.SUCCEEDED, **sent):
            push.move(status.FAILED, status.SUCCEEDED, **sent)


@contextmanager
def heart(push: HubPush) -> Iterator[None]:
    """Inside, the push is said to be alive now and then."""
    is_over = threading.Event()
    beating = threading.Thread(target=_beat, args=(push.pk, is_over), daemon=True)
    beating.start()
    try:
        yield
    finally:
        is_over.set()
        beating.join()


def _beat(push_id: int, is_over: threading.Event) -> None:
    while not is_over.wait(BEAT_SECONDS):
        try:
            HubPush.objects.filter(pk=push_id, status=HubPush.Status.RUNNING).update(alive_at=Now())
        except DatabaseError:  # it may be back at the next beat; the sweeper waits for several
            logger.warning("push %s: its heartbeat could not be written", push_id, exc_info=True)
        finally:
            connection.close()  # a thread's connection is its own


def sweep() -> list[HubPush]:
    """Fail what has lost its worker; returns the queued ones whose message is to be sent again."""
    now = timezone.now()
    for push in HubPush.objects.stale(now):
        if push.move(HubPush.Status.RUNNING, HubPush.Status.FAILED, error=LOST):
            logger.warning("push %s: its worker is gone", push.pk)
    waiting = HubPush.objects.unclaimed(now)
    return [push for push in waiting if HubPush.objects.unclaimed(now).filter(pk=push.pk).update(alive_at=now)]
