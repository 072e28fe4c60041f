"""Measure the channel graph on every architecture of spandrel by its own defaults, and on networks of other kinds.

Prints a Markdown table: processor seconds to trace, parameters and MACs left with half of the channels, three checks
of the narrow network, and what stays whole. Differences are the largest over the output, as a fraction of its largest
value:

- views: between the narrow network and the same plan on views of the wide weights.
- reordered: between the wide network and itself with the channels of every group in a random order.
- zeroed: between the narrow network and the wide one whose removed weights are 0. A norm, or a mean, over channels
  counts the zeros, so those differ by nature; weight norm cannot divide by a length of 0 (-).
- ONNX: between the narrow network and its file in onnxruntime.

Every network runs in a process of its own with a limit of processor time and one of memory, and its figures are kept:
run the same command to continue. Needs ``pip install --no-deps spandrel==0.4.2 einops``, and diffusers for
AutoencoderKL.

    python scripts/measure_zoo.py --out zoo.json
    python scripts/measure_zoo.py --out zoo.json --only SwinIR,LaMa --again
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import zoo_networks
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from gancompress import export
from gancompress.channels import ChannelGraph, ChannelPlan, SubNetwork, materialise, reordered, trace
from gancompress.channels.skeleton import copy_module, named_tensors
from gancompress.cost import CostModel
from gancompress.errors import ExportError, TraceError


def reasons(graph: ChannelGraph, count: int) -> list[str]:
    """Return the reasons of most channels that stay, other than that they reach the output."""
    stay = [fixed for fixed in graph.fixed if fixed.reason != "reaches the output"]
    seen = Counter()
    for fixed in stay:
        seen[fixed.reason] += fixed.channels
    example = {fixed.reason: fixed.layer for fixed in reversed(stay)}
    return [f"`{example[reason]}` and others ({n}): {reason}" for reason, n in seen.most_common(count)]


def outputs(network: Callable[..., Any], inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Run a network on copies of its inputs, its noise drawn from seed 0."""
    torch.manual_seed(0)
    with torch.no_grad():
        result = network(*tree_map_only(Tensor, Tensor.clone, inputs))
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


