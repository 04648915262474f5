"""How a person looks at curves: over steps or time, smoothed, on a logarithmic scale. All of it in the address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from training.charts import Look
from training.curves import Text
from training.points import View

SMOOTHINGS = {"": 0.0, "0.6": 0.6, "0.9": 0.9, "0.99": 0.99}
CHOICES: dict[str, list[tuple[str, Text]]] = {
    "x": [("", _("steps")), ("time", _("wall time"))],
    "smooth": [("", _("none")), ("0.6", "0.6"), ("0.9", "0.9"), ("0.99", "0.99")],
    "scale": [("", _("linear")), ("log", _("logarithmic"))],
}


@dataclass(frozen=True)
class Looking:
    """What the address asks for; anything it cannot mean is left at its default."""

    x: str = ""
    smooth: str = ""
    scale: str = ""

    choices = CHOICES

    @classmethod
    def asked(cls, query: QueryDict) -> Looking:
        said = {name: query.get(name, "") for name in CHOICES}
        known = {name: {value for value, _label in choices} for name, choices in CHOICES.items()}
        return cls(**{name: value for name, value in said.items() if value in known[name]})

    @property
    def view(self) -> View:
        return View(by_time=self.by_time, smooth=SMOOTHINGS[self.smooth])

    @property
    def by_time(self) -> bool:
        return self.x == "time"

    @property
    def query(self) -> str:
        """What the points are asked with."""
        return urlencode({"x": self.x, "smooth": self.smooth})

    def charts(self, runs: Sequence[str] = ()) -> Look:
        return Look(tuple(runs), by_time=self.by_time, is_smooth=bool(self.smooth), is_log=self.scale == "log")
