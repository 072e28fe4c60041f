"""Rows of a comparison with an original: one trained network each, measured in the same way whoever trained it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.cost.measured import evaluation_mode, measure
from gancompress.evaluation import perceptual_distance, psnr, structural_similarity
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job

_BATCH = 16


@dataclass(frozen=True)
class Row:
    """A trained network.

    Attributes:
        name: Name of the row.
        seed: Seed of its training.
        macs: True MACs for one image.
        parameters: Number of its parameters.
        images: Images of its training.
        seconds: Processor time of its training.
        quality: Distances to the teacher, and to the truth if there is one, on held-out images, by name.
    """

    name: str
    seed: int
    macs: int
    parameters: int
    images: int
    seconds: float
    quality: Mapping[str, float]


class ProcessorTime:
    """Processor time of the training steps of this process, from the first progress of a step to its last."""

    def __init__(self) -> None:
        self.seconds, self.images = 0.0, 0
        self._step, self._began, self._at = "", 0.0, 0

    def show(self, progress: object) -> None:
        """Take what a run shows of its progress."""
        if getattr(progress, "unit", None) != "images":
            return
        now, step, done = time.process_time(), progress.step, progress.done
        if step == self._step:
            self.seconds += now - self._began
            self.images += done - self._at
        self._step, self._began, self._at = step, now, done


@torch.no_grad()
def outputs(network: nn.Module, images: Tensor) -> Tensor:
    """Return the images of a network in evaluation mode."""
    with evaluation_mode(network):
        return torch.cat([network(batch) for batch in images.split(_BATCH)])


def row(
    name: str,
    seed: int,
    network: nn.Module,
    teacher: nn.Module,
    images: Tensor,
    targets: Tensor | None,
    trained: tuple[int, float],
    trunk: Path | None = None,
) -> Row:
    """Measure a network.

    Args:
        name: Name of the row.
        seed: Seed of its training.
        network: The network.
        teacher: The teacher.
        images: Held-out inputs.
        targets: The truth for them, if there is one.
        trained: Images of its training, and their processor time.
        trunk: A network of feature maps as TorchScript, for the perceptual distance.
    """
    made, wanted = outputs(network, images), outputs(teacher, images)
    quality = {"PSNR, dB": float(psnr(made, wanted).mean()), "SSIM": float(structural_similarity(made, wanted).mean())}
    if trunk is not None:
        distance = perceptual_distance(trunk, "cpu")
        pairs = zip(made.split(_BATCH), wanted.split(_BATCH), strict=True)
        quality["perceptual"] = float(torch.cat([distance(*pair) for pair in pairs]).mean())
    if targets is not None:
        quality["SSIM to the truth"] = float(structural_similarity(made, targets).mean())
    with evaluation_mode(network):
        cost = measure(network, (images[:1],))
    return Row(name, seed, cost.macs.true, cost.parameters, *trained, quality)


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""
    names = list(dict.fromkeys(name for each in rows for name in each.quality))
    head = ["", "seed", "MACs, M", "parameters", "images", "processor s", "images/s", *names]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for each in rows:
        cells = [each.name, str(each.seed), f"{each.macs / 1e6:.1f}", f"{each.parameters:,}", f"{each.images:,}"]
        cells += [f"{each.seconds:.0f}", f"{each.images / each.seconds:.1f}"]
        cells += [f"{each.quality[name]:.3f}" if name in each.quality else "" for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def kept(file: Path) -> list[Row]:
    """Return the rows of a file, none if there is no such file."""
    return [Row(**each) for each in json.loads(file.read_text())] if file.is_file() else []


def keep(file: Path, rows: Sequence[Row]) -> None:
    """Write rows to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(each) for each in rows], indent=1))


def data_of(pairs: Path, side: int) -> dict[str, Any]:
    """Return the data of a recipe: a folder of pairs in the layout of the originals, unchanged."""
    splits = {"train": "train", "search": "val", "test": "test"}
    return {
        "kind": "aligned",
        "root": str(pairs.resolve()),
        "splits": {name: {"folder": folder} for name, folder in splits.items()},
        "transform": {"load_size": side, "crop_size": side, "flip": False},
    }


def run_recipe(recipe: Mapping[str, Any], folder: Path) -> tuple[nn.Module, float]:
    """Run a recipe in a folder; return the network and the processor seconds of one image of training."""
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    clock = ProcessorTime()
    outcome = Pipeline(load_job(str(folder / "recipe.yaml")), folder / "run", lambda _: None, show=clock.show).run()
    assert outcome is not None
    return outcome.compressed.generator.build(), clock.seconds / clock.images
