"""Benchmark the training speed of a supernet, in images per second, against a plain implementation of its step.

The step is that of GAN Compression: teacher, one random plan of a separable ResNet supernet, PatchGAN, hinge loss, L1
to the truth, distance of four feature maps; Adam on both networks. The plain implementation follows the paper's
description: float32, weights sliced separately by every layer, and the discriminator run once for its own loss and once
    more for the generator's. Both start from the same weights and draw the same plans; their losses are compared before
    anything is timed. They take turns, so that the ratios hold on a noisy machine. Data loading is not included.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
from collections.abc import Mapping
from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.channels import ChannelPlan, trace
from gancompress.cost.latency import in_turns
from gancompress.jobs.steps.spaces import SpaceOptions
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, build
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.objectives.students import SupernetStudent
from gancompress.objectives.supervision import Supervision
from gancompress.tasks import find_task
from gancompress.training import Batch, TrainingOptions
from gancompress.training.state import TrainingState

ADAM = {"lr": 2e-4, "betas": (0.5, 0.999)}


class MutableConv(nn.Conv2d):
    """A convolution with a settable number of outputs; it accepts any number of inputs."""

    width: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [b, c, h, w] with the leading channels of the weight."""
        bias = None if self.bias is None else self.bias[: self.width]
        return F.conv2d(x, self.weight[: self.width, : x.shape[1]], bias, self.stride, self.padding)


class MutableDepthwise(nn.Conv2d):
    """A depthwise convolution that accepts any number of channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [b, c, h, w] with the leading channels of the weight."""
        n = x.shape[1]
        bias = None if self.bias is None else self.bias[:n]
        return F.conv2d(x, self.weight[:n], bias, self.stride, self.padding, groups=n)


