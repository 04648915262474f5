"""Figures that take seconds in a large project: counted once, while the page in which they will stand shows how far.

    figures = Awaited(part="board", key=(project.pk, …), count=board_of, num=num_labels)
    found, waits = figures.on(request)  # one of them is None

Where there is little to count, a page is answered with its figures. Where there is much, and nobody has counted it yet,
the page comes at once with `_awaited.html` in their place. That asks for the page again in the name of this part alone
(HX-Target), which is when they are counted, and puts what it gets there; meanwhile it shows a bar. Where no script
runs, a link says ?now. Whoever asks while somebody else's request counts the same is shown the bar of that one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from django.core.cache import cache
from django.db import connection, transaction
from django.http import QueryDict
from django.utils.crypto import salted_hmac
from django_htmx.middleware import HtmxDetails

from annotation.progress import NOBODY, Progress, Telling, Work, read, telling

T = TypeVar("T")
MANY = 20_000
"""Labels, or pairs of answers, of which figures are counted in a second or two on one core."""
DAY = 24 * 3600


class Asked(Protocol):
    """What is read of a request."""

    htmx: HtmxDetails

    @property
    def GET(self) -> QueryDict: ...


class Waits(NamedTuple):
    """What `_awaited.html` shows."""

    part: str
    mark: str
    num: int
    progress: Progress | None
    is_under_way: bool
    """Somebody's request counts them already."""


@dataclass(frozen=True, kw_only=True)
class Awaited(Generic[T]):
    """Figures of one page."""

    part: str
    """The id of the element in which they stand."""
    key: tuple[object, ...]
    """All that they depend on, beside the code."""
    count: Callable[[Telling], T]
    num: int
    """How much there is to count; from MANY on a page does not wait for it."""
    seconds: int = DAY
    """So long they are kept."""

    def on(self, request: Asked) -> tuple[T, None] | tuple[None, Waits]:
        """The figures, or what a page shows instead of them."""
        if (kept := self._at_hand()) is not None:
            return kept[0], None
        if self.num < MANY or "now" in request.GET:
            return self.get(), None
        if request.htmx and request.htmx.target == self.part:
            with self._alone(waits=False) as is_alone:
                if is_alone:
                    return self._counted(), None
            return None, self._waits(is_under_way=True)
        return None, self._waits(is_under_way=False)

    def get(self) -> T:
        """The figures, however long it takes; who asks while they are counted waits for that."""
        if (kept := self._at_hand()) is not None:
            return kept[0]
        if self.num < MANY:
            return self._keep(self.count(NOBODY))
        with self._alone(waits=True):
            return self._counted()

    def _counted(self) -> T:
        if (kept := self._at_hand()) is not None:  # by who went before
            return kept[0]
        with telling(Work.FIGURES, self.mark) as told:
            return self._keep(self.count(told))

    def _at_hand(self) -> tuple[T] | None:
        found: tuple[T] | None = cache.get(self._name)
        return found

    def _keep(self, found: T) -> T:
        cache.set(self._name, (found,), self.seconds)
        return found

    def _waits(self, *, is_under_way: bool) -> Waits:
        return Waits(self.part, self.mark, self.num, read(Work.FIGURES, self.mark), is_under_way)

    @property
    def _name(self) -> str:
        return "-".join(map(str, (self.part, *self.key)))

    @property
    def mark(self) -> str:
        """How far they are is told under it. Nobody can guess it who is not shown the page."""
        return salted_hmac("annotation.awaited", self._name).hexdigest()

    @property
    def lock(self) -> int:
        """The number of the database's lock that whoever counts them holds."""
        return int.from_bytes(hashlib.sha256(self._name.encode()).digest()[:8], signed=True)

    @contextmanager
    def _alone(self, *, waits: bool) -> Iterator[bool]:
        """Whether nobody else counts these figures until the block ends; with `waits`, as soon as nobody does."""
        function = "pg_advisory_xact_lock" if waits else "pg_try_advisory_xact_lock"
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(%s)", [self.lock])
            yield waits or cursor.fetchone()[0]
