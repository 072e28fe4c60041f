"""Measure the channel graph on every architecture of spandrel, built by its own defaults.

Prints a Markdown table: processor seconds to trace, parameters left with half of the channels, difference between
sub-network and narrow module, and what stays whole. Each architecture runs in a process of its own with a time limit.
Needs ``pip install --no-deps spandrel==0.4.2 einops``.

    python scripts/measure_zoo.py
    python scripts/measure_zoo.py --only SwinIR,LaMa --reasons 5
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import subprocess
import sys
import time
import types
import typing
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, SubNetwork, materialise, trace
from gancompress.errors import TraceError

OPTIONS: dict[str, dict[str, Any]] = {
    "DRCT": {"upsampler": "pixelshuffle", "upscale": 4},
    "HAT": {"window_size": 8},
    "LaMa": {"in_nc": 4},
    "MMRealSR": {"num_in_ch": 3, "num_out_ch": 3},
    "SAFMN": {"dim": 36},
    "SAFMNBCIE": {"dim": 36},
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3},
    "Swin2SR": {"window_size": 8},
    "SwinIR": {"window_size": 8},
}
"""Arguments without a default, or whose default does not fit images of 64 pixels."""

SIDES = {"GFPGAN": 512, "IPT": 48, "RestoreFormer": 512, "Uformer": 128}
"""Sides of the input in pixels, if the architecture does not take 64."""

NOT_ALONE = {"AuraSR": "it draws from noise at every step, and has no default size"}


def import_spandrel() -> dict[str, type[nn.Module]]:
    """Import spandrel without torchvision, and return the class of every architecture."""
    functional = types.ModuleType("torchvision.transforms.functional")
    for name in ("InterpolationMode", "rotate", "normalize"):
        setattr(functional, name, types.SimpleNamespace(BILINEAR=None, NEAREST=None))
    transforms, torchvision = types.ModuleType("torchvision.transforms"), types.ModuleType("torchvision")
    vars(transforms)["functional"], vars(torchvision)["transforms"] = functional, transforms
    for module in (torchvision, transforms, functional):
        sys.modules.setdefault(module.__name__, module)
    architectures = importlib.import_module("spandrel.architectures")
    found = {}
    for entry in pkgutil.iter_modules(architectures.__path__):
        if not entry.name.startswith("__"):
            module = importlib.import_module(f"spandrel.architectures.{entry.name}")
            (kind,) = typing.get_args(vars(module)[f"{entry.name}Arch"].__orig_bases__[0])
            found[entry.name] = (typing.get_args(kind) or (kind,))[0]
    return found


def build(name: str, kind: type[nn.Module]) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network with weights of seed 0, and inputs for it."""
    torch.manual_seed(0)
    if name == "IPT":
        kind = vars(importlib.import_module("spandrel.architectures.IPT"))["IPT"]
    network = kind(**OPTIONS.get(name, {})).eval()
    side = SIDES.get(name, 64)
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    channels = {"LaMa": 3, "FBCNN": 3}.get(name, first.in_channels if first.in_channels in (1, 2, 3) else 3)
    image = torch.rand(1, channels, side, side)
    return network, (image, (image[:, :1] > 0.5).float()) if name == "LaMa" else (image,)


def reasons(graph: ChannelGraph, count: int) -> list[str]:
    """Return the most frequent reasons of channels that stay although they need not."""
    seen = Counter()
    for fixed in graph.unfollowed:
        seen[fixed.reason] += fixed.channels
    example = {fixed.reason: fixed.layer for fixed in reversed(graph.unfollowed)}
    return [f"`{example[reason]}` and others ({n}): {reason}" for reason, n in seen.most_common(count)]


def measure(name: str, keep: float, count: int, compare: bool) -> dict[str, Any]:
    """Trace one architecture, narrow it, and compare the sub-network with the narrow module."""
    network, inputs = build(name, import_spandrel()[name])
    before = sum(p.numel() for p in network.parameters())
    start = time.process_time()
    try:
        graph = trace(network, inputs)
    except TraceError as error:
        return {"failed": str(error)}
    seconds = time.process_time() - start
    plan = graph.uniform_plan(keep)
    narrow = materialise(network, graph, plan)
    left = sum(p.numel() for p in narrow.parameters()) / before
    row = {"seconds": seconds, "groups": len(graph.groups), "parameters": before, "left": left}
    row["reasons"] = reasons(graph, count)
    if compare:
        with torch.no_grad():
            torch.manual_seed(0)
            expected = narrow(*inputs)
            torch.manual_seed(0)
            got = SubNetwork(network, graph, plan)(*inputs)
        pairs = zip(_tensors(got), _tensors(expected), strict=True)
        row["difference"] = max((a - b).abs().max().item() for a, b in pairs)
    return row


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def line(name: str, row: dict[str, Any]) -> str:
    """Return a row of the Markdown table."""
    if "failed" in row:
        return f"| {name} | | | | | {row['failed']} |"
    difference = f"{row['difference']:g}" if "difference" in row else ""
    numbers = f"{row['seconds']:.1f} | {row['parameters'] / 1e6:.2f} M | {row['left']:.0%} | {difference}"
    return f"| {name} | {numbers} | {'; '.join(row['reasons'])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="Architectures, separated by commas; all by default.")
    parser.add_argument("--keep", type=float, default=0.5, help="Fraction of the channels to keep.")
    parser.add_argument("--limit", type=float, default=180, help="Seconds for one architecture.")
    parser.add_argument("--reasons", type=int, default=2, help="Reasons to list for each architecture.")
    parser.add_argument("--no-compare", action="store_true", help="Skip the comparison of values.")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(measure(arguments.alone, arguments.keep, arguments.reasons, not arguments.no_compare)))
        return
    names = arguments.only.split(",") if arguments.only else [n for n in import_spandrel() if n not in NOT_ALONE]
    print("| architecture | trace, s | parameters | left | difference | stays whole |\n|---|---|---|---|---|---|")
    for name in names:
        command = [sys.executable, *sys.argv, "--alone", name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.limit, check=False)
            lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or [""]
            row = json.loads(lines[-1]) if done.returncode == 0 else {"failed": lines[-1][:160]}
        except subprocess.TimeoutExpired:
            row = {"failed": f"not done within {arguments.limit:g} s"}
        print(line(name, row), flush=True)


if __name__ == "__main__":
    main()
