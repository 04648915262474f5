"""Lists in pages that stay right while rows are added: by id, from a cursor on."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from django.db.models import BooleanField, Model, QuerySet
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _
from ninja import Schema
from pydantic import Field

from annotation.api.problems import Problem

Row = TypeVar("Row", bound=Model)
Item = TypeVar("Item")
NEWEST_ID = 2**63 - 1


class Page(Schema, Generic[Item]):
    """One page of a list. next_cursor: send it as `cursor` for what follows, now or later, when there is more."""

    items: list[Item]
    next_cursor: str | None
    has_more: bool


class PageQuery(Schema):
    """cursor: the `next_cursor` of the page before; none: from the beginning."""

    cursor: Annotated[str | None, Field(max_length=60)] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class Rows(NamedTuple, Generic[Row]):
    rows: list[Row]
    next_cursor: str | None
    has_more: bool

    def page(self, items: list[Any]) -> dict[str, Any]:
        return {"items": items, "next_cursor": self.next_cursor, "has_more": self.has_more}


def page_of(rows: QuerySet[Row], query: PageQuery, *, follows: bool = False) -> Rows[Row]:
    """The rows behind the cursor, by id.

    follows: for lists that programs follow while many people write. Ids are given when a row is written and seen when
    its transaction ends, so a lower id may show up after a higher one, and a cursor would have passed it. The page then
    ends before the first row that something still under way might come before.
    """
    behind: QuerySet[Any] = rows.filter(pk__gt=_read(query.cursor)).order_by("pk")
    if follows:
        behind = behind.annotate(is_settled=_settled(rows.model._meta.db_table))
    found: list[Row] = list(behind[: query.limit + 1])
    if follows:
        unsettled = (number for number, row in enumerate(found) if not getattr(row, "is_settled", True))
        found = found[: next(unsettled, len(found))]
    has_more = len(found) > query.limit
    found = found[: query.limit]
    return Rows(found, _write(found[-1].pk) if found else query.cursor, has_more)


def _settled(table: str) -> RawSQL:
    """Whether every transaction that began before the row's own has ended. Ages, because ids of transactions wrap
    around: a negative one is of a row so old that it cannot matter."""
    age = f"age({table}.xmin)"
    return RawSQL(
        f"({age} < 0 OR {age} > age(pg_snapshot_xmin(pg_current_snapshot())::xid))", [], output_field=BooleanField()
    )


def _write(pk: int) -> str:
    return base64.urlsafe_b64encode(f"id:{pk}".encode()).decode().rstrip("=")


def _read(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        kind, _colon, pk = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(":")
        if kind == "id" and pk.isascii() and pk.isdigit() and int(pk) <= NEWEST_ID:
            return int(pk)
    except (binascii.Error, ValueError):
        pass
    sentence = _("This cursor was not given by a list: send the “next_cursor” of a page as it is, or none.")
    raise Problem(422, sentence, errors=[("query.cursor", sentence)])
