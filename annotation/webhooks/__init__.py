"""How a project tells other programs what happens in it, as Standard Webhooks describes (docs/api.md).

What happened is written to an outbox in the same transaction (`announce`), and sent later by `deliver_due`.
"""

from annotation.webhooks.addresses import check_url
from annotation.webhooks.delivery import deliver_due, prune
from annotation.webhooks.outbox import announce, announce_judgment, announce_test, remember_events
from annotation.webhooks.signing import new_secret

__all__ = [
    "announce",
    "announce_judgment",
    "announce_test",
    "check_url",
    "deliver_due",
    "new_secret",
    "prune",
    "remember_events",
]
