"""The Bradley–Terry fit against published estimates, and its table against worlds whose truth is known."""

import numpy as np
import pytest

from annotation.leaderboard.bradley_terry import Cells, connected, fit, unbroken
from annotation.leaderboard.outcomes import Outcomes
from annotation.leaderboard.standings import MAX_SOURCES, leaderboard

BASEBALL = {
    "Milwaukee": [0, 7, 9, 7, 7, 9, 11],
    "Detroit": [6, 0, 7, 5, 11, 9, 9],
    "Toronto": [4, 6, 0, 7, 7, 8, 12],
    "New York": [6, 8, 6, 0, 6, 7, 10],
    "Boston": [6, 2, 6, 7, 0, 7, 12],
    "Cleveland": [4, 4, 5, 6, 6, 0, 6],
    "Baltimore": [2, 4, 1, 3, 1, 7, 0],
}
"""Wins of the row over the column: Agresti, Categorical Data Analysis (2nd ed. 2002), table 10.10."""
BASEBALL_STRENGTHS = [1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0]
"""Against Baltimore: Turner and Firth, Bradley-Terry Models in R (J. Stat. Softw. 48:9, 2012), section 2."""

CITATIONS = {
    "Biometrika": [0, 730, 498, 221],
    "Comm Statist": [33, 0, 68, 17],
    "JASA": [320, 813, 0, 142],
    "JRSS-B": [284, 276, 325, 0],
}
"""How often the row was cited by the column: Stigler 1994, in Agresti's table 10.9 and in Turner and Firth 2012."""
CITATION_STRENGTHS = [0.0, -2.9491, -0.4796, 0.2690]


def cells_of(wins: np.ndarray) -> tuple[Cells, np.ndarray, np.ndarray]:
    first, second = np.triu_indices(len(wins), 1)
    cells = Cells(first, second, np.zeros(len(first)), len(wins))
    return cells, wins[first, second][None].astype(float), (wins + wins.T)[first, second][None].astype(float)


@pytest.mark.parametrize(
    ("table", "published", "reference"), [(BASEBALL, BASEBALL_STRENGTHS, 6), (CITATIONS, CITATION_STRENGTHS, 0)]
)
def test_published_estimates(table: dict[str, list[int]], published: list[float], reference: int) -> None:
    found = fit(*cells_of(np.array(list(table.values()))), with_length=False, prior=0)
    assert found.has_converged
    strength = found.strength[0] - found.strength[0, reference]
    assert strength == pytest.approx(published, abs=6e-5)


def outcomes(
    strengths: list[float], *, votes: int, prompts: int, seed: int = 0, length_effect: float = 0.0, tie: float = 0.0
) -> Outcomes:
    """Votes drawn from the model itself. The earlier sources write longer answers."""
    random = np.random.default_rng(seed)
    size = len(strengths)
    first = random.integers(size, size=votes)
    second = (first + random.integers(1, size, size=votes)) % size
    first, second = np.minimum(first, second), np.maximum(first, second)
    length = np.round(np.clip(random.normal(0.05 * (second - first), 0.3), -1, 1) * 20) / 20
    theta = np.array(strengths)
    chosen = 1 / (1 + np.exp(-(theta[first] - theta[second] + length_effect * length)))
    wins = np.where(random.random(votes) < tie, 0.5, random.random(votes) < chosen)
    _seen, prompt = np.unique(random.integers(prompts, size=votes), return_inverse=True)
    return Outcomes(
        sources=[f"source {number}" for number in range(size)],
        prompt=prompt, first=first, second=second, length=length, wins=wins.astype(float),
        num=np.ones(votes), votes=np.ones(votes, dtype=np.int64),
    )  # fmt: skip


def single(sources: int, games: list[tuple[int, int, float]]) -> Outcomes:
    """One prompt a game; each (first, second, wins of the first)."""
    first, second, wins = (np.array(column) for column in zip(*games, strict=True))
    return Outcomes(
        sources=[f"source {number}" for number in range(sources)],
        prompt=np.arange(len(games)), first=first, second=second, length=np.zeros(len(games)),
        wins=wins.astype(float), num=np.ones(len(games)), votes=np.ones(len(games), dtype=np.int64),
    )  # fmt: skip


def test_at_the_estimate_every_source_wins_as_often_as_the_model_expects() -> None:
    """The score equations, computed from the votes one by one, prior and lengths included."""
    world = outcomes([1.0, 0.2, 0.0, -1.2], votes=400, prompts=90, length_effect=2.0, tie=0.2)
    cells = Cells(world.first, world.second, world.length, 4)
    order = np.lexsort([cells.length, cells.second, cells.first])
    cells = Cells(world.first[order], world.second[order], world.length[order], 4)
    found = fit(cells, world.wins[order][None], world.num[order][None], with_length=True)
    # The prior holds the mean near 0, not at it: find the shift under which the equations hold.
    shifts = np.linspace(-0.2, 0.2, 4001)
    theta, gamma = found.strength[0], found.length_effect[0]
    expected = 1 / (1 + np.exp(-(theta[world.first] - theta[world.second] + gamma * world.length)))
    excess = np.zeros(4)
    np.add.at(excess, world.first, world.wins - expected)
    np.add.at(excess, world.second, expected - world.wins)
    ties = 0.5 - 1 / (1 + np.exp(-(theta[None] + shifts[:, None])))
    assert np.abs(excess + ties).max(axis=1).min() < 1e-4
    along = float(((world.wins - expected) * world.length).sum()) + 0.5 - 1 / (1 + np.exp(-gamma))
    assert abs(along) < 1e-5


