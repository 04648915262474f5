"""Customer-support text of our own: what customers ask, and replies of very uneven quality.

Everything is drawn from `phrases.toml` by a seeded generator, so the same seed gives the same text on every machine.
The replies are a mixture on purpose: a starter model that has read good and poor ones alike writes both, and people's
judgments have something to choose between. Nothing here scores a reply; the rule that simulated annotators
follow stands in `annotation.simulation`.
"""

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PHRASES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8"))
AGES = ("three days", "a week", "ten days", "two weeks", "a month")

# How good the writer of a reply is, and how often such a writer answers: the chance that a piece is done well.
WRITERS = ((0.92, 0.25), (0.55, 0.35), (0.18, 0.40))


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One customer's message, with what a reply needs to know of it. Two asks are equal if their text is."""

    text: str
    concern: int
    item: str
    other: str
    name: str


def things() -> list[str]:
    """Everything the shop sells."""
    return [*PHRASES["clothes"], *PHRASES["goods"]]


def ask(rng: random.Random) -> Ask:
    """Draw one customer's message."""
    number = rng.randrange(len(PHRASES["concern"]))
    concern = PHRASES["concern"][number]
    kinds = {"all": things(), "clothes": PHRASES["clothes"], "goods": PHRASES["goods"], "none": [""]}
    item = rng.choice(kinds[concern["goods"]])
    other = rng.choice([thing for thing in things() if thing != item])
    name = rng.choice(PHRASES["names"])
    template = rng.choice(concern["asks"])
    text = template.format(
        item=item,
        other=other,
        name=name,
        day=rng.choice(PHRASES["days"]),
        age=rng.choice(AGES),
        order=rng.randrange(10_000, 100_000),
    )
    return Ask(text=text, concern=number, item=item, other=other, name=name if "{name}" in template else "")


def asks(seed: int, count: int, *, avoid: frozenset[str] = frozenset()) -> list[Ask]:
    """`count` messages with different texts, none of them in `avoid`."""
    rng = random.Random(f"asks {seed}")
    found: dict[str, Ask] = {}
    while len(found) < count:
        drawn = ask(rng)
        if drawn.text not in avoid:
            found.setdefault(drawn.text, drawn)
    return list(found.values())


def reply(to: Ask, rng: random.Random) -> str:
    """Draw one reply by a writer of random care. It may be good, middling or plainly poor."""
    care = rng.choices([care for care, _ in WRITERS], weights=[weight for _, weight in WRITERS])[0]
    if rng.random() < 0.2 * (1 - care):
        return _curt(to, rng)
    item = to.item if rng.random() < 0.6 + 0.4 * care else _mistaken(to, rng)
    pieces = _opening(to, rng, care, item) + _middle(to, rng, care, item)
    if rng.random() < care * 0.8:
        pieces.append(rng.choice(PHRASES["reply"]["closes"]))
    return " ".join(pieces)


def _opening(to: Ask, rng: random.Random, care: float, item: str) -> list[str]:
    phrases = PHRASES["reply"]
    pieces = []
    if rng.random() < 0.4:
        hellos = [hello for hello in phrases["hellos"] if to.name or "{name}" not in hello]
        pieces.append(rng.choice(hellos).format(name=to.name))
    if rng.random() < care:
        pieces.append(acknowledgement(to, rng, item))
    elif rng.random() < 0.45:
        pieces.append(rng.choice(phrases["plain_regrets"]))
    elif rng.random() < 0.45 * (1 - care):
        pieces.append(rng.choice(phrases["blames"]))
    return pieces


def _middle(to: Ask, rng: random.Random, care: float, item: str) -> list[str]:
    phrases = PHRASES["reply"]
    concern = PHRASES["concern"][to.concern]
    pieces = []
    if rng.random() < 0.8 * (1 - care):
        pieces += rng.sample(phrases["waffle"], rng.choice((1, 2, 3)))
    if rng.random() < care:
        pieces.append(rng.choice(concern["steps"]).format(item=item))
    elif rng.random() < 0.7:
        pieces.append(rng.choice(phrases["vague_steps"]))
    if rng.random() < care:
        time = rng.choice(PHRASES["times"]).format(day=rng.choice(PHRASES["days"]))
        pieces.append(rng.choice(concern["outcomes"]).format(item=item, time=time))
    if rng.random() < 0.3 * (1 - care):
        pieces.append(rng.choice(phrases["off_topic"]))
    if not pieces:
        pieces.append(rng.choice(concern["curt"]))
    if rng.random() < 0.25 * (1 - care):
        pieces.append(pieces[-1])  # says it twice
    return pieces


def _mistaken(to: Ask, rng: random.Random) -> str:
    """Another thing than the one the customer wrote about, where the message is about a thing at all."""
    return rng.choice([thing for thing in things() if thing != to.item]) if to.item else ""


def acknowledgement(to: Ask, rng: random.Random, item: str) -> str:
    """One sentence that says sorry and names the matter, with `item` as the thing it is about."""
    problem = rng.choice(PHRASES["concern"][to.concern]["problems"]).format(item=item)
    return str(rng.choice(PHRASES["reply"]["regrets"])).format(problem=problem)


def _curt(to: Ask, rng: random.Random) -> str:
    pieces = [rng.choice(PHRASES["concern"][to.concern]["curt"])]
    if rng.random() < 0.3:
        pieces.append(rng.choice(PHRASES["reply"]["vague_steps"] + PHRASES["reply"]["blames"]))
    return " ".join(pieces)
