"""Device of a latency: a runtime with its version, a number of threads, and this machine's processor."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from gancompress.deploy import Mode, Runtime, default_rewrites, find_mode, known_modes
from gancompress.errors import ConfigError
from gancompress.networks.generator import Generator


def latency_modes() -> list[str]:
    """Return the names of the modes that latency budgets may name."""
    return [name for name, mode in known_modes().items() if mode.layer_format is not None]


@dataclass(frozen=True)
class Target:
    """Runtime and threads that a latency is measured on.

    Attributes:
        runtime: One of `latency_modes`, or the import path of a `gancompress.deploy.Runtime`. It runs the network
            itself (eager), or its file of fixed size.
        threads: Threads of the runtime; None leaves the number to the runtime.
    """

    runtime: str
    threads: int | None = None

    def mode(self, where: str = "latency") -> tuple[Runtime, Mode, str]:
        """Return the runtime, its mode, and the format of layers and networks of fixed size.

        Args:
            where: Place that messages begin with.

        Raises:
            ConfigError: There is no such runtime, or latency is not measured on it.
        """
        runtime, mode = find_mode(self.runtime, where)
        if mode.layer_format is None:
            raise ConfigError(f"{where}: got the runtime '{mode.name}', expected one of {', '.join(latency_modes())}")
        return runtime, mode, mode.layer_format

    def device(self) -> dict[str, str]:
        """Return everything besides the network that latencies depend on.

        Raises:
            ConfigError: There is no such runtime, or latency is not measured on it.
            ExportError: The runtime's package is missing.
        """
        runtime, mode, _ = self.mode()
        runtime.require(f"latency on {mode.name}")
        return {
            "processor": _processor(),
            "cores": str(os.cpu_count()),
            "runtime": mode.name,
            "version": runtime.version(),
            "threads": "its own choice" if self.threads is None else str(self.threads),
        }

    def rewrites(self, generator: Generator) -> tuple[str, ...]:
        """Return the rewrites applied for the runtime; none if it runs networks without a file."""
        _, mode, layer_format = self.mode()
        return () if mode.format is None else default_rewrites(generator, layer_format)

    def __str__(self) -> str:
        return self.runtime if self.threads is None else f"{self.runtime}, {self.threads} threads"


def _processor() -> str:
    """Return the model of the processor as the system reports it."""
    told = Path("/proc/cpuinfo")
    if told.is_file():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
