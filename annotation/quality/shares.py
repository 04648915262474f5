"""A share whose trials hang together in prompts, with an interval that knows it. Pure functions, no database."""

from __future__ import annotations

import operator
from typing import NamedTuple

from annotation.agreement.shares import Share, share


class Sums(NamedTuple):
    """Over prompts i with n_i trials of which h_i hit: all that the share and its variance need."""

    num: int = 0
    hits: int = 0
    num_prompts: int = 0
    hits_squared: int = 0
    hits_by_num: int = 0
    num_squared: int = 0

    def plus(self, others: Sums) -> Sums:
        """With the sums over other prompts."""
        return Sums(*map(operator.add, self, others))


def clustered(sums: Sums) -> Share:
    """hits/num with a 95 % interval: Wilson's, of as many independent trials as the prompts are worth.

    The variance of a ratio over clusters, Σ(h_i − p·n_i)² k/(k−1)/n², is held against that of independent trials; the
    quotient is the design effect, and n over it the effective number (Kish 1965; Wilson's interval with it: Korn and
    Graubard 1998). It is never below 1: chance evenness earns no narrower interval. Where the data cannot say it (one
    prompt, or all hits or none) each prompt counts as one trial. Undefined (None) without any trial.
    """
    if sums.num == 0:
        return share(0, 0)
    p = sums.hits / sums.num
    effective = float(sums.num_prompts)
    if 0 < p < 1 and sums.num_prompts > 1:
        spread = sums.hits_squared - 2 * p * sums.hits_by_num + p * p * sums.num_squared
        variance = spread * sums.num_prompts / (sums.num_prompts - 1) / sums.num**2
        effective = sums.num / max(variance / (p * (1 - p) / sums.num), 1.0)
    found = share(p * effective, effective)
    return Share(sums.hits, sums.num, p, found.low, found.high)
