"""Which pairs of a model diff somebody wants to see, as the page's address says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from django.utils.translation import gettext_lazy as _

from training.diffs import Diff, Order, PairDiff

ORDERS: dict[Order, Any] = {
    "loss": _("largest loss first"),
    "gain": _("largest gain first"),
    "change": _("largest change first"),
    "kl": _("largest KL first"),
    "prompt": _("by prompt"),
}
assert set(ORDERS) == set(get_args(Order))

ENDED = {
    "": _("any end"),
    "both": _("both ended by themselves"),
    "cut": _("one or both cut off"),
    "newly_cut": _("only the later one cut off"),
}
LENGTH = {
    "": _("any length"),
    "longer": _("the later one longer"),
    "shorter": _("the later one shorter"),
    "same": _("as long"),
}
SAME = {
    "": _("any words"),
    "differ": _("answers that differ"),
    "same": _("the same answer"),
}
LONGEST_SEARCH = 200


@dataclass(frozen=True)
class Choice:
    """An order and filters; what the address says wrongly counts as not said."""

    order: Order = "loss"
    ended: str = ""
    length: str = ""
    words: str = ""
    search: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Choice:
        def one_of(name: str, known: Mapping[str, Any]) -> str:
            said = query.get(name, "")
            return said if said in known else ""

        order = next((order for order in ORDERS if order == query.get("order")), cls.order)
        return cls(
            order,
            one_of("ended", ENDED),
            one_of("length", LENGTH),
            one_of("words", SAME),
            query.get("search", "").strip()[:LONGEST_SEARCH],
        )

    @property
    def is_filtered(self) -> bool:
        return bool(self.ended or self.length or self.words or self.search)

    @property
    def query(self) -> dict[str, str]:
        """As an address says it, with nothing that goes without saying."""
        said = {"ended": self.ended, "length": self.length, "words": self.words, "search": self.search}
        return {"order": self.order} | {name: value for name, value in said.items() if value}

    @property
    def filters(self) -> list[tuple[str, Any, list[tuple[str, Any, bool]]]]:
        """Each filter with its name, its label, and its choices: value, label, whether it is chosen."""
        drawn = [("ended", _("End"), ENDED), ("length", _("Length"), LENGTH), ("words", _("Words"), SAME)]
        return [
            (name, label, [(value, text, value == getattr(self, name)) for value, text in known.items()])
            for name, label, known in drawn
        ]

    def of(self, diff: Diff) -> Sequence[PairDiff]:
        pairs = diff.in_order(self.order)
        return [pair for pair in pairs if self.takes(pair)] if self.is_filtered else pairs

    def takes(self, pair: PairDiff) -> bool:
        a, b = pair.a.has_ended, pair.b.has_ended
        ends = {"": True, "both": a and b, "cut": not (a and b), "newly_cut": a and not b}
        change = pair.length_change
        lengths = {"": True, "longer": change > 0, "shorter": change < 0, "same": change == 0}
        is_same = pair.a.text == pair.b.text
        words = {"": True, "differ": not is_same, "same": is_same}
        return ends[self.ended] and lengths[self.length] and words[self.words] and self._finds(pair)

    def _finds(self, pair: PairDiff) -> bool:
        if not self.search:
            return True
        sought = self.search.casefold()
        texts = [pair.a.text, pair.b.text, *(message["content"] for message in pair.messages)]
        return any(sought in text.casefold() for text in texts)
