"""Train students of an upscaler on the same crops and compare them on held-out photographs: one row for each student.

The teacher's images of random crops are made once and kept in the output directory, so that every row learns from the
same ones and a row costs the student's steps alone. Each row is one `gancompress.distill`; the same command resumes,
and rows that are done are not made again. Prints a Markdown table with 95 % intervals over the photographs. Seconds are
processor time, which excludes other programs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from photographs import crops
from torch import Tensor, nn
from torch.nn import functional as F

import gancompress
from gancompress.channels import ChannelPlan, materialise, reordered, trace
from gancompress.channels.skeleton import named_tensors
from gancompress.cost import CostModel, widest_plan
from gancompress.evaluation import perceptual_distance
from gancompress.evaluation.kinds import PairMeasure
from gancompress.importance import by_importance, candidate_blocks, find_score
from gancompress.losses import L1, Ssim, TermOptions
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import build
from gancompress.perception import ssim
from gancompress.reconstruction import refit

BOTH: tuple[TermOptions, ...] = (L1(100), Ssim(5))
SIDE, TEST_SIDE, BATCH, NUM_REFIT, MULTIPLE = 32, 64, 4, 64, 4


@torch.inference_mode()
def kept_outputs(path: Path, teacher: nn.Module, images: Tensor, at_once: int = 100) -> Tensor:
    """Return the teacher's images in half precision from a file, which is made or completed first."""
    parts = [torch.load(path)] if path.is_file() else []
    while (done := sum(map(len, parts))) < len(images):
        parts += [teacher(some).half() for some in images[done : done + at_once].split(BATCH)]
        torch.save(torch.cat(parts), path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)
        print(f"teacher: {sum(map(len, parts))} of {len(images)} crops", flush=True)
    return torch.cat(parts)[: len(images)]


def cut(teacher: nn.Module, images: Tensor, smaller: float, kept_blocks: int | None) -> nn.Module:
    """Return the teacher cut to its MACs divided by ``smaller`` and refitted; the last blocks stay, or all of them."""
    graph = trace(teacher, (images[:1],), multiple=MULTIPLE, minimum=MULTIPLE)
    cost, blocks = CostModel(graph), candidate_blocks(graph)
    left = () if kept_blocks is None else blocks[: len(blocks) - kept_blocks]

    def macs(plan: ChannelPlan) -> float:
        return float(cost.macs(plan).true)

    plan = widest_plan(graph, macs, macs(graph.full_plan()) / smaller, "MACs", left)
    wide = reordered(teacher, graph, by_importance(find_score("l1_incoming")(named_tensors(teacher), graph)))
    student = materialise(wide, graph, plan).eval()
    refit(wide, student, graph, plan, (images[:NUM_REFIT],))
    return student


def macs_of(network: nn.Module) -> float:
    """Return the MACs of a network for one crop."""
    graph = trace(network, (torch.zeros(1, 3, SIDE, SIDE),), multiple=1, minimum=1)
    return float(CostModel(graph).macs(graph.full_plan()).true)


