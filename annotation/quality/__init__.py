"""How each person works: pace, agreement with others, gold tasks, habits. For admins; nobody's own page shows it."""

from annotation.quality.events import Figure
from annotation.quality.people import Person, Week, nobody, people_of, weeks_of, whole_of
from annotation.quality.shares import Sums, clustered

__all__ = ["Figure", "Person", "Sums", "Week", "clustered", "nobody", "people_of", "weeks_of", "whole_of"]
