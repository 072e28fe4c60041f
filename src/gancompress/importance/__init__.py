"""Importance: how much each channel of each group matters. A score is a function; the registry is `SCORES`."""

from gancompress.importance.order import by_importance
from gancompress.importance.scores import SCORES, Score, Scores, find_score

__all__ = ["SCORES", "Score", "Scores", "by_importance", "find_score"]
