from __future__ import annotations

import pytest

from gancompress.report import html
from gancompress.report.plots import loss_svgs


@pytest.fixture(autouse=True)
def _every_curve(monkeypatch) -> None:
    """Draw the curves of all losses, which other rooms do without."""
    monkeypatch.setattr(html, "loss_svgs", loss_svgs)
