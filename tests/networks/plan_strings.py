"""Families at the widths of plan strings."""

from __future__ import annotations

from typing import Any

from gancompress.networks.family import FamilyArchitecture
from gancompress.networks.registry import FAMILIES


def at_string(family: str, text: str, **options: Any) -> FamilyArchitecture:
    """Return a family at the widths of a plan string of the literature."""
    architecture = FAMILIES.find(family).architecture(options)
    return architecture.with_config(architecture.parsed.at_widths(architecture.widths_from_string(text)))
