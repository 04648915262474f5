"""Which sources give the better answers, by what people chose: pairs of sources, a model of them, a table."""

from annotation.leaderboard.outcomes import outcomes_of
from annotation.leaderboard.standings import Leaderboard, Matchup, Standing, leaderboard

__all__ = ["Leaderboard", "Matchup", "Standing", "leaderboard", "outcomes_of"]
