"""Side-by-side comparison of networks: cost, time and PSNR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gancompress.cost import Convention, measure
from gancompress.cost.latency import in_turns
from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ConfigError
from gancompress.methods.data import Batches, Data, as_arguments
from gancompress.methods.evaluate import psnr_db, run

_ROUNDS = 7


@dataclass(frozen=True)
class Row:
    """Row of a comparison: one network.

    Attributes:
        name: Its name.
        macs: Multiply-accumulate operations for the example.
        parameters: Number of its parameters.
        ms: Milliseconds for the example in eager PyTorch on its device, the median of several turns.
        psnr_db: Peak signal-to-noise ratio of its outputs to those of the first network; infinite if they are equal.
    """

    name: str
    macs: float
    parameters: int
    ms: float
    psnr_db: float


@dataclass(frozen=True)
class Comparison:
    """Comparison of networks, printed as a table and rendered as one in a notebook.

    Attributes:
        rows: The networks, the teacher first.
        uncounted: Operations of the student that ``macs`` does not count, one line each.
    """

    rows: tuple[Row, ...]
    uncounted: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Row:
        """Return the row of this name."""
        return next(row for row in self.rows if row.name == name)

    @property
    def smaller(self) -> float:
        """MACs of the first network divided by those of the last one."""
        return self.rows[0].macs / max(1.0, self.rows[-1].macs)

    @property
    def faster(self) -> float:
        """Time of the first network divided by that of the last one."""
        return self.rows[0].ms / self.rows[-1].ms

    def __str__(self) -> str:
        cells = [_HEAD, *self._cells()]
        widths = [max(len(row[i]) for row in cells) for i in range(len(_HEAD))]
        lines = [
            "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(pairs))
            for pairs in (list(zip(row, widths, strict=True)) for row in cells)
        ]
        return "\n".join([*lines, *(f"not counted: {line}" for line in self.uncounted)])

    def _repr_html_(self) -> str:
        """Return the table as HTML for a notebook."""
        head = "".join(f"<th>{escape(cell)}</th>" for cell in _HEAD)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self._cells())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cells(self) -> list[tuple[str, ...]]:
        first = self.rows[0]
        return [
            (
                row.name,
                _with_factor(_count(row.macs), first.macs, row.macs),
                _with_factor(_count(row.parameters), first.parameters, row.parameters),
                _with_factor(f"{row.ms:.2f}", first.ms, row.ms),
                "" if row is first else ("equal" if row.psnr_db == float("inf") else f"{row.psnr_db:.1f}"),
            )
            for row in self.rows
        ]


_HEAD = ("", "MACs", "parameters", "ms", "PSNR dB")


def compare(
    teacher: nn.Module,
    student: nn.Module | Mapping[str, nn.Module],
    x: Any,
    *,
    batches: Data | None = None,
    convention: Convention = "true",
    rounds: int = _ROUNDS,
) -> Comparison:
    """Compare a student with its teacher: MACs, parameters, milliseconds, PSNR.

    Args:
        teacher: The network that was compressed.
        student: The compressed network, or several by name.
        x: An input, or a tuple of all arguments of the forward pass.
        batches: Inputs for the PSNR; ``x`` alone by default.
        convention: Convention for counting MACs.
        rounds: Turns in which the networks are timed.

    Raises:
        ConfigError: The outputs of two networks differ in shape.
    """
    students = student if isinstance(student, Mapping) else {"student": student}
    networks = {"teacher": teacher, **students}
    arguments = {name: _on_device_of(network, as_arguments(x, network)) for name, network in networks.items()}
    costs = {name: measure(network, arguments[name]) for name, network in networks.items()}
    outputs = {name: _outputs(network, arguments[name], batches) for name, network in networks.items()}
    for name, got in outputs.items():
        for a, b in zip(got, outputs["teacher"], strict=True):
            if a.shape != b.shape:
                raise ConfigError(
                    f"compare: '{name}' returns {tuple(a.shape)}, but the teacher returns {tuple(b.shape)}, expected "
                    "the same shape; check the student"
                )
    times = in_turns([partial(_timed, network, arguments[name]) for name, network in networks.items()], rounds, 2)
    rows = tuple(
        Row(
            name,
            costs[name].macs.count(convention),
            costs[name].parameters,
            sorted(own)[len(own) // 2],
            psnr_db(outputs[name], outputs["teacher"]),
        )
        for name, own in zip(networks, times, strict=True)
    )
    return Comparison(rows, tuple(dict.fromkeys(line for name in students for line in costs[name].uncounted)))


@torch.no_grad()
def _timed(network: nn.Module, arguments: tuple[Any, ...]) -> None:
    with evaluation_mode(network):
        network(*arguments)
    device = next(network.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def _outputs(network: nn.Module, arguments: tuple[Any, ...], batches: Data | None) -> list[Tensor]:
    with evaluation_mode(network):
        if batches is not None:
            return [run(network, each) for each in Batches(batches, "batches").inputs()]
        made = network(*arguments)
    return [each.cpu() for each in tree_leaves(made) if isinstance(each, Tensor)]


def _on_device_of(network: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    device = next(network.parameters()).device
    return tuple(each.to(device) if isinstance(each, Tensor) else each for each in arguments)


def _count(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"


def _with_factor(text: str, first: float, own: float) -> str:
    return text if first == own or not own else f"{text} ({first / own:.1f}x)"
