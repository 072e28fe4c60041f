"""What a metric says: a number, how sure it is, and how it came about."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class MetricResult:
    """One measured value.

    Attributes:
        name: The metric's name, which fixes its protocol.
        value: The number.
        num_images: How many generated images it is about.
        num_reference_images: How many images they were compared with; None where stored statistics do not say.
        interval: 95 % interval over the choice of images, where one can be given.
        better: Which way is better.
        protocol: The protocol in words: network, resizing, comparison.
    """

    name: str
    value: float
    num_images: int
    num_reference_images: int | None
    interval: tuple[float, float] | None
    better: Literal["lower", "higher"]
    protocol: str

    def __str__(self) -> str:
        """The value with its interval and the number of images."""
        interval = "" if self.interval is None else f" [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"
        return f"{self.name} {self.value:.4g}{interval} (N = {self.num_images})"

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON can hold them."""
        return asdict(self)
