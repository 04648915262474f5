"""Simulated annotators: a stated rule for what a good support reply is, and noisy judgments that follow it.

The rule is a pure function of the text, made of things a person would look for (RULE says them in one line each); it
is not a model and it has seen no label. A simulated annotator knows the rule's score of both replies and chooses with
logistic noise: Bradley and Terry (1952), with Rao and Kupper's (1967) threshold for ties. Because the rule is known,
the demo can show that labels made a model better by the very standard that the labels came from.

Left out: everything a rule on the surface of the text cannot see. It measures the loop and replaces nobody's work.
"""

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

RULE: Mapping[str, tuple[float, str]] = {
    "matter": (2.0, "names what the customer asked about; naming another thing counts against it"),
    "fits": (1.0, "speaks to the customer's problem, not to a different one"),
    "acknowledges": (1.0, "says sorry, or thanks the customer for telling"),
    "step": (2.0, "says what the desk has done or does next, or what the customer can do: concretely"),
    "time": (1.5, "says by when"),
    "polite": (1.0, "courteous twice over; blaming the customer counts against it"),
    "concise": (1.0, "15 to 45 words; nothing left of this at 5 words or at 75"),
    "ends": (0.5, "ends with a full sentence"),
    "repeats": (-1.5, "says the same four words again"),
    "idle": (-1.5, "share of the words in sentences that do none of the above"),
}
NOISE = 1.5
"""Points of the rule that make one unit of logistic noise: 3 points better is preferred about 7 times in 8."""
TIE = 0.3
"""Half the width, in units of noise, of the band in which an annotator sees no difference."""
STRONG = (1.3, 2.8)
"""Felt differences (in units of noise) from which a preference is said with strength 2, and 3."""
BAD = 3.0
"""Two replies of at most so many points each are called both bad rather than a tie."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


THINGS = _words(
    "jacket sweater dress raincoat shirt skirt coat hoodie cardigan blazer kettle lamp backpack blender toaster "
    "headset keyboard clock tent suitcase chair mirror teapot heater radio camera speaker vase"
)
"""What the shop sells: a reply that names one which the customer did not is about the wrong thing."""
MATTERS = _words("password account opening hours shop")
PROBLEMS: tuple[tuple[str, str], ...] = (  # (the customer's words, words of a reply that speak to them)
    (
        r"late|here\b|arrived and|not arrived|waiting|tracking|due on|parcel|no \w+\. when",
        r"late|arriv|waiting|parcel|courier|deliver|depot|tracking|at your door",
    ),
    (
        r"delivered|nobody came|handed over|signed for|hallway",
        r"reach|delivered|missing|courier|driver|depot|another|refund",
    ),
    (r"refund|money|returned", r"refund|money|card|pay|receipt|returns"),
    (r"small|big|large|fit|size|tight", r"size|fit|label|swap|collect"),
    (r"broken|stopped|cracked|noise|scratch|fell apart", r"broken|damaged|work|a new|replac|repair|photo|label"),
    (
        r"and got a|instead of|wrong thing|sent me",
        r"wrong|right one|instead|swap|did not get|not in the box|packed|have sent|pick-up|courier",
    ),
    (r"without|missing|was not in|not packed", r"part|missing|complete"),
    (r"password|log in", r"password|log in|reset|unlock"),
    (r"account|data", r"account|change|correct"),
    (r"charged|bill|invoice", r"bill|charged|invoice|card|payment|account"),
    (r"cancel|twice|change my order|do not need", r"cancel|stop|change|refuse|refund|no longer|money"),
    (r"open|hours|pick up", r"open|hours|shop|come in|desk"),
)
ACKNOWLEDGES = re.compile(r"\b(sorry|apologi[sz]e|thank you for (telling|writing|your message))", re.I)
COURTESY = re.compile(r"\b(please|thank you|sorry|apologi[sz]e|regards|happy to help|hello|dear|good day)\b", re.I)
BLAME = re.compile(
    r"you should have|not our fault|other customers do not|something wrong|calm down|did you drop|we do not make", re.I
)
STEP = re.compile(
    r"\b(i|we) (have|called|checked|moved|am checking|am sending|will send|will refund|will collect)\b|"
    r"\bplease (send|open|confirm|keep|put|refuse|tell|reply|call)\b|\bis open (from|until)\b",
    re.I,
)
TIME = re.compile(
    r"\b((mon|tues|wednes|thurs|fri|satur|sun)day|today|tomorrow|noon|"
    r"within (the|an|one|two|three|\d+)( working)? (hours?|days?))",
    re.I,
)
SENTENCE = re.compile(r"[^.!?]+[.!?]*")
WORD = re.compile(r"[a-z0-9']+")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a simulated annotator says of a pair: strength as in a judgment (+ = the first is better)."""

    strength: int
    both_bad: bool


