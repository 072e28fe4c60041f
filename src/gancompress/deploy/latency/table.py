"""Table of measured milliseconds, of parts by their widths and of whole networks by their plans."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from gancompress.channels import ChannelPlan
from gancompress.errors import CheckpointError
from gancompress.io import write_atomically

FORMAT_VERSION = 1


@dataclass
class LatencyTable:
    """Measurements of one network on one device.

    Attributes:
        device: Result of `gancompress.deploy.latency.Target.device`.
        parts: For each kind of part, milliseconds by the widths of its groups.
        networks: Milliseconds of whole networks by the widths of all groups, in the order of the graph.
    """

    device: Mapping[str, str]
    parts: dict[str, dict[tuple[int, ...], float]] = field(default_factory=dict)
    networks: dict[tuple[int, ...], float] = field(default_factory=dict)

    def restricted(self, parts: Mapping[str, Iterable[tuple[int, ...]]], plans: Iterable[ChannelPlan]) -> Self:
        """Return the table with only these entries."""
        kept = {kind: {widths: self.parts[kind][widths] for widths in each} for kind, each in parts.items()}
        return type(self)(self.device, kept, {key: self.networks[key] for key in map(key_of, plans)})

    def save(self, path: Path) -> None:
        """Write the table as JSON, atomically; creates missing folders."""
        content = {
            "format": FORMAT_VERSION,
            "device": dict(self.device),
            "parts_ms": {kind: _written(times) for kind, times in self.parts.items()},
            "networks_ms": _written(self.networks),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{json.dumps(content, indent=1)}\n".encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a table that `save` wrote.

        Raises:
            CheckpointError: The file is missing, or no table of latencies.
        """
        try:
            content = json.loads(path.read_text())
            if content["format"] != FORMAT_VERSION:
                raise ValueError(f"format {content['format']}")
            parts = {str(kind): _read(times) for kind, times in content["parts_ms"].items()}
            return cls(dict(content["device"]), parts, _read(content["networks_ms"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: got no table of latencies ({error}); delete it, and it is measured anew"
            ) from None


def key_of(plan: ChannelPlan) -> tuple[int, ...]:
    """Return the widths of all groups, the key of a plan in `LatencyTable.networks`."""
    return tuple(plan.widths.values())


def _written(times: Mapping[tuple[int, ...], float]) -> dict[str, float]:
    return {"_".join(map(str, widths)): ms for widths, ms in times.items()}


def _read(times: Mapping[str, float]) -> dict[tuple[int, ...], float]:
    return {tuple(int(width) for width in text.split("_") if width): float(ms) for text, ms in times.items()}
