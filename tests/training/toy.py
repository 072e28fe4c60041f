"""A small GAN for the training loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from gancompress.training import Batch, Losses, Objective, Phase, Reshaped, TrainingOptions


def batches(start: int, batch_size: int) -> Iterator[Batch]:
    """Batches that depend on nothing but the position."""
    position = start
    while True:
        x = torch.linspace(-1, 1, batch_size * 12).view(batch_size, 3, 2, 2) + position
        yield {"input": x.sin(), "target": x.cos(), "name": ["toy"] * batch_size}
        position += batch_size


class ToyGan(Objective):
    """A generator with batch norm and dropout, a discriminator, and a memory."""

    averaged = ("generator",)

    def __init__(self, update_together: bool = False) -> None:
        torch.manual_seed(0)
        generator = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.Dropout(0.3), nn.Conv2d(6, 3, 1))
        self.modules = {"generator": generator, "discriminator": nn.Conv2d(3, 1, 1)}
        self.frozen = {"teacher": nn.Conv2d(3, 3, 1)}
        self.update_together = update_together
        self.phases = (
            Phase("discriminator", ("discriminator",), self._discriminator_loss),
            Phase("generator", ("generator",), self._generator_loss),
        )
        self.seen = torch.zeros(())
        self.broken_at: int | None = None

    def forward(self, batch: Batch, num_images: int) -> tuple[Tensor, int]:
        self.seen = self.seen + batch["input"].sum()
        return self.modules["generator"](batch["input"]), num_images

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        return {"made": modules["generator"](batch["input"])}

    def memory(self) -> dict[str, Tensor]:
        return {"seen": self.seen}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        self.seen = memory["seen"]

    def _discriminator_loss(self, batch: Batch, shared: tuple[Tensor, int]) -> Losses:
        real, fake = (self.modules["discriminator"](x) for x in (batch["target"], shared[0].detach()))
        return {"gan": (real - 1).square().mean() + fake.square().mean()}

    def _generator_loss(self, batch: Batch, shared: tuple[Tensor, int]) -> Losses:
        image, num_images = shared
        scale = float("nan") if self.broken_at is not None and num_images >= self.broken_at else 1.0
        return {
            "gan": scale * (self.modules["discriminator"](image) - 1).square().mean(),
            "distance": (image - self.frozen["teacher"](batch["input"])).abs().mean(),
        }


class Log:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, dict[str, float]]] = []
        self.previews: list[int] = []
        self.positions: list[tuple[int, int]] = []

    def progress(self, num_images: int, total_images: int) -> None:
        self.positions.append((num_images, total_images))

    def losses(self, num_images: int, values: Mapping[str, float], images_per_second: float) -> None:
        assert images_per_second > 0
        self.lines.append((num_images, dict(values)))

    def preview(self, num_images: int, images: Mapping[str, Tensor]) -> None:
        assert set(images) == {"made"}
        self.previews.append(num_images)


class Narrowing(ToyGan):
    """A GAN whose generator loses its last hidden channel after 16 images; its second layer has an SGD of its own."""

    averaged = ()

    def optimizers(self, phase: Phase, options: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
        if phase.name == "discriminator":
            return super().optimizers(phase, options)
        first, last = self.modules["generator"][0].parameters(), self.modules["generator"][3].parameters()
        norm = self.modules["generator"][1].parameters()
        adam = options.adam([*first, *norm])
        return {"generator": adam, "generator.sgd": torch.optim.SGD(last, lr=0.1, momentum=0.5)}

    def after_step(self, num_images: int, learning_rate_factor: float) -> Mapping[str, Reshaped]:
        if num_images != 16:
            return {}
        wide = {key: tensor.clone() for key, tensor in self.modules["generator"].state_dict().items()}
        return {"generator": Reshaped(self._narrow(5, wide), self._keep)}

    def shape(self) -> int:
        return self.modules["generator"][0].out_channels

    def take_shape(self, shape: int) -> None:
        if shape == 5:
            self.modules["generator"] = self._narrow(5, self.modules["generator"].state_dict())

    @staticmethod
    def _keep(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: t[:, :5] if key == "3.weight" else t if key == "3.bias" else t[:5] for key, t in tensors.items()}

    def _narrow(self, width: int, wide: dict[str, Tensor]) -> nn.Module:
        layers = nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.Dropout(0.3), nn.Conv2d(width, 3, 1)
        narrow = nn.Sequential(*layers)
        count = wide.pop("1.num_batches_tracked")
        narrow.load_state_dict(self._keep(wide) | {"1.num_batches_tracked": count})
        return narrow