def test_the_truth_is_found_again_and_length_taken_out() -> None:
    truth = [1.0, 0.5, 0.0, -0.5, -1.0]
    board = leaderboard(outcomes(truth, votes=20_000, prompts=4_000, length_effect=3.0, tie=0.0), replicates=200)
    assert board is not None and board.has_converged
    points = {f"source {number}": 1000 + 173.7178 * strength for number, strength in enumerate(truth)}
    misses = 0
    for each in board.standings:
        assert each.controlled.low is not None and each.controlled.high is not None
        misses += not each.controlled.low <= points[each.source] <= each.controlled.high
    assert misses <= 1
    assert board.standings[0].rating.value > board.standings[0].controlled.value, "its answers are the longer ones"
    assert board.length_effect is not None and board.length_effect.low is not None
    assert board.length_effect.low > 0.6, "3 × 0.3 of a standard deviation: σ(0.9) = 0.71"
    assert [each.best for each in board.standings] == [each.worst for each in board.standings] == [1, 2, 3, 4, 5]


def test_intervals_of_prompts_hold_the_truth_where_votes_hang_together() -> None:
    """Each prompt has ten votes that agree. Of a source that is as good as the other, 95 % of intervals hold 1000."""
    covered = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        prompt = np.repeat(np.arange(40), 10)
        won = random.integers(2, size=40)[prompt].astype(float)
        ones = np.ones(400)
        world = Outcomes(
            sources=["a", "b"], prompt=prompt, first=np.zeros(400, int), second=np.ones(400, int),
            length=np.zeros(400), wins=won, num=ones, votes=ones.astype(int),
        )  # fmt: skip
        board = leaderboard(world, replicates=200)
        assert board is not None
        rating = board.standings[0].rating
        assert rating.low is not None and rating.high is not None
        covered += rating.low <= 1000 <= rating.high
    assert covered >= 52, "drawn vote by vote, the intervals would be three times too narrow and hold it half the time"


def test_who_always_wins_has_a_finite_rating_and_a_note() -> None:
    board = leaderboard(single(3, [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 1.0), (1, 2, 0.0)] * 25))
    assert board is not None and board.has_converged
    best = board.standings[0]
    assert best.source == "source 0" and 1200 < best.rating.value < 2500
    assert best.rating.high is not None and best.rating.high < 3000
    assert board.groups == [["source 0", "source 1", "source 2"]]
    assert board.one_sided == [["source 1", "source 2"], ["source 0"]]


def test_the_more_wins_the_larger_a_lead_that_only_the_prior_bounds() -> None:
    leads = []
    for wins in (1, 10, 1000):
        board = leaderboard(single(2, [(0, 1, 1.0)] * wins), replicates=20)
        assert board is not None and board.has_converged
        leads.append(board.standings[0].rating.value)
    assert leads[0] < leads[1] < leads[2] < 3000


def test_groups_that_never_met_are_named() -> None:
    board = leaderboard(single(5, [(0, 1, 1.0), (0, 1, 0.0), (2, 3, 0.5), (3, 4, 0.5)] * 5))
    assert board is not None
    assert board.groups == [["source 2", "source 3", "source 4"], ["source 0", "source 1"]]
    assert board.one_sided == []


def test_ties_are_half_a_win_each() -> None:
    board = leaderboard(single(2, [(0, 1, 0.5)] * 10))
    assert board is not None
    assert [each.rating.value for each in board.standings] == pytest.approx([1000, 1000])
    assert board.matchups[0][1] is not None and board.matchups[0][1].share == 0.5


def test_one_prompt_has_no_interval_and_nothing_to_compare_no_board() -> None:
    world = single(2, [(0, 1, 1.0)])
    board = leaderboard(world)
    assert board is not None and board.standings[0].rating.low is None
    assert (board.standings[0].best, board.standings[0].worst) == (1, 2)
    empty = np.zeros(0)
    none = Outcomes(
        sources=[], prompt=empty.astype(int), first=empty.astype(int), second=empty.astype(int), length=empty,
        wins=empty, num=empty, votes=empty.astype(int),
    )  # fmt: skip
    assert leaderboard(none) is None


def test_too_many_sources_are_cut_to_the_most_compared() -> None:
    games = [(0, other, 0.5) for other in range(1, 80)] + [(1, other, 0.5) for other in range(2, 40)]
    board = leaderboard(single(80, games), replicates=5)
    assert board is not None
    assert len(board.standings) == MAX_SOURCES and len(board.left_out) == 20
    assert "source 0" in {each.source for each in board.standings} and "source 79" in board.left_out


@pytest.mark.parametrize("seed", range(5))
def test_groups_against_a_search_by_hand(seed: int) -> None:
    """Reachability by matrix powers, instead of Warshall's way through."""
    random = np.random.default_rng(seed)
    first, second = random.integers(8, size=7), random.integers(8, size=7)
    edges = np.eye(8, dtype=int)
    edges[first, second] = 1
    for groups, matrix in ((connected(8, first, second), edges | edges.T), (unbroken(8, first, second), edges)):
        reach = np.linalg.matrix_power(matrix, 8) > 0
        together = reach & reach.T
        assert sorted(map(tuple, groups)) == sorted({tuple(np.flatnonzero(row)) for row in together})
