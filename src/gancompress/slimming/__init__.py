"""Slimming: scales of channels and blocks under a sparsity penalty, and the exact removal of those at zero."""

from gancompress.slimming.controller import (
    NARROWEST,
    Cost,
    PenaltyController,
    at_zero,
    largest_within,
    narrowest_cost,
    plan_of,
    weakest_within,
)
from gancompress.slimming.gates import Gate, find_gates
from gancompress.slimming.removal import Removal, fold_constants
from gancompress.slimming.scales import ChannelScales, ScaledGroup, scaled_groups

__all__ = [
    "NARROWEST",
    "ChannelScales",
    "Cost",
    "Gate",
    "PenaltyController",
    "Removal",
    "ScaledGroup",
    "at_zero",
    "find_gates",
    "fold_constants",
    "largest_within",
    "narrowest_cost",
    "plan_of",
    "scaled_groups",
    "weakest_within",
]
