"""Budget of a compressed network: one limit, and the cost of a plan in its unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.cost import Convention, CostModel
from gancompress.deploy.latency import Target, latency_modes
from gancompress.errors import ConfigError
from gancompress.options import Options
from gancompress.quantization import FLOAT, QuantizationOptions, QuantizedSize


@dataclass(frozen=True)
class CostLimit:
    """Upper limit of the cost of a compressed network, in one unit.

    Attributes:
        limit: The highest cost.
        of: A convention of MACs, ``parameters``, ``bytes`` of the weights, or ``latency`` in milliseconds.
        target: Runtime and threads that a latency is measured on.
        quantization: Bits of the weights in the end; only a limit in bytes depends on them.
    """

    limit: float
    of: Convention | Literal["parameters", "bytes", "latency"] = "true"
    target: Target | None = None
    quantization: QuantizationOptions = FLOAT

    def cost(self, graph: ChannelGraph) -> Callable[[ChannelPlan], float]:
        """Return a function for the cost of a plan of this graph, in the unit of the limit.

        Args:
            graph: Graph of the float network.

        Raises:
            ConfigError: The limit is a latency, which a graph alone does not determine.
        """
        if self.of == "latency":
            raise ConfigError("budget: got latency_ms, expected macs, parameters or bytes for this method")
        if self.of == "bytes":
            return QuantizedSize(graph, self.quantization).at
        model, of = CostModel(graph), self.of
        if of == "parameters":
            return lambda plan: model.at(plan).parameters
        return lambda plan: model.macs(plan).count(of)

    @property
    def unit(self) -> str:
        """Name of the unit."""
        if self.of == "latency":
            return f"ms ({self.target})"
        return self.of if self.of in ("parameters", "bytes") else f"{self.of} MACs"


def _latency_runtime(name: str) -> str:
    """Reject a runtime that latency is not measured on."""
    try:
        Target(name).mode()
    except ConfigError as error:
        raise ValueError(str(error).removeprefix("latency: ")) from error
    return name


class Budget(Options):
    """Budget of a compressed network; exactly one limit.

    Attributes:
        reduction: Factor below the cost of the teacher, which is not quantized.
        unit: Unit of ``reduction``.
        macs: The most MACs.
        parameters: The most parameters.
        bytes: The most bytes of weights: each counts the bits it has in the end, 32 if no step quantizes it.
        convention: Convention for counting MACs.
        latency_ms: The most milliseconds for one image of the data's size, on this machine.
        runtime: The runtime: PyTorch (``eager``), or one that runs a file of that size, such as ``onnxruntime``; or the
            import path of a `gancompress.deploy.Runtime`.
        threads: Threads of the runtime; by default the runtime chooses.
    """

    reduction: Annotated[float | None, Field(gt=1)] = None
    unit: Literal["macs", "parameters", "bytes"] = "macs"
    macs: Annotated[float | None, Field(gt=0)] = None
    parameters: Annotated[float | None, Field(gt=0)] = None
    bytes: Annotated[float | None, Field(gt=0)] = None
    convention: Convention = "true"
    latency_ms: Annotated[float | None, Field(gt=0)] = None
    runtime: Annotated[str, AfterValidator(_latency_runtime)] | None = None
    threads: Annotated[int | None, Field(ge=1)] = None

    @model_validator(mode="after")
    def _one_limit(self) -> Budget:
        limits = self.reduction, self.macs, self.parameters, self.bytes, self.latency_ms
        if sum(limit is not None for limit in limits) != 1:
            raise ValueError("expected exactly one of 'reduction', 'macs', 'parameters', 'bytes' and 'latency_ms'")
        if (self.latency_ms is None) != (self.runtime is None):
            raise ValueError(
                "got one of 'latency_ms' and 'runtime', expected both or none; "
                f"runtimes are {', '.join(latency_modes())}"
            )
        if self.threads is not None and self.latency_ms is None:
            raise ValueError("threads: got a number without 'latency_ms', expected none; drop it, or give latency_ms")
        if self.unit != "macs" and self.reduction is None:
            raise ValueError(f"unit: got '{self.unit}' without 'reduction', expected none; drop it, or give reduction")
        return self

    def limit(self, teacher: ChannelGraph, quantization: QuantizationOptions = FLOAT) -> CostLimit:
        """Return the cost limit, given the graph of the teacher and the bits of the compressed network's weights."""
        if self.macs is not None:
            return CostLimit(self.macs, self.convention)
        if self.parameters is not None:
            return CostLimit(self.parameters, "parameters")
        if self.bytes is not None:
            return CostLimit(self.bytes, "bytes", quantization=quantization)
        if self.latency_ms is not None and self.runtime is not None:
            return CostLimit(self.latency_ms, "latency", Target(self.runtime, self.threads))
        of = self.convention if self.unit == "macs" else self.unit
        full = CostLimit(math.inf, of).cost(teacher)(teacher.full_plan())
        return CostLimit(full / (self.reduction or 1.0), of, quantization=quantization)
