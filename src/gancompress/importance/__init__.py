"""Importance of the channels of each group. A score is a function, or options if it runs the generator."""

from gancompress.importance.blocks import (
    BLOCK_SCORES,
    BlockScore,
    candidate_blocks,
    least_important_first,
    register_block_score,
)
from gancompress.importance.options import SCORES, AnyScore, ScoreOptions, find_score, register_score
from gancompress.importance.order import by_importance
from gancompress.importance.probe import Probe
from gancompress.importance.scores import Score, Scores

__all__ = [
    "BLOCK_SCORES",
    "SCORES",
    "AnyScore",
    "BlockScore",
    "Probe",
    "Score",
    "ScoreOptions",
    "Scores",
    "by_importance",
    "candidate_blocks",
    "find_score",
    "least_important_first",
    "register_block_score",
    "register_score",
]
