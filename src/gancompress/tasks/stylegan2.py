"""How a StyleGAN2 learns to draw images from noise.

Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, sections 2 and 3.2 and appendix
B.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.losses import AdversarialLoss
from gancompress.models.stylegan2 import StyleGan2Generator, mixed
from gancompress.options import Options
from gancompress.tasks.augmentation import AdaptiveAugmentation, AugmentationOptions, Share
from gancompress.tasks.task import Task, Weight
from gancompress.training import Batch, Losses, Objective, Phase, TrainingOptions

Every = Annotated[int, Field(ge=1)]


class StyleGan2Options(Options):
    """The game and its regularisers. The published optimizer has learning rate 0.002 and betas (0, 0.99).

    Attributes:
        r1: Weight (gamma) of the squared slope of the discriminator at real images, halved.
        r1_every: Steps from one update by it to the next.
        path_length: Weight of the deviation of the lengths of the image's slopes along the styles from their mean.
        path_length_every: Steps from one update by it to the next.
        path_length_share: Part of the batch that such an update draws.
        style_mixing: Share of the batches whose images mix two styles.
        augmentation: Adaptive augmentation of what the discriminator sees; none where left out.
    """

    r1: Weight = 10.0
    r1_every: Every = 16
    path_length: Weight = 2.0
    path_length_every: Every = 4
    path_length_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    style_mixing: Share = 0.9
    augmentation: AugmentationOptions | None = None


class _Drawn(NamedTuple):
    """The images of a step, and the number of the step."""

    image: Tensor
    step: int


class StyleGan2Objective(Objective):
    """The discriminator and its regulariser, then the generator and its own; regularisers at some of the steps only.

    A regulariser makes an update of its own with the optimizer of its network. For the updates to stay as strong and as
    long remembered as if it were part of every one, its loss is multiplied with the steps between, and the optimizer's
    learning rate and betas follow from their ratio.
    """

    averaged = ("generator",)

    def __init__(
        self,
        task: Task,
        generator: StyleGan2Generator,
        discriminator: nn.Module,
        options: StyleGan2Options,
        batch_size: int,
    ) -> None:
        """Take the two networks to train.

        Args:
            task: The latent task.
            generator: From ``input`` to images.
            discriminator: Sees images.
            options: The game.
            batch_size: Images of one step, over all processes.
        """
        self.task, self.options, self._batch_size = task, options, batch_size
        self._gan = AdversarialLoss("vanilla")
        self._generator = generator
        self.modules = {"generator": generator, "discriminator": discriminator}
        self.frozen = {}
        self.phases = (
            Phase("discriminator", ("discriminator",), self._discriminator_loss),
            *([Phase("discriminator_r1", ("discriminator",), self._r1_loss)] if options.r1 else []),
            Phase("generator", ("generator",), self._generator_loss),
            *([Phase("generator_path", ("generator",), self._path_loss)] if options.path_length else []),
        )
        self._mean_length = torch.zeros(())
        self._adams: dict[str, torch.optim.Optimizer] = {}
        self._augmentation = None if options.augmentation is None else AdaptiveAugmentation(options.augmentation)

    def forward(self, batch: Batch, num_images: int) -> _Drawn:
        """The images of the batch's noise, with the styles of other noise in their finer layers for most batches."""
        return _Drawn(self._generator(self._styles(batch["input"])), num_images // self._batch_size)

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Generated images."""
        return self.task.columns(batch, {"teacher": modules["generator"](batch["input"])})

    def optimizers(self, phase: Phase, options: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
        """One for each network, which its regulariser shares; source: appendix B, "lazy regularization"."""
        (module,) = phase.modules
        if phase.name == module:
            (adam,) = super().optimizers(phase, options).values()
            lazy = {"discriminator": (self.options.r1, self.options.r1_every)}
            lazy["generator"] = (self.options.path_length, self.options.path_length_every)
            weight, every = lazy[module]
            ratio = every / (every + 1) if weight else 1.0
            for group in adam.param_groups:
                group["lr"] *= ratio
                group["betas"] = tuple(beta**ratio for beta in group["betas"])
            self._adams[module] = adam
        return {module: self._adams[module]}

    def memory(self) -> dict[str, Tensor]:
        """The mean length of slopes, and how often images are augmented."""
        augmentation = {} if self._augmentation is None else {"augmentation": self._augmentation.memory()}
        return {"mean_path_length": self._mean_length, **augmentation}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take them back."""
        self._mean_length = memory["mean_path_length"]
        if self._augmentation is not None and "augmentation" in memory:
            self._augmentation.remember(memory["augmentation"])

    def _styles(self, latent: Tensor) -> Tensor:
        """Styles [b, num_styles, latent_size]."""
        generator = self._generator
        first = generator.mapping(latent)
        if torch.rand(()) >= self.options.style_mixing:
            return first[:, None].expand(-1, generator.num_styles, -1)
        second = generator.mapping(torch.randn_like(latent))
        return mixed(first, second, int(torch.randint(1, generator.num_styles, ())), generator.num_styles)

    def _judged(self, images: Tensor) -> Tensor:
        if self._augmentation is not None:
            images = self._augmentation(images)
        return self.modules["discriminator"](images)

    def _discriminator_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        real, fake = self._judged(batch["target"]), self._judged(drawn.image.detach())
        if self._augmentation is not None:
            self._augmentation.observe(real, drawn.step, self._batch_size)
        return {"gan": self._gan.discriminator(real, fake)}

    def _generator_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        return {"gan": self._gan.generator(self._judged(drawn.image))}

    def _r1_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        """Source: Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018, equation 9."""
        if drawn.step % self.options.r1_every:
            return {}
        real = batch["target"].detach().clone().requires_grad_(True)
        (slopes,) = torch.autograd.grad(self._judged(real).sum(), real, create_graph=True)
        penalty = slopes.square().sum((1, 2, 3)).mean()
        return {"r1": self.options.r1 / 2 * self.options.r1_every * penalty}

    def _path_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        """Source: Karras et al., CVPR 2020, equation 4."""
        if drawn.step % self.options.path_length_every:
            return {}
        number = max(1, int(len(batch["input"]) * self.options.path_length_share))
        styles = self._styles(batch["input"][:number])
        images = self._generator(styles)
        direction = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
        (slopes,) = torch.autograd.grad((images * direction).sum(), styles, create_graph=True)
        lengths = slopes.float().square().sum(2).mean(1).sqrt()
        mean = self._mean_length.to(lengths.device)
        mean = mean + 0.01 * (lengths.detach().mean() - mean)
        self._mean_length = mean
        penalty = (lengths - mean).square().mean()
        return {"path_length": self.options.path_length * self.options.path_length_every * penalty}
