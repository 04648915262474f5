"""How it is wired; no behaviour of the product.

The Celery app is imported here because `.delay()` from the web process would otherwise look for a broker on localhost.
"""

import gc

from config.celery import app as celery_app

# Python would look for circles of garbage at every 700 new objects. A batch of a file makes tens of thousands that live
# until it is written, and to walk them again and again was a quarter of an import's time.
gc.set_threshold(20_000)

__all__ = ["celery_app"]