class MutableTransposed(nn.ConvTranspose2d):
    """A transposed convolution with a settable number of outputs, like `MutableConv`."""

    width: int | None = None

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve [b, c, h, w] with the leading channels of the weight."""
        bias = None if self.bias is None else self.bias[: self.width]
        weight = self.weight[: x.shape[1], : self.width]
        return F.conv_transpose2d(x, weight, bias, self.stride, self.padding, self.output_padding)


class MutableBlock(nn.Module):
    """Two separable convolutions, each depthwise, norm, pointwise, norm; the second one as wide as the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise1, self.pointwise1, self.depthwise2, self.pointwise2 = (
            conv
            for _ in range(2)
            for conv in (
                MutableDepthwise(channels, channels, 3, groups=channels),
                MutableConv(channels, channels, 1),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, c, h, w] to the same shape."""
        self.pointwise2.width = x.shape[1]
        y = F.instance_norm(self.depthwise1(F.pad(x, (1, 1, 1, 1), "reflect")))
        y = F.instance_norm(self.pointwise1(y)).relu()
        y = F.instance_norm(self.depthwise2(F.pad(y, (1, 1, 1, 1), "reflect")))
        return x + F.instance_norm(self.pointwise2(y))


class MutableResnet(nn.Module):
    """The supernet of the plain implementation; its parameters have the project's order."""

    def __init__(self, in_channels: int, ngf: int, num_blocks: int) -> None:
        super().__init__()
        self.stem = MutableConv(in_channels, ngf, 7)
        self.down = nn.ModuleList(MutableConv(n * ngf, 2 * n * ngf, 3, stride=2, padding=1) for n in (1, 2))
        self.blocks = nn.ModuleList(MutableBlock(4 * ngf) for _ in range(num_blocks))
        how = {"stride": 2, "padding": 1, "output_padding": 1}
        self.up = nn.ModuleList(MutableTransposed(2 * n * ngf, n * ngf, 3, **how) for n in (2, 1))
        self.head = MutableConv(ngf, 3, 7)

    def set_plan(self, plan: ChannelPlan) -> None:
        """Set the number of outputs of every layer."""
        widths = plan.widths
        self.stem.width = widths["stem.conv"]
        for i in (0, 1):
            self.down[i].width, self.up[i].width = widths[f"down.{i}.conv"], widths[f"up.{i}.conv"]
        for i, block in enumerate(self.blocks):
            block.pointwise1.width = widths[f"blocks.{i}.conv1.pointwise"]

    def forward(self, x: Tensor) -> Tensor:
        """Map images to images; keep the four compared feature maps in ``maps``."""
        x = F.instance_norm(self.stem(F.pad(x, (3, 3, 3, 3), "reflect"))).relu()
        self.maps = []
        for down in self.down:
            x = F.instance_norm(down(x)).relu()
        self.maps.append(x)
        third = len(self.blocks) / 3
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in {round(third * i) for i in (1, 2, 3)}:
                self.maps.append(x)
        for up in self.up:
            x = F.instance_norm(up(x)).relu()
        return self.head(F.pad(x, (3, 3, 3, 3), "reflect")).tanh()


class PlainStep:
    """A training step as the paper describes it."""

    def __init__(
        self,
        teacher: nn.Module,
        student: MutableResnet,
        discriminator: nn.Module,
        adaptors: nn.ModuleList,
        taps: tuple[str, ...],
        options: DistillationOptions,
    ) -> None:
        self.teacher, self.student, self.discriminator, self.adaptors = teacher, student, discriminator, adaptors
        self.weights = {name: term.weight for name, term in options.weighted.items()}
        self.teacher_maps: dict[str, Tensor] = {}
        for tap in taps:
            teacher.get_submodule(tap).register_forward_hook(partial(self._keep, tap))
        self.taps = taps
        self.adam_student = torch.optim.Adam([*student.parameters(), *adaptors.parameters()], **ADAM)
        self.adam_discriminator = torch.optim.Adam(discriminator.parameters(), **ADAM)

    def _keep(self, tap: str, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        self.teacher_maps[tap] = output

    def __call__(self, batch: Batch, plan: ChannelPlan) -> dict[str, float]:
        """Update both networks once; return their losses."""
        x, y, judge = batch["input"], batch["target"], self.discriminator
        self.adam_student.zero_grad()
        self.adam_discriminator.zero_grad()
        self.student.set_plan(plan)
        with torch.no_grad():
            self.teacher(x)
        image = self.student(x)

        judge.requires_grad_(True)
        fake, real = judge(torch.cat([x, image.detach()], 1)), judge(torch.cat([x, y], 1))
        loss_discriminator = 0.5 * ((1 + fake).relu().mean() + (1 - real).relu().mean())
        loss_discriminator.backward()

        judge.requires_grad_(False)
        loss = -self.weights["gan"] * judge(torch.cat([x, image], 1)).mean()
        loss = loss + self.weights["l1"] * F.l1_loss(image, y)
        for adaptor, tap, features in zip(self.adaptors, self.taps, self.student.maps, strict=True):
            adapted = F.conv2d(features, adaptor.weight[:, : features.shape[1]], adaptor.bias)
            loss = loss + self.weights["features"] * F.mse_loss(adapted, self.teacher_maps[tap])
        loss.backward()

        self.adam_discriminator.step()
        self.adam_student.step()
        return {"discriminator": loss_discriminator.item(), "generator": loss.item()}


class LastLosses:
    """Log that remembers the last report of the loop."""

    values: Mapping[str, float]

    def losses(self, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
        """Keep the losses."""
        self.values = values

    def preview(self, num_images: int, images: Mapping[str, Tensor]) -> None:
        """Do nothing: previews are not needed."""
        raise AssertionError("no preview was asked for")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ngf", type=int, default=32, help="base width of teacher and supernet")
    parser.add_argument("--ndf", type=int, default=64, help="base width of the discriminator")
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 128), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=("fp32", "bf16"))
    parser.add_argument("--rounds", type=int, default=15)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)

    teacher_config, config = ({"ngf": a.ngf, "num_blocks": a.blocks, "separable": s} for s in (False, True))
    teacher, wide = build("resnet", teacher_config).eval().requires_grad_(False), build("resnet", config)
    discriminator = build("patchgan", {"ndf": a.ndf, "in_channels": 6})
    batch = {name: torch.rand(a.batch, 3, *a.size) * 2 - 1 for name in ("input", "target")}
    graph = trace(wide, (batch["input"][:1],), multiple=1, minimum=1)
    space = SpaceOptions().of(Generator.from_module(wide, "resnet", config), graph)
    taps = FAMILIES.find("resnet").parse(config).distillation_taps
    options = DistillationOptions()

    runs: dict[str, tuple[TrainingState, SupernetStudent]] = {}
    for precision in a.precision:
        student = SupernetStudent(copy.deepcopy(wide), graph, space, seed=0)
        supervision = Supervision(copy.deepcopy(teacher), copy.deepcopy(discriminator), options, taps)
        torch.manual_seed(1)
        objective = Distillation(find_task("paired"), student, supervision, batch["input"][:1])
        how = TrainingOptions(batch_size=a.batch, precision=precision)
        runs[precision] = (TrainingState(objective, how, Accelerator(cpu=True), LastLosses(), 0), student)

    plain_student = MutableResnet(3, a.ngf, a.blocks)
    for own, given in zip(plain_student.parameters(), wide.parameters(), strict=True):
        own.data = given.detach().clone()
    torch.manual_seed(1)
    widths = [4 * a.ngf] * len(taps)
    adaptors = nn.ModuleList(nn.Conv2d(width, width, 1) for width in widths)
    plain = PlainStep(copy.deepcopy(teacher), plain_student, copy.deepcopy(discriminator), adaptors, taps, options)
    position = 0

    def plain_step() -> dict[str, float]:
        nonlocal position
        (plan,) = plans.plans(position)
        position += a.batch
        return plain(batch, plan)

    plans = next(iter(runs.values()))[1]
    print(f"{platform.machine()}, {a.threads} threads, torch {torch.__version__}")
    print(f"ngf {a.ngf}, ndf {a.ndf}, {a.blocks} blocks, {a.size[0]}x{a.size[1]}, batch {a.batch}, {a.rounds} rounds\n")
    expected = plain_step()
    for precision, (run, _) in runs.items():
        run.step(batch)
        run.report()
        worst = max(abs(run.log.values[name] / value - 1) for name, value in expected.items())
        print(f"first step, {precision}: losses differ from the plain ones by {worst:.1e} of their value at most")

    steps = [plain_step, *(lambda run=run: run.step(batch) for run, _ in runs.values())]
    times = in_turns(steps, a.rounds, warm_up=2)
    names = ["plain, fp32", *(f"gancompress, {precision}" for precision in runs)]
    print("\n| | median step | images per second | times the plain rate |\n|---|---|---|---|")
    for name, own in zip(names, times, strict=True):
        median = statistics.median(own)
        ratio = statistics.median(p / t for p, t in zip(times[0], own, strict=True))
        print(f"| {name} | {median:.0f} ms | {1e3 * a.batch / median:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