def trained(student: nn.Module, teacher: nn.Module, data: list, out: Path, images: int, rate: float, terms, seed: int):
    """Train a student on the kept images of its teacher with `gancompress.distill`; the same call resumes."""
    full = images * 2 // 5 // BATCH * BATCH
    gancompress.distill(
        *(student, teacher, data),
        images=full,
        num_decay_images=images - full,
        num_warmup_images=min(full, images // 20),
        decay="cosine",
        batch_size=BATCH,
        lr=rate,
        terms=terms,
        precision="bf16",
        ema_half_life=min(500, images // 40),
        out=out,
        seed=seed,
    )


@torch.no_grad()
def measured(upscale: Callable[[Tensor], Tensor], test: Tensor, wanted: Tensor, distance: PairMeasure | None) -> list:
    """Return PSNR in dB, SSIM and perceptual distance to the teacher's images, each as a mean and its interval."""
    values: list[list[float]] = [[], [], []]
    for image, target in zip(test.split(1), wanted.float().clamp(-1, 1).split(1), strict=True):
        made = upscale(image).clamp(-1, 1)
        values[0].append(float(10 * torch.log10(4 / (made - target).square().mean())))
        values[1].append(float(ssim((made + 1) / 2, (target + 1) / 2).mean()))
        values[2] += [] if distance is None else [float(torch.as_tensor(distance(made, target)).mean())]
    return [[float(np.mean(v)), float(1.96 * np.std(v, ddof=1) / len(v) ** 0.5)] for v in values if v]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path, help="checkpoint of an upscaler by four")
    parser.add_argument("--train", type=Path, required=True, metavar="FOLDER", help="photographs to learn from")
    parser.add_argument("--test", type=Path, required=True, metavar="FOLDER", help="photographs that take no part")
    parser.add_argument("--out", type=Path, required=True, help="directory of the teacher's images and the rows")
    parser.add_argument("--perceptual", type=Path, help="feature network as TorchScript, for the perceptual distance")
    parser.add_argument("--compact", type=Path, help="checkpoint of a ready small upscaler, to compare with")
    parser.add_argument("--rows", default="compact,compact_l1,one_block,uniform", help="rows to train")
    parser.add_argument("--smaller", type=float, default=10.0, help="times fewer MACs of the rows that are cut")
    parser.add_argument("--crops", type=int, default=2000, help="training crops, each also mirrored")
    parser.add_argument("--images", type=int, default=10_000, help="images that each row is trained on")
    parser.add_argument("--num-test", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    teacher = load_generator(given.teacher).build().eval()
    images, test = crops(given.train, given.crops, SIDE, 0), crops(given.test, given.num_test, TEST_SIDE, 3)
    targets = kept_outputs(given.out / "train_outputs.pt", teacher, images).float()
    wanted = kept_outputs(given.out / "test_outputs.pt", teacher, test)
    pairs = torch.cat([images, images.flip(3)]), torch.cat([targets, targets.flip(3)])
    order = torch.randperm(len(pairs[0]), generator=torch.Generator().manual_seed(0))
    data = [{"input": pairs[0][some], "target": pairs[1][some]} for some in order.split(BATCH)]
    distance = None if given.perceptual is None else perceptual_distance(given.perceptual, "cpu")
    makers: dict[str, tuple[Callable[[], nn.Module], float, tuple[TermOptions, ...]]] = {
        "compact": (lambda: build("srvggnet_compact", {"nf": 52}), 1e-3, BOTH),
        "compact_l1": (lambda: build("srvggnet_compact", {"nf": 52}), 1e-3, BOTH[:1]),
        "one_block": (lambda: cut(teacher, images, given.smaller, 1), 5e-4, BOTH),
        "uniform": (lambda: cut(teacher, images, given.smaller, None), 5e-4, BOTH),
    }
    print("| row | times fewer MACs | seconds of training | PSNR, dB | SSIM | perceptual distance |")
    print("|---|---|---|---|---|---|")
    whole = macs_of(teacher)

    def show(name: str, fewer: str, seconds: str, upscale: Callable[[Tensor], Tensor]) -> None:
        cells = [f"{mean:.3f} ± {width:.3f}" for mean, width in measured(upscale, test, wanted, distance)]
        print(f"| {' | '.join([name, fewer, seconds, *cells])} |", flush=True)

    show("bicubic", "", "", lambda x: F.interpolate(x, scale_factor=4, mode="bicubic"))
    if given.compact is not None:
        small = load_generator(given.compact).build().eval()
        show(given.compact.stem, f"{whole / macs_of(small):.1f}", "", small)
    for name in given.rows.split(","):
        make, rate, terms = makers[name]
        folder = given.out / f"{name}-{given.images}-{given.seed}"
        torch.manual_seed(given.seed)
        began, done = time.process_time(), folder / "seconds.json"
        student = make()
        trained(student, teacher, data, folder, given.images, rate, terms, given.seed)
        spent = json.loads(done.read_text()) if done.is_file() else time.process_time() - began
        done.write_text(json.dumps(spent))
        show(name, f"{whole / macs_of(student):.1f}", f"{spent:.0f}", student.eval())


if __name__ == "__main__":
    main()
