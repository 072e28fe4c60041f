"""Importance: how much each channel of each group matters. A score is a function; the registry is `SCORES`.

Scores that run the generator have options, and are in `RUNNING_SCORES`.
"""

from gancompress.importance.options import RUNNING_SCORES, AnyScore, ScoreOptions, find_score, parse_score
from gancompress.importance.order import by_importance
from gancompress.importance.probe import Probe
from gancompress.importance.scores import SCORES, Score, Scores

__all__ = [
    "RUNNING_SCORES",
    "SCORES",
    "AnyScore",
    "Probe",
    "Score",
    "ScoreOptions",
    "Scores",
    "by_importance",
    "find_score",
    "parse_score",
]
