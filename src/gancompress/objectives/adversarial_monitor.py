"""Monitor that warns when a discriminator wins, and reports how its balance reacted."""

from __future__ import annotations

import torch
from torch import Tensor

_WINS_ABOVE = 0.95


class AdversarialMonitor:
    """Means of adversarial statistics since the last report, kept on the training device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._means: dict[str, float] = {}
        self._was_said = False

    def observe(self, **values: Tensor) -> None:
        """Add scalars of a step: ``accuracy`` of the discriminator, ``ratio`` and ``factor`` of the balance."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value.detach()
            self._counts[name] = self._counts.get(name, 0) + 1

    def statistics(self) -> dict[str, float]:
        """Return the means since the last call, and reset them."""
        self._means = {name: float(value) / self._counts[name] for name, value in self._sums.items()}
        self._sums, self._counts = {}, {}
        return {f"adversarial/{name}": mean for name, mean in self._means.items()}

    def remarks(self) -> list[str]:
        """Return one warning the first time that the last means show that the discriminator wins."""
        means = self._means
        if self._was_said or means.get("accuracy", 0.0) < _WINS_ABOVE:
            return []
        self._was_said = True
        line = f"the discriminator wins: it is right about {100 * means['accuracy']:.0f} % of its logits"
        if "ratio" not in means:
            return [f"{line}; the term's balance is not in force, so its gradient can undo the other terms"]
        return [
            f"{line}; its gradient is {means['ratio']:.3g} times that of the other terms, "
            f"so its balance multiplies its weight by {means['factor']:.2g}"
        ]
