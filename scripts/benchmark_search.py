"""Benchmark the parts of a search candidate, and the Frechet distance beside a general matrix square root.

Prints Markdown tables. The search is that of quickstart-search: its network with fresh weights, its drawn images. The
two ways to the distance are timed alternately, so that their ratio holds on a noisy machine.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gancompress.architecture_search import SearchOptions
from gancompress.cost import CostModel
from gancompress.cost.latency import in_turns
from gancompress.data import parse_data
from gancompress.evaluation import FrechetReference, Statistics
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.steps import Budget, Context, Search, Work
from gancompress.steps.metric_options import MetricOptions
from gancompress.steps.spaces import SpaceOptions
from gancompress.tasks import find_task

PARTS = ("cost", "materialise", "recalibration", "loading", "generation", "features", "distance")


class Silent:
    """Log that shows nothing."""

    def progress(self, num_images: int, total_images: int) -> None:
        """Do nothing: nothing is trained."""

    def searched(self, num_candidates: int, total: int, best: Mapping[str, float]) -> None:
        """Do nothing."""

    def losses(self, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
        """Do nothing: nothing is trained."""

    def preview(self, num_images: int, images: Mapping[str, Tensor]) -> None:
        """Do nothing: nothing is trained."""


def feature_network(path: Path, num_features: int) -> None:
    """Save a network of random weights with this many features."""
    network = nn.Sequential(
        nn.Conv2d(3, 64, 5, 2), nn.ReLU(), nn.Conv2d(64, num_features, 5, 4), nn.AdaptiveAvgPool2d(1)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # raised inside TorchScript
        torch.jit.script(nn.Sequential(network, nn.Flatten()).eval()).save(str(path))


def candidate_seconds(norm: str, metric: str, arguments: argparse.Namespace) -> list[dict[str, float]]:
    torch.manual_seed(0)
    config = {"ngf": 16, "norm": norm}
    generator = Generator.from_module(build("mobile_resnet_6blocks", config), "mobile_resnet_6blocks", config)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        feature_network(folder / "random2048.ts.pt", 2048)
        networks = {"random2048": {"path": str(folder / "random2048.ts.pt"), "size": [arguments.size] * 2}}
        context = Context(
            task=find_task("paired"),
            data=parse_data(
                {
                    "kind": "procedural",
                    "image_size": arguments.size,
                    "num_images": {"train": 512, "search": arguments.images, "test": 1},
                }
            ),
            budget=None,
            directory=folder,
            accelerator=Accelerator(cpu=not torch.cuda.is_available()),
            log=Silent(),
            metrics=MetricOptions(networks=networks, reference_folder=str(folder / "references")),
        )
        graph = context.graph(generator)
        budget = Budget(CostModel(graph).at(graph.full_plan()).macs.true / 3)
        step = Search(
            metric=metric,
            space=SpaceOptions(max_choices=4, multiple=4),
            options=SearchOptions(method="random", num_candidates=arguments.candidates),
        )
        found = step.run(Work(generator, generator), Context(**{**context.__dict__, "budget": budget}))
    return found.facts["candidate_seconds"]


def print_split(arguments: argparse.Namespace) -> None:
    images = f"{arguments.images} images of {arguments.size}x{arguments.size}"
    print(f"Seconds per candidate, {images}, median of {arguments.candidates - 1} after the first (in brackets):\n")
    print_row("norm", "metric", *PARTS, "all")
    print_row(*["---"] * (len(PARTS) + 3))
    for norm, metric in (("instance", "ssim"), ("instance", "fd_random2048"), ("batch", "fd_random2048")):
        first, *others = candidate_seconds(norm, metric, arguments)
        cells = [
            f"{statistics.median(one.get(part, 0.0) for one in others):.4f} ({first.get(part, 0.0):.3f})"
            for part in PARTS
        ]
        totals = [sum(one.values()) for one in (first, *others)]
        print_row(norm, metric, *cells, f"{statistics.median(totals[1:]):.3f} ({totals[0]:.3f})")
    print()


def by_general_square_root(x: Tensor, y: Tensor) -> float:
    """Return the distance computed the usual way: by the square root of the product of both covariances."""
    from scipy.linalg import sqrtm

    one, other = Statistics.of(x).gaussian(), Statistics.of(y).gaussian()
    # The product of singular covariances may have no root; other implementations add a small diagonal, too.
    small = torch.eye(len(one.mean), dtype=torch.float64) * 1e-6
    root = torch.from_numpy(sqrtm(((one.covariance + small) @ (other.covariance + small)).numpy()).real)
    means = (one.mean - other.mean).square().sum()
    return float(means + one.covariance.trace() + other.covariance.trace() - 2 * root.trace())


def print_distance(arguments: argparse.Namespace) -> None:
    print(f"Frechet distance to a reference that is prepared, medians of {arguments.rounds} rounds in turns:\n")
    print_row("features", "images", "this package, s", "general square root, s", "times faster", "relative difference")
    print_row(*["---"] * 6)
    for num_features in arguments.features:
        mixing = torch.randn(num_features, num_features) / num_features**0.5
        for num_images in arguments.distance_images:
            real, made = (torch.randn(num_images, num_features) @ mixing + shift for shift in (0.0, 0.1))
            reference = FrechetReference(real)
            times = in_turns(
                [lambda: reference.distance(made), lambda: by_general_square_root(made, real)],  # noqa: B023
                arguments.rounds,
            )
            ours, general = (statistics.median(each) / 1e3 for each in times)
            ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
            value, expected = reference.distance(made), by_general_square_root(made, real)
            difference = f"{abs(value - expected) / expected:.1e}"
            print_row(str(num_features), str(num_images), f"{ours:.4f}", f"{general:.3f}", f"{ratio:.0f}", difference)
    print()


def print_row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def numbers(text: str) -> Sequence[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=9)
    parser.add_argument("--images", type=int, default=64, help="of the search split")
    parser.add_argument("--size", type=int, default=64, help="of an image, in pixels")
    parser.add_argument("--features", type=numbers, default=[64, 2048], help="lengths of features, such as 64,2048")
    parser.add_argument("--distance-images", type=numbers, default=[200, 500], help="numbers of images")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{platform.machine()}, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print_split(arguments)
    print_distance(arguments)


if __name__ == "__main__":
    main()
