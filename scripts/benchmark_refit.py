"""Benchmark the quality after cutting channels, after a refit, and after a little fine-tuning, with processor times.

For each fraction the network is pruned by a score, and compared with the teacher on held-out photographs: as cut,
refitted on crops of training photographs, and fine-tuned instead (Adam, L1 to the teacher's image, random crops).
Prints a table of PSNR in dB to the teacher's images. Seconds are processor time, which excludes other programs on the
machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from photographs import crops
from torch import Tensor, nn

from gancompress.channels import trace
from gancompress.importance import SCORES
from gancompress.methods.generators import sort
from gancompress.networks.cut import cut
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator
from gancompress.reconstruction import refit


@torch.no_grad()
def run(network: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([network(some) for some in images.split(4)])


def psnr(network: nn.Module, images: Tensor, wanted: Tensor) -> float:
    errors = (run(network, images).clamp(-1, 1) - wanted.clamp(-1, 1)).square().mean((1, 2, 3))
    return (10 * torch.log10(4 / errors)).mean().item()


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def finetune(network: nn.Module, teacher: nn.Module, images: Tensor, learning_rate: float) -> None:
    """Train for one pass over the images in batches of 4."""
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, betas=(0.9, 0.99))
    for batch in images.split(4):
        loss = (network(batch) - run(teacher, batch)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def measure(generator: Generator, fraction: float, score: str, arguments: argparse.Namespace) -> list[str]:
    """Return one line of the table."""
    teacher = generator.build()
    held_out = crops(arguments.test, arguments.num_test, arguments.test_side, seed=1)
    graph = trace(teacher, (held_out[:1],), multiple=1, minimum=1)
    plan = graph.uniform_plan(1 - fraction)
    wide = sort(generator, graph, SCORES[score])
    wanted = run(teacher, held_out)
    narrow = cut(wide, graph, plan)
    fitted, tuned = narrow.build(), narrow.build()
    training = crops(arguments.train, arguments.num_refit, arguments.refit_side, seed=0)
    seconds = timed(lambda: refit(wide.build(), fitted, graph, plan, (training,)))
    cells = [f"{100 * fraction:.0f} %", score, f"{psnr(narrow.build(), held_out, wanted):.1f}"]
    cells += [f"{psnr(fitted, held_out, wanted):.1f}", f"{seconds:.0f}"]
    if fraction in arguments.finetune_at:
        images = crops(arguments.train, arguments.num_finetune, arguments.finetune_side, seed=2)
        seconds = timed(lambda: finetune(tuned, teacher, images, arguments.learning_rate))
        cells += [f"{psnr(tuned, held_out, wanted):.1f}", f"{seconds:.0f}"]
    else:
        cells += ["", ""]
    return cells


def fractions(text: str) -> list[float]:
    return [float(each) for each in text.split(",") if each]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path, help="a checkpoint, or a directory written by gancompress")
    parser.add_argument("--train", type=Path, required=True, metavar="FOLDER", help="photographs to refit and tune on")
    parser.add_argument("--test", type=Path, required=True, metavar="FOLDER", help="photographs that take no part")
    parser.add_argument("--cut", type=fractions, default="0.1,0.2,0.3,0.5", help="fractions of every group to remove")
    parser.add_argument("--scores", default="l1_incoming", help=f"of {', '.join(SCORES)}")
    parser.add_argument("--num-refit", type=int, default=128, help="photographs for the refit")
    parser.add_argument("--refit-side", type=int, default=64, help="of their crops, in pixels")
    parser.add_argument("--num-test", type=int, default=12)
    parser.add_argument("--test-side", type=int, default=128)
    parser.add_argument("--num-finetune", type=int, default=1000)
    parser.add_argument("--finetune-side", type=int, default=32)
    parser.add_argument("--finetune-at", type=fractions, default="0.1,0.2,0.3,0.5", help="fractions to fine-tune at")
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    generator = load_generator(arguments.teacher)
    print(f"{generator.family}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print("\n| channels removed | score | as cut, dB | refit, dB | seconds | fine-tuned, dB | seconds |")
    print("|---|---|---|---|---|---|---|")
    for score in arguments.scores.split(","):
        for fraction in arguments.cut:
            print(f"| {' | '.join(measure(generator, fraction, score, arguments))} |", flush=True)


if __name__ == "__main__":
    main()
