"""How a StyleGAN2 learns to draw images from noise.

Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, sections 2 and 3.2 and appendix
B.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.losses import AdversarialLoss, Weight
from gancompress.models.styles import Mixing, StyledGenerator
from gancompress.options import Options
from gancompress.tasks.augmentation import AdaptiveAugmentation, AugmentationOptions, Share
from gancompress.tasks.task import Task
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


class StyleGan2Game:
    """What trains a StyleGAN2 beside the loss of its images: mixed styles, regularisers, augmentation.

    A regulariser makes an update of its own with the optimizer of its network. For the updates to stay as strong and as
    long remembered as if it were part of every one, its loss is multiplied with the steps between, and the optimizer's
    learning rate and betas follow from their ratio.
    """

    def __init__(self, options: StyleGan2Options, batch_size: int) -> None:
        """Take the options.

        Args:
            options: The game.
            batch_size: Images of one step, over all processes.
        """
        self.options, self._batch_size = options, batch_size
        self._mean_length = torch.zeros(())
        self._adams: dict[str, torch.optim.Optimizer] = {}
        self._augmentation = None if options.augmentation is None else AdaptiveAugmentation(options.augmentation)

    def optimizers(
        self, phase: Phase, make: Callable[[], dict[str, torch.optim.Optimizer]]
    ) -> dict[str, torch.optim.Optimizer]:
        """One for each network, which its regulariser shares; source: appendix B, "lazy regularization".

        Args:
            phase: The phase of a network, or that of its regulariser.
            make: Makes the optimizer of the network as if it had no regulariser.
        """
        network = phase.shares or phase.name
        if phase.shares is None:
            (adam,) = make().values()
            weight, every = self.options.path_length, self.options.path_length_every
            if phase.discriminates:
                weight, every = self.options.r1, self.options.r1_every
            ratio = every / (every + 1) if weight else 1.0
            for group in adam.param_groups:
                group["lr"] *= ratio
                group["betas"] = tuple(beta**ratio for beta in group["betas"])
            self._adams[network] = adam
        return {network: self._adams[network]}

    def memory(self) -> dict[str, Tensor]:
        """The mean length of slopes, and how often images are augmented."""
        augmentation = {} if self._augmentation is None else {"augmentation": self._augmentation.memory()}
        return {"mean_path_length": self._mean_length, **augmentation}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take them back."""
        self._mean_length = memory["mean_path_length"]
        if self._augmentation is not None and "augmentation" in memory:
            self._augmentation.remember(memory["augmentation"])

    def mixing(self, latent: Tensor, num_styles: int) -> Mixing | None:
        """Other noise for the finer layers of a batch, for most batches."""
        if torch.rand(()) >= self.options.style_mixing:
            return None
        return Mixing(torch.randn_like(latent), int(torch.randint(1, num_styles, ())))

    def judged(self, discriminator: nn.Module, images: Tensor) -> Tensor:
        """What the discriminator says of images, which are augmented first."""
        return discriminator(images if self._augmentation is None else self._augmentation(images))

    def discriminator_loss(
        self, gan: AdversarialLoss, discriminator: nn.Module, real: Tensor, fake: Tensor, num_images: int
    ) -> Losses:
        """The adversarial loss, by which the augmentation learns whether the discriminator overfits."""
        on_real, on_fake = self.judged(discriminator, real), self.judged(discriminator, fake.detach())
        if self._augmentation is not None:
            self._augmentation.observe(on_real, self._step(num_images), self._batch_size)
        return {"gan": gan.discriminator(on_real, on_fake)}

    def r1_loss(self, discriminator: nn.Module, real: Tensor, num_images: int) -> Losses:
        """The regulariser of the discriminator, at some of the steps.

        Source: Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018, equation 9.
        """
        if self._step(num_images) % self.options.r1_every:
            return {}
        real = real.detach().clone().requires_grad_(True)
        (slopes,) = torch.autograd.grad(self.judged(discriminator, real).sum(), real, create_graph=True)
        penalty = slopes.square().sum((1, 2, 3)).mean()
        return {"r1": self.options.r1 / 2 * self.options.r1_every * penalty}

    def path_loss(self, generator: StyledGenerator, latent: Tensor, num_images: int) -> Losses:
        """The regulariser of the generator, at some of the steps. Source: Karras et al., CVPR 2020, equation 4.

        The mean is that of all lengths until there are a hundred. One that begins at 0, as in the authors' code, pulls
        all slopes there for the first thousand steps, and a short training ends with images that hardly know styles.
        """
        number, rest = divmod(self._step(num_images), self.options.path_length_every)
        if rest:
            return {}
        latent = latent[: max(1, int(len(latent) * self.options.path_length_share))]
        styles = generator.styles(latent, self.mixing(latent, generator.num_styles))
        images = generator(styles)
        direction = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
        (slopes,) = torch.autograd.grad((images * direction).sum(), styles, create_graph=True)
        lengths = slopes.float().square().sum(2).mean(1).sqrt()
        mean = self._mean_length.to(lengths.device)
        mean = mean + max(0.01, 1 / (number + 1)) * (lengths.detach().mean() - mean)
        self._mean_length = mean
        penalty = (lengths - mean).square().mean()
        return {"path_length": self.options.path_length * self.options.path_length_every * penalty}

    def _step(self, num_images: int) -> int:
        return num_images // self._batch_size


