"""What a latency holds for: a runtime with its version, a number of threads, and this machine's processor."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, get_args

from gancompress.export import default_rewrites
from gancompress.export.runtimes.packages import optional
from gancompress.models.generator import Generator

LatencyRuntime = Literal["eager", "onnxruntime", "openvino", "openvino_bf16"]
RUNTIMES: tuple[str, ...] = get_args(LatencyRuntime)
_PACKAGES = {
    "eager": ("torch", ""),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "openvino"),
    "openvino_bf16": ("openvino", "openvino"),
}


@dataclass(frozen=True)
class Target:
    """Where a network is to be fast.

    Attributes:
        runtime: Runs the network itself (eager), or its ONNX file of fixed size.
        threads: Of the runtime; its own choice where it is None.
    """

    runtime: LatencyRuntime
    threads: int | None = None

    def device(self) -> dict[str, str]:
        """All that latencies depend on beside the network.

        Raises:
            ExportError: The runtime's package is missing.
        """
        package, extra = _PACKAGES[self.runtime]
        optional(package, extra, f"latency on {self.runtime}")
        return {
            "processor": _processor(),
            "cores": str(os.cpu_count()),
            "runtime": self.runtime,
            "version": version(package),
            "threads": "its own choice" if self.threads is None else str(self.threads),
        }

    def rewrites(self, generator: Generator) -> tuple[str, ...]:
        """What is rewritten for the runtime."""
        return () if self.runtime == "eager" else default_rewrites(generator, "onnx_fixed")

    def __str__(self) -> str:
        return self.runtime if self.threads is None else f"{self.runtime}, {self.threads} threads"


def _processor() -> str:
    """The model of the processor as the system tells it."""
    told = Path("/proc/cpuinfo")
    if told.is_file():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
