"""Result of a metric: a value with its interval and protocol."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class MetricResult:
    """One measured value.

    Attributes:
        name: The metric's name, which fixes its protocol.
        value: Value of the metric.
        num_images: Number of generated images.
        num_reference_images: Number of images they were compared with; None if stored statistics do not record it.
        interval: 95 % interval over the choice of images; None if the metric has none.
        better: Direction of better values.
        protocol: Description of the protocol: network, resizing, comparison.
    """

    name: str
    value: float
    num_images: int
    num_reference_images: int | None
    interval: tuple[float, float] | None
    better: Literal["lower", "higher"]
    protocol: str

    def __str__(self) -> str:
        """Return the value with its interval and the number of images."""
        interval = "" if self.interval is None else f" [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"
        return f"{self.name} {self.value:.4g}{interval} (N = {self.num_images})"

    def to_json(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)
