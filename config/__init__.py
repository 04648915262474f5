"""How it is wired; no behaviour of the product.

The Celery app is imported here because `.delay()` from the web process would otherwise look for a broker on localhost.
"""

from config.celery import app as celery_app

__all__ = ["celery_app"]
