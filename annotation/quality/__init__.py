"""How each person works: pace, agreement with others, gold tasks, habits. For admins; nobody's own page shows it."""

from annotation.quality.events import Figure
from annotation.quality.people import Closely, Person, Week, closely, nobody, people_of, whole_of
from annotation.quality.shares import Sums, clustered

__all__ = ["Closely", "Figure", "Person", "Sums", "Week", "closely", "clustered", "nobody", "people_of", "whole_of"]
