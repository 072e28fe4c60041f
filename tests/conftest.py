from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.manual_seed(0)  # for what test modules draw when they are imported


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test draws the same random numbers each time."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real weights and images, which live beside the project and never in it."""
    path = Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"needs the shared data in {path}")
    return path
