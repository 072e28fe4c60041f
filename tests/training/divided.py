"""Two training steps of every objective, in one process or with the batch divided among several.

Nothing is drawn at random in them. What comes back is what the steps leave in the optimizers, so mostly gradients: Adam
would make large differences of small ones.

For the bits after a stop there is one more training, with everything that differs between processes: image pools,
running statistics, random crops, and shards that are read at random.

torchrun --standalone --nproc_per_node 4 --module tests.training.divided FOLDER
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gancompress.data import make_loader, parse_data
from gancompress.jobs.steps import STEPS
from gancompress.losses import L1, Adversarial
from gancompress.methods.budget import CostLimit
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.registry import build
from gancompress.tasks import (
    CYCLEGAN_TERMS,
    SNGAN_TERMS,
    STYLEGAN2_TERMS,
    CycleGanObjective,
    CycleGanOptions,
    GauganObjective,
    Pix2PixObjective,
    SnganObjective,
    SnganOptions,
    StyleGan2Objective,
    StyleGan2Options,
    find_task,
)
from gancompress.tasks.augmentation import AugmentationOptions
from gancompress.training import Batch, Checkpoints, Objective, OptimizerOptions, TrainingOptions, fit
from tests.data.pictures import as_tar, pixels, save
from tests.jobs.steps.small_work import macs_of, make_surroundings, make_work
from tests.tasks import small_stylegan2, test_gaugan, test_sngan
from tests.training.toy import Log

SIZE = 4
"""Images of a step."""
STEP = {"num_images": 2 * SIZE, "batch_size": SIZE, "checkpoint_every": 2 * SIZE, "optimizer": {"learning_rate": 1e-6}}
JUDGE = {"ndf": 4, "n_layers": 1}
IMAGE = torch.zeros(1, 3, 16, 16)


def pix2pix() -> tuple[Objective, Batch]:
    terms = (Adversarial(1000), L1(1))  # its balance lowers it
    generator, judge = build("resnet", {"ngf": 4, "num_blocks": 1}), build("patchgan", {**JUDGE, "in_channels": 6})
    return Pix2PixObjective(find_task("paired"), generator, judge, terms, IMAGE), pictures()


def cyclegan(pool_size: int = 50, norm: str = "instance") -> tuple[Objective, Batch]:
    networks: dict[str, nn.Module] = {}
    for name in ("generator", "generator_back"):
        networks[name] = build("resnet", {"ngf": 4, "num_blocks": 1, "norm": norm})
    for name in ("discriminator", "discriminator_back"):
        networks[name] = build("patchgan", JUDGE)
    options = CycleGanOptions(pool_size=pool_size)
    return CycleGanObjective(find_task("unpaired"), networks, CYCLEGAN_TERMS, IMAGE, options), pictures()


def gaugan() -> tuple[Objective, Batch]:
    generator = build("spade", {"ngf": 1, "in_channels": 4, "upsampling": "normal", "norm": "instance"}).train()
    judge = build("multiscale_patchgan", test_gaugan.JUDGE).train()
    terms = (test_gaugan.GAN, test_gaugan.MATCHING)
    whole = {name: torch.cat([value, value.flip(-1)]) for name, value in test_gaugan.batch().items()}
    return GauganObjective(test_gaugan.task(), generator, judge, terms, torch.zeros(1, 3, 64, 64)), whole


def sngan() -> tuple[Objective, Batch]:
    networks = test_sngan.Painter(), test_sngan.Judge()
    options = SnganOptions(num_critic=1)
    objective = SnganObjective(test_sngan.TASK, *networks, SNGAN_TERMS, test_sngan.IMAGE, options)
    return objective, test_sngan.batch(SIZE)


def stylegan2() -> tuple[Objective, Batch]:
    """With both regularisers in each step, and an augmentation that counts but changes nothing."""
    generator = build("stylegan2", {**small_stylegan2.SIZE, "latent_size": 6})
    judge = build("stylegan2_discriminator", {**small_stylegan2.SIZE, "group_size": 1})
    options = StyleGan2Options(
        style_mixing=0.0,
        r1_every=1,
        path_length_every=1,
        path_length_share=1.0,
        augmentation=AugmentationOptions(first=0.0),
    )
    given = small_stylegan2.TASK, generator, judge, STYLEGAN2_TERMS, torch.zeros(1, 3, 16, 16)
    return StyleGan2Objective(*given, options, SIZE), small_stylegan2.batch(size=SIZE)  # type: ignore[arg-type]


def pictures() -> Batch:
    draw = torch.Generator().manual_seed(7)
    scale = torch.tensor([0.1, 0.3, 1.0, 3.0]).view(4, 1, 1, 1)  # no two halves are alike
    return {name: (scale * torch.randn(4, 3, 16, 16, generator=draw)).tanh() for name in ("input", "target")}


def fitted(make: Callable[[], tuple[Objective, Batch]], directory: Path) -> None:
    objective, whole = make()
    accelerator = Accelerator(cpu=True)

    def share(start: int, size: int) -> Iterator[Batch]:
        first = accelerator.process_index * size
        while True:
            yield {name: value[first : first + size] for name, value in whole.items()}

    options = TrainingOptions(**{**STEP, "optimizer": OptimizerOptions(learning_rate=1e-6)})
    fit(objective, options, share, Checkpoints(directory / "checkpoints"), accelerator, Log(), seed=3)


def stepped(options: dict[str, Any], directory: Path) -> None:
    """A step of a job, on its own data."""
    work = make_work()
    budget = CostLimit(0.6 * macs_of(work, make_surroundings(directory, None)))
    terms = {"terms": [{"kind": "l1", "weight": 50}, {"kind": "gan"}]}
    STEPS.parse({"training": STEP, "distillation": terms, **options}).run(work, *make_surroundings(directory, budget))


CASES: dict[str, Callable[[Path], None]] = {
    **{make.__name__: partial(fitted, make) for make in (pix2pix, cyclegan, gaugan, sngan, stylegan2)},
    "distill": partial(stepped, {"kind": "distill", "keep": 0.5, "multiple": 2}),
    "supernet": partial(stepped, {"kind": "supernet", "space": {"max_choices": 3, "multiple": 2}}),
    "slim": partial(
        stepped, {"kind": "slim", "penalty": 0.5, "discriminator": {"family": "patchgan", "config": JUDGE}}
    ),
}


def write_shards(directory: Path) -> None:
    """Write three shards of five pairs each."""
    files = [save(directory / f"{number}.png", pixels(number, 20, 20)) for number in range(30)]
    for shard in range(3):
        pairs = {f"{n}.{role}.png": files[10 * shard + 2 * n + i] for n in range(5) for i, role in enumerate("ab")}
        as_tar(directory / f"shard{shard}.tar", pairs)


def stopped(shards: Path, directory: Path, stop_at: int | None) -> None:
    """Train on shards; with ``stop_at`` stop after so many steps, and train on in new objects."""
    transform = {"resize": "none", "crop_size": 16}
    roles = {"input": "a.png", "target": "b.png"}
    given = {"kind": "webdataset", "root": str(shards), "shards": ["shard{0..2}.tar"], "roles": roles}
    data = parse_data({**given, "transform": transform, "splits": {"train": {}}}).open("train", augment=True)
    accelerator = Accelerator(cpu=True)
    places = {"rank": accelerator.process_index, "world_size": accelerator.num_processes}

    def share(start: int, size: int) -> Iterator[Batch]:
        return iter(make_loader(data, size, seed=1, start_image=start, **places))

    options = TrainingOptions(num_images=8 * SIZE, batch_size=SIZE, checkpoint_every=SIZE, ema_half_life=2 * SIZE)

    def train(last: int) -> None:
        steps = iter(range(1, 100))
        torch.manual_seed(0)
        objective, _ = cyclegan(2, "batch")
        asked = lambda: next(steps) == last  # noqa: E731
        fit(objective, options, share, Checkpoints(directory), accelerator, Log(), seed=3, stop=asked)

    if stop_at is not None:
        train(stop_at)
    train(-1)


def recalibrated(directory: Path, process: int) -> None:
    """Recalibrate a norm over processes on other batches, and more of them, in each process."""
    network = nn.SyncBatchNorm(2)
    recalibrate(network, [process + torch.arange(2.0).view(2, 1, 1, 1).expand(2, 2, 1, 1)] * (process + 1))
    torch.save(network.state_dict(), directory / f"norm{process}.pt")


def run(name: str, directory: Path) -> None:
    """Run a case; its last checkpoint lies in the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    drawn = torch.randn_like
    torch.randn_like = lambda x, **_: torch.ones_like(x)  # the directions of path lengths
    try:
        CASES[name](directory)
    finally:
        torch.randn_like = drawn


def left_by(directory: Path) -> dict[str, Tensor]:
    """Averaged gradients of a case, and what its objective remembers other than images."""
    snapshot = Checkpoints(directory / "checkpoints").latest()
    assert snapshot is not None
    return {
        name: tensor
        for name, tensor in snapshot.tensors.items()
        if name.endswith("exp_avg") or (name.startswith("memory/") and tensor.ndim < 4)
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for case in CASES:
        run(case, folder / case)
    for stop_at in (None, 5):
        stopped(folder / "shards", folder / f"stopped at {stop_at}", stop_at)
    accelerator = Accelerator(cpu=True)
    recalibrated(folder, accelerator.process_index)
    ranks = accelerator.gather(torch.tensor([accelerator.process_index]))
    assert isinstance(ranks, Tensor)
    assert ranks.tolist() == list(range(accelerator.num_processes))
    accelerator.end_training()
    del accelerator
    gc.collect()
    # A thread of the group that outlives it may still free a tensor while Python ends, which aborts the process.
    threads = [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]
    assert not any("gloo" in name for name in threads), threads
