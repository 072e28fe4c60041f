"""Benchmark the latency prediction of plans: a separable ResNet, held-out plans, one runtime after another.

``--folder F --prepare`` writes the files of all layers and networks; the same without ``--prepare`` times them, which
needs a quiet machine, saves the times beside them and prints the table.
"""

from __future__ import annotations

import argparse
import json
import random
from itertools import product
from pathlib import Path

import numpy as np
import torch

from gancompress.channels import trace
from gancompress.cost import CostModel
from gancompress.deploy import export_layers
from gancompress.deploy.latency import LatencyModel, LatencyTable, Target, variants_of_space
from gancompress.deploy.latency.learn import missing_of
from gancompress.deploy.latency.measuring import time_files
from gancompress.deploy.latency.parts import parts_of
from gancompress.deploy.latency.table import key_of
from gancompress.evaluation import rank_correlation
from gancompress.jobs.steps.spaces import SpaceOptions
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--family", default="mobile_resnet_9blocks")
    parser.add_argument("--ngf", type=int, default=48)
    parser.add_argument("--set", dest="config_set", help="config set of the space; else three multiples of 16 a slot")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--networks", type=int, default=16, help="whole networks that the model is fitted to")
    parser.add_argument("--held-out", type=int, default=30, help="random plans that it is judged on")
    parser.add_argument("--runtime", action="append", default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()

    torch.manual_seed(0)
    config = {"ngf": given.ngf}
    generator = Generator.from_module(build(given.family, config), given.family, config)
    (example,) = FAMILIES.find(given.family).architecture(generator.config).example_inputs((given.size, given.size))
    network = generator.build()
    graph = trace(network, [example], multiple=1, minimum=1)
    options = {"config_set": given.config_set} if given.config_set else {"max_choices": 3, "multiple": 16}
    space = SpaceOptions(**options).of(generator, graph)
    variants = variants_of_space(space, given.networks)
    fitted = {key_of(plan) for plan in variants.plans}
    rng = torch.Generator().manual_seed(1)
    draws = (space.plan(space.sample(rng)) for _ in range(10_000))
    held_out = list(dict.fromkeys(plan for plan in draws if key_of(plan) not in fitted))[: given.held_out]
    parts = parts_of(network, graph, example)
    wanted = {part.kind: tuple(product(*(variants.widths[group] for group in part.groups))) for part in parts}

    if given.prepare:
        given.folder.mkdir(parents=True)
        rewrites = Target("onnxruntime").rewrites(generator)
        missing = missing_of(LatencyTable({}), network, graph, example, parts, wanted, variants.plans, rewrites)
        missing += missing_of(LatencyTable({}), network, graph, example, parts, {}, held_out, rewrites)
        inputs = [torch.zeros(each.shape) for each in missing]
        export_layers([each.module for each in missing], inputs, given.folder, "onnx_fixed")
        shapes = [each.shape for each in missing]
        (given.folder / "shapes.json").write_text(json.dumps(shapes))
        return

    shapes = [tuple(shape) for shape in json.loads((given.folder / "shapes.json").read_text())]
    macs = CostModel(graph)
    print("| runtime | median error | 90th percentile | rank correlation | of MACs | fitted to, left one out |")
    print("|---|---|---|---|---|---|")
    for runtime in given.runtime:
        kept = given.folder / f"{runtime}.json"
        if not kept.is_file():
            order = random.Random(0).sample(range(len(shapes)), len(shapes))
            paths = [given.folder / f"{number}.onnx" for number in order]
            times = time_files(paths, [shapes[i] for i in order], Target(runtime, given.threads), given.rounds)
            kept.write_text(json.dumps([ms for _, ms in sorted(zip(order, times, strict=True))]))
        times = iter(json.loads(kept.read_text()))
        table = LatencyTable({}, {kind: {widths: next(times) for widths in each} for kind, each in wanted.items()})
        table.networks = {key_of(plan): next(times) for plan in variants.plans}
        measured = np.array(list(times))
        model = LatencyModel(graph, parts, table)
        predicted = np.array([model.at(plan) for plan in held_out])
        errors = 100 * np.abs(predicted - measured) / measured
        of_macs = rank_correlation([macs.macs(plan).true for plan in held_out], measured)
        print(
            f"| {runtime} | {np.median(errors):.1f} % | {np.quantile(errors, 0.9):.1f} % | "
            f"{rank_correlation(predicted, measured):.3f} | {of_macs:.3f} | {model} |"
        )


if __name__ == "__main__":
    main()
