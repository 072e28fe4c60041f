"""Importance of the channels of each group. A score is a function, or options if it runs the generator."""

from gancompress.importance.options import SCORES, AnyScore, ScoreOptions, find_score, register_score
from gancompress.importance.order import by_importance
from gancompress.importance.probe import Probe
from gancompress.importance.scores import Score, Scores

__all__ = [
    "SCORES",
    "AnyScore",
    "Probe",
    "Score",
    "ScoreOptions",
    "Scores",
    "by_importance",
    "find_score",
    "register_score",
]
