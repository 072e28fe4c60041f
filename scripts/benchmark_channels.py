"""Benchmark tracing, costing and running a plan on this machine: ``make bench``.

The supernet and the narrow module are timed alternately, so that their ratio holds on a noisy machine.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Callable

import torch

from gancompress.channels import SubNetwork, materialise, trace
from gancompress.cost import CostModel
from gancompress.cost.latency import in_turns
from gancompress.networks.registry import FAMILIES


def median(function: Callable[[], object], rounds: int) -> float:
    return statistics.median(in_turns([function], rounds)[0])


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="resnet_9blocks")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--keep", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    family = FAMILIES.find(arguments.family)
    wide = family.build({}).eval()
    inputs = family.architecture({}).example_inputs((arguments.size, arguments.size))
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{arguments.family} at {arguments.size}x{arguments.size}, keep {arguments.keep}, {arguments.rounds} rounds")

    print(f"trace, first call (imports included)   {in_turns([lambda: trace(wide, inputs)], 1, 0)[0][0]:10.1f} ms")
    print(f"trace, median                          {median(lambda: trace(wide, inputs), 5):10.1f} ms")
    graph = trace(wide, inputs)
    model, plan = CostModel(graph), graph.uniform_plan(arguments.keep)
    print(f"cost of a plan, median                 {median(lambda: model.at(plan), 200):10.4f} ms")

    narrow = materialise(wide, graph, plan)
    supernet, alone = in_turns(
        [lambda: SubNetwork(wide, graph, plan)(*inputs), lambda: narrow(*inputs)], arguments.rounds
    )
    ratios = [a / b for a, b in zip(supernet, alone, strict=True)]
    print(f"supernet forward, median               {statistics.median(supernet):10.1f} ms")
    print(f"narrow module forward, median          {statistics.median(alone):10.1f} ms")
    print(f"supernet / narrow module, median       {statistics.median(ratios):10.3f}")


if __name__ == "__main__":
    main()
