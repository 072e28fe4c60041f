"""Train a supernet by GAN Compression's own trainer and by ours: one teacher, the same pairs, images and seeds.

    python scripts/peers/drawn_pairs.py runs/pairs
    python scripts/peers/gan_compression_supernet.py CHECKOUT TEACHER runs/pairs --out runs/beside-gan-compression

Arguments are those of ``gan_compression.py``. Both sides train the original's set ``channels-32`` on its separable
network, from fresh weights, and are compared on the same subnetworks: the widest, the narrowest, and some at random.
Both take the first channels of every layer, so that one program cuts and measures the networks of both.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from gan_compression import (
    OWN_TERMS,
    OWN_TRAINING,
    TERMS,
    add_arguments,
    nine_blocks,
    original,
    pairs_of,
    recipe_of,
)
from rows import Row, keep, kept, outputs, row, run_recipe, table
from torch import Tensor, nn

from gancompress.architecture_search import SearchSpace
from gancompress.channels import materialise, trace
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build

FAMILY, WIDTH = "mobile_resnet_9blocks", 32
THEIRS = "GAN Compression, its own supernet trainer"
OURS: dict[str, dict[str, Any]] = {
    "gancompress, the original's settings": {"terms": TERMS, "training": {}},
    "gancompress, its own settings": {"terms": OWN_TERMS, "training": OWN_TRAINING},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--random", type=int, default=6, help="subnetworks at random")
    given = parser.parse_args()
    torch.set_num_threads(1)
    teacher, discriminator = nine_blocks(Generator.load(given.teacher)), Generator.load(given.teacher / "discriminator")
    images, targets = pairs_of(given.pairs / "test")
    file = given.out / "supernet_rows.json"
    found = kept(file)
    for seed in map(int, given.seeds.split(",")):
        methods: dict[str, Callable[[], tuple[nn.Module, int, float]]] = {
            THEIRS: functools.partial(theirs, given, teacher, discriminator, seed, images),
            **{name: functools.partial(ours, given, teacher, discriminator, seed, name) for name in OURS},
        }
        for name, train in methods.items():
            if any(each.seed == seed and each.name.startswith(name) for each in found):
                continue
            wide, *trained = train()
            for kind, part in subnetworks(wide, images[:1], given.random):
                measured = row(f"{name}, {kind}", seed, part, teacher.build(), images, targets, tuple(trained))
                found.append(measured)
            keep(file, found)
    print(f"{torch.get_num_threads()} thread, torch {torch.__version__}; {vars(given)}\n\n{table(averaged(found))}")


class Cutter:
    """The original's set of subnetworks, which both sides train, and a way to cut them from a supernet."""

    def __init__(self, wide: nn.Module, example: Tensor) -> None:
        """Trace a supernet with one input [1, 3, h, w]."""
        slots = Generator.from_module(wide, FAMILY, {"ngf": WIDTH}).architecture.search_slots()
        self._wide, self._graph = wide, trace(wide, (example,))
        self.space = SearchSpace.from_set("resnet-channels-32", self._graph, slots)

    def cut(self, values: Sequence[int]) -> nn.Module:
        """Return the subnetwork with the widths of every slot."""
        return materialise(self._wide, self._graph, self.space.plan(tuple(values)))


def subnetworks(wide: nn.Module, example: Tensor, number: int) -> list[tuple[str, nn.Module]]:
    """Return the widest, the narrowest and some other subnetworks, the same for every supernet."""
    cutter, generator = Cutter(wide, example), torch.Generator().manual_seed(0)
    values = [("widest", cutter.space.largest), ("narrowest", cutter.space.smallest)]
    values += [("at random", cutter.space.sample(generator)) for _ in range(number)]
    return [(kind, cutter.cut(each)) for kind, each in values]


def averaged(rows: list[Row]) -> list[Row]:
    """Return the rows with the mean of those at random of each method and seed in their place."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for each in rows:
        groups.setdefault((each.name, each.seed), []).append(each)

    def mean(numbers: list[float]) -> float:
        return sum(numbers) / len(numbers)

    return [
        Row(
            name,
            seed,
            round(mean([each.macs for each in some])),
            round(mean([each.parameters for each in some])),
            some[0].images,
            some[0].seconds,
            {key: mean([each.quality[key] for each in some]) for key in some[0].quality},
        )
        for (name, seed), some in groups.items()
    ]


def theirs(
    given: argparse.Namespace, teacher: Generator, discriminator: Generator, seed: int, images: Tensor
) -> tuple[nn.Module, int, float]:
    """Train by the original's trainer; return its supernet, the images and the seconds."""
    options = {"--config_set": "channels-32", "--student_netG": f"super_{FAMILY}", "--student_ngf": WIDTH}
    taken_over = functools.partial(as_family, images=images[:2])
    return original(given, teacher, discriminator, seed, "supernet", options, taken_over)


def as_family(trained: Any, images: Tensor) -> nn.Module:
    """Return the original's supernet as a network of this package.

    Raises:
        AssertionError: A subnetwork that is cut from it makes other images than in the original.
    """
    wide = build(FAMILY, {"ngf": WIDTH})
    wide.load_state_dict(dict(zip(wide.state_dict(), trained.state_dict().values(), strict=True)))
    cutter = Cutter(wide, images[:1])
    for values in (cutter.space.largest, cutter.space.smallest):
        trained.configs = {"channels": list(values)}
        difference = (outputs(trained, images) - outputs(cutter.cut(values), images)).abs().max()
        assert difference < 1e-4, f"the subnetwork {values} differs from the original's by {difference}"
    return wide


def ours(
    given: argparse.Namespace, teacher: Generator, discriminator: Generator, seed: int, name: str
) -> tuple[nn.Module, int, float]:
    """Train by a recipe; return the supernet, the images and the seconds."""
    folder: Path = given.out / "ours-supernet" / f"{list(OURS).index(name)}-{seed}"
    step = {
        "kind": "supernet", "network": {"family": FAMILY, "config": {"ngf": WIDTH}}, "initial": "random",
        "space": {"config_set": "resnet-channels-32"}, "distillation": {"terms": OURS[name]["terms"]},
    }  # fmt: skip
    recipe, images = recipe_of(given, folder, teacher, discriminator, seed, step, OURS[name]["training"])
    network, seconds = run_recipe(recipe, folder)
    return network, images, images * seconds


if __name__ == "__main__":
    main()
