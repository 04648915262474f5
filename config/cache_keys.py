"""How entries of the cache are called in the database: by a keyed hash.

What limits the logins names its entries by network addresses, which would otherwise lie there in the clear.
"""

import hashlib
import hmac

from django.conf import settings


def hashed(key: str, prefix: str, version: int) -> str:
    name = f"{prefix}:{version}:{key}"
    return hmac.new(settings.SECRET_KEY.encode(), name.encode(), hashlib.sha256).hexdigest()