def r1_phase(loss: Callable[[Batch, Any], Losses]) -> Phase:
    """Return the phase of the discriminator's regulariser."""
    return Phase("discriminator_r1", ("discriminator",), loss, discriminates=True, shares="discriminator")


def path_phase(modules: tuple[str, ...], loss: Callable[[Batch, Any], Losses]) -> Phase:
    """Return the phase of the generator's regulariser."""
    return Phase("generator_path", modules, loss, shares="generator")


def undivided_batch(step: str, training: TrainingOptions) -> int:
    """Return the batch size of a step that takes a batch in one piece. Raises ConfigError if it is divided."""
    if training.micro_batches > 1:
        raise ConfigError(
            f"{step}: training: got micro_batches {training.micro_batches}, expected 1 for a StyleGAN2, whose "
            "regularisers update by themselves; leave it out, or take a smaller batch_size"
        )
    return training.batch_size


class _Drawn(NamedTuple):
    """The images of a step, and how many were trained on before it."""

    image: Tensor
    num_images: int


class StyleGan2Objective(Objective):
    """The discriminator and its regulariser, then the generator and its own; regularisers at some of the steps only."""

    averaged = ("generator",)

    def __init__(
        self,
        task: Task,
        generator: StyledGenerator,
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
        self.task, self._game, self._gan = task, StyleGan2Game(options, batch_size), AdversarialLoss("vanilla")
        self._generator = generator
        self.modules = {"generator": generator, "discriminator": discriminator}
        self.frozen = {}
        self.phases = (
            Phase("discriminator", ("discriminator",), self._discriminator_loss, discriminates=True),
            *([r1_phase(self._r1_loss)] if options.r1 else []),
            Phase("generator", ("generator",), self._generator_loss),
            *([path_phase(("generator",), self._path_loss)] if options.path_length else []),
        )

    def forward(self, batch: Batch, num_images: int) -> _Drawn:
        """The images of the batch's noise, with the styles of other noise in their finer layers for most batches."""
        latent = batch["input"]
        mixing = self._game.mixing(latent, self._generator.num_styles)
        return _Drawn(self._generator(latent, mixed_with=mixing), num_images)

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Generated images."""
        return self.task.columns(batch, {"teacher": modules["generator"](batch["input"])})

    def optimizers(self, phase: Phase, options: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
        """One for each network, which its regulariser shares."""
        return self._game.optimizers(phase, lambda: super(StyleGan2Objective, self).optimizers(phase, options))

    def memory(self) -> dict[str, Tensor]:
        """That of the game."""
        return self._game.memory()

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self._game.remember(memory)

    def _discriminator_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        judge = self.modules["discriminator"]
        return self._game.discriminator_loss(self._gan, judge, batch["target"], drawn.image, drawn.num_images)

    def _r1_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        return self._game.r1_loss(self.modules["discriminator"], batch["target"], drawn.num_images)

    def _generator_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        return {"gan": self._gan.generator(self._game.judged(self.modules["discriminator"], drawn.image))}

    def _path_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        return self._game.path_loss(self._generator, batch["input"], drawn.num_images)