def score(prompt: str, reply: str) -> float:
    """The rule's points for a reply to a customer's message: 9.5 or so for a very good one, below 2 for a poor one."""
    found = parts(prompt, reply)
    return sum(weight * found[name] for name, (weight, _) in RULE.items())


def parts(prompt: str, reply: str) -> dict[str, float]:
    """How far the reply meets each line of RULE: 0 to 1, or -1 to 1 for `matter` and `polite`."""
    words = WORD.findall(reply.lower())
    courtesies = {found.lower() for found in COURTESY.findall(reply)}
    return {
        "matter": _matter(prompt, words),
        "fits": float(_fits(prompt, reply)),
        "acknowledges": float(bool(ACKNOWLEDGES.search(reply))),
        "step": float(bool(STEP.search(reply))),
        "time": float(bool(TIME.search(reply))),
        "polite": -1.0 if BLAME.search(reply) else min(len(courtesies), 2) / 2,
        "concise": _concise(len(words)),
        "ends": float(reply.rstrip().endswith((".", "!", "?"))),
        "repeats": _repeats(words),
        "idle": _idle(prompt, reply),
    }


def _matter(prompt: str, words: list[str]) -> float:
    asked = set(WORD.findall(prompt.lower())) & (THINGS | MATTERS)
    named = set(words) & (THINGS | MATTERS)
    if (named & THINGS) - asked:
        return -1.0
    return float(bool(named & asked))


def _fits(prompt: str, reply: str) -> bool:
    return any(
        re.search(rf"\b({asked})", prompt, re.I) and re.search(rf"\b({said})", reply, re.I) for asked, said in PROBLEMS
    )


def _concise(num_words: int) -> float:
    if num_words < 15:
        return max(0.0, (num_words - 5) / 10)
    return 1.0 if num_words <= 45 else max(0.0, (75 - num_words) / 30)


def _repeats(words: list[str]) -> float:
    fours = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return min(1.0, 3 * (1 - len(set(fours)) / len(fours))) if fours else 0.0


def _idle(prompt: str, reply: str) -> float:
    asked = set(WORD.findall(prompt.lower())) & (THINGS | MATTERS)
    idle = total = 0
    for sentence in SENTENCE.findall(reply):
        words = WORD.findall(sentence.lower())
        useful = any(cue.search(sentence) for cue in (ACKNOWLEDGES, COURTESY, STEP, TIME)) or asked & set(words)
        total += len(words)
        idle += 0 if useful else len(words)
    return idle / total if total else 1.0


def compare(prompt: str, first: str, second: str, *, rng: random.Random) -> Comparison:
    """One noisy choice. P(first) = σ(Δ - TIE), P(second) = σ(-Δ - TIE), Δ the difference in points over NOISE."""
    ours, theirs = score(prompt, first), score(prompt, second)
    chance = rng.random()
    felt = (ours - theirs) / NOISE + math.log(chance / (1 - chance)) if 0 < chance < 1 else 0.0
    if abs(felt) <= TIE:
        return Comparison(strength=0, both_bad=max(ours, theirs) <= BAD)
    strength = 1 + sum(abs(felt) >= limit for limit in STRONG)
    return Comparison(strength=strength if felt > 0 else -strength, both_bad=False)


def felt(prompt: str, reply: str, *, rng: random.Random) -> float:
    """The points over NOISE as one person feels them. With Gumbel noise, the order of several is one of Plackett and
    Luce, and of two the choice of Bradley and Terry.
    """
    return score(prompt, reply) / NOISE - math.log(rng.expovariate(1))


def rate(prompt: str, reply: str, *, criterion: str, low: int, high: int, rng: random.Random) -> int:
    """One noisy rating on the scale low..high, by the lines of the rule that the criterion is about."""
    found = parts(prompt, reply)
    share = {
        "helpful": (found["matter"] + found["fits"] + found["step"] + found["time"] - found["idle"]) / 4,
        "polite": (found["acknowledges"] + found["polite"]) / 2,
        "correct": (found["matter"] + found["fits"]) / 2,
    }.get(criterion, score(prompt, reply) / sum(weight for weight, _ in RULE.values() if weight > 0))
    felt = low + (high - low) * share + rng.gauss(0, (high - low) / 10)
    return min(high, max(low, round(felt)))
