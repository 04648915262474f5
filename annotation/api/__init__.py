"""The REST API under /api/v1/: what programs may do, with a token. docs/api.md describes it.

Each file holds the operations of one subject, thin over the same verbs, doors and queue as the pages.
"""

from annotation.api.v1 import api

__all__ = ["api"]