def difference(got: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference, as a fraction of the largest expected value."""
    pairs = list(zip(got, expected, strict=True))
    return max((a - b).abs().max().item() for a, b in pairs) / max(b.abs().max().item() for _, b in pairs)


@torch.no_grad()
def zeroed(network: nn.Module, graph: ChannelGraph, plan: ChannelPlan) -> nn.Module:
    """Return a copy of the wide network with 0 in the place of every weight that a plan removes."""
    copied = copy_module(network)
    leading = {group: torch.arange(width).numpy() for group, width in plan.widths.items()}
    for name, tensor in named_tensors(copied).items():
        for number, axis in enumerate(graph.axes(name)):
            removed = torch.ones(tensor.shape[number], dtype=torch.bool)
            removed[torch.from_numpy(axis.kept(leading))] = False
            if axis.groups and tensor.is_floating_point():
                tensor.index_fill_(number, removed.nonzero().ravel(), 0)
    return copied


@dataclass(frozen=True)
class Narrowed:
    """A network of the zoo with its graph, a plan, and the narrow network of the plan."""

    wide: nn.Module
    inputs: tuple[Tensor, ...]
    graph: ChannelGraph
    seconds: float
    plan: ChannelPlan
    narrow: nn.Module

    @classmethod
    def of(cls, name: str, keep: float) -> Narrowed:
        """Trace a network and narrow it."""
        network, inputs = zoo_networks.build(name)
        start = time.process_time()
        graph = trace(network, inputs)
        seconds, plan = time.process_time() - start, graph.uniform_plan(keep)
        return cls(network, inputs, graph, seconds, plan, materialise(network, graph, plan))


def measure_channels(traced: Narrowed, count: int) -> dict[str, Any]:
    """Compare a narrow network with the wide one in three ways."""
    network, inputs, graph, plan, narrow = traced.wide, traced.inputs, traced.graph, traced.plan, traced.narrow
    notes, cost = [], CostModel(graph)
    before, after = cost.at(graph.full_plan()), cost.at(plan)
    row = {
        "seconds": traced.seconds,
        "groups": len(graph.groups),
        "parameters": sum(p.numel() for p in network.parameters()),
        "left": sum(p.numel() for p in narrow.parameters()) / sum(p.numel() for p in network.parameters()),
        "macs_left": after.macs.count("true") / before.macs.count("true"),
        "reasons": reasons(graph, count),
    }
    wide, expected = outputs(network, inputs), outputs(narrow, inputs)
    given, state = [each.clone() for each in inputs], torch.random.get_rng_state()
    with torch.no_grad():
        network(*given)
    if any(not torch.equal(a, b) for a, b in zip(inputs, given, strict=True)):
        notes.append("changes its input in place")
    if not torch.equal(state, torch.random.get_rng_state()):
        notes.append("draws noise")
    generator = torch.Generator().manual_seed(0)
    order = {group: torch.randperm(each.size, generator=generator) for group, each in graph.groups.items()}
    row["notes"] = notes
    row["views"] = difference(outputs(SubNetwork(network, graph, plan), inputs), expected)
    row["reordered"] = difference(outputs(reordered(network, graph, order), inputs), wide)
    row["zeroed"] = difference(outputs(zeroed(network, graph, plan), inputs), expected)
    return row


def measure_export(traced: Narrowed) -> dict[str, Any]:
    """Export a narrow network to ONNX; the export compares the file with it."""
    scale = max(each.abs().max().item() for each in outputs(traced.narrow, traced.inputs))
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = export(traced.narrow, traced.inputs, Path(folder) / "narrow.onnx", format="onnx_fixed")
        except ExportError as error:
            return {"failed": str(error)}
    return {"difference": (report.max_difference or 0.0) / scale}


def measure(name: str, parts: Sequence[str], arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure parts of one network, one after the other."""
    try:
        traced = Narrowed.of(name, arguments.keep)
    except TraceError as error:
        yield {"channels": {"failed": str(error)}, "onnx": {"failed": "not traced"}}
        return
    for part in parts:
        yield {part: measure_channels(traced, arguments.reasons) if part == "channels" else measure_export(traced)}


def line(name: str, row: dict[str, Any]) -> str:
    """Return a row of the Markdown table."""
    if "failed" in row.get("channels", {}):
        return f"| {name} | | | | | | | | | {row['channels']['failed']} |"
    if "channels" not in row:
        return f"| {name} | | | | | | | | | not measured |"
    found, file = row["channels"], row.get("onnx", {})
    onnx = f"{file['difference']:.0e}" if "difference" in file else file.get("failed", "not measured")
    numbers = (
        f"{found['parameters'] / 1e6:.2f} M",
        f"{found['seconds']:.1f}",
        f"{found['left']:.0%}",
        f"{found['macs_left']:.0%}",
        *(f"{found[check]:.0e}" if found[check] else "0" for check in ("views", "reordered")),
        "-" if math.isnan(found["zeroed"]) else f"{found['zeroed']:.0e}",
        onnx,
        "; ".join((*found["notes"], *found["reasons"])),
    )
    return f"| {name} | {' | '.join(numbers)} |"


HEAD = (
    "| network | parameters | trace, s | left | MACs left | views | reordered | zeroed | ONNX | what stays, and why |"
)


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the Markdown table of all networks that were measured, and a line that counts them."""
    traced = [row["channels"] for row in rows.values() if "left" in row.get("channels", {})]
    wrong = [row for row in traced if row["views"] > 0 or row["reordered"] > 1e-3]
    summary = (
        f"{len(rows)} networks: {len(traced)} traced, {sum(row['left'] <= 0.6 for row in traced)} narrow to 60 % or "
        f"less, {len(wrong)} wrong, {sum(row['seconds'] > 30 for row in traced)} slower than 30 s."
    )
    return "\n".join([HEAD, "|---" * 10 + "|", *(line(name, row) for name, row in rows.items()), "", summary])


def alone(name: str, parts: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure parts of one network in a process of its own."""
    options = ["--keep", str(arguments.keep), "--reasons", str(arguments.reasons)]
    command = [sys.executable, "-W", "ignore", __file__, *options, "--alone", f"{name}:{','.join(parts)}"]
    memory = arguments.memory << 30

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (arguments.limit, arguments.limit + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))

    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=bound)
    found = {}
    for text in done.stdout.splitlines():
        found |= json.loads(text) if text.startswith("{") else {}
    reason = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:200]
    if done.returncode == -signal.SIGXCPU:
        reason = f"not done within {arguments.limit} s"
    return {part: {"failed": reason} for part in parts} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("zoo.json"), help="Figures so far; continued if it exists.")
    parser.add_argument("--only", default="", help="Networks, separated by commas; all by default.")
    parser.add_argument("--again", action="store_true", help="Measure again what has figures.")
    parser.add_argument("--keep", type=float, default=0.5, help="Fraction of the channels to keep.")
    parser.add_argument("--limit", type=int, default=900, help="Processor seconds for one network.")
    parser.add_argument("--memory", type=int, default=10, help="GiB of memory for one network.")
    parser.add_argument("--reasons", type=int, default=2, help="Reasons to list for each network.")
    parser.add_argument("--parts", default="channels,onnx", help="Measurements: channels, onnx.")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        name, parts = arguments.alone.split(":")
        for found in measure(name, parts.split(","), arguments):
            print(json.dumps(found), flush=True)
        return
    rows = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    chosen = arguments.only.split(",") if arguments.only else zoo_networks.names()
    for name in chosen:
        row = rows.setdefault(name, {})
        if parts := [part for part in arguments.parts.split(",") if part not in row or arguments.again]:
            row |= alone(name, parts, arguments)
            arguments.out.write_text(json.dumps(rows, indent=1))
    print(table({name: rows[name] for name in chosen}))


if __name__ == "__main__":
    main()
