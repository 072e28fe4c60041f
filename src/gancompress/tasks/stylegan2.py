"""StyleGAN2: training of a teacher that generates images from noise.

Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, sections 2 and 3.2 and appendix
B.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.errors import ConfigError
from gancompress.losses import Adversarial, AdversarialLoss, Comparison, TermOptions, Weight, mean_over_processes
from gancompress.networks.styles import Mixing, StyledGenerator
from gancompress.options import Options
from gancompress.tasks.augmentation import AdaptiveAugmentation, AugmentationOptions, Share
from gancompress.tasks.task import Task
from gancompress.tasks.teacher_terms import TeacherTerms
from gancompress.training import Batch, Losses, Objective, Phase, TrainingOptions

STYLEGAN2_TERMS = (Adversarial(1, form="vanilla", balance=None),)
"""Default terms of StyleGAN2, beside its regularisers."""

Every = Annotated[int, Field(ge=1)]


class StyleGan2Options(Options):
    """Regularisers of StyleGAN2. The published optimizer has learning rate 0.002 and betas (0, 0.99).

    Attributes:
        r1: Weight (gamma) of the discriminator's squared gradient at real images, halved.
        r1_every: Steps between two updates of this regulariser.
        path_length: Weight of the deviation of path lengths (gradients of the image by the styles) from their mean.
        path_length_every: Steps between two updates of this regulariser.
        path_length_share: Fraction of the batch that such an update draws.
        style_mixing: Fraction of the batches whose images mix two styles.
        augmentation: Adaptive augmentation of the discriminator's images; none by default.
    """

    r1: Weight = 10.0
    r1_every: Every = 16
    path_length: Weight = 2.0
    path_length_every: Every = 4
    path_length_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    style_mixing: Share = 0.9
    augmentation: AugmentationOptions | None = None


class StyleGan2Regularisers:
    """Training of a StyleGAN2 beside the adversarial loss: style mixing, lazy regularisation and augmentation.

    A regulariser has separate updates with the optimizer of its network. They have the same strength and memory as if
    the regulariser were part of every update: its loss is multiplied by the steps between its updates, and the
    optimizer's learning rate and betas follow from the ratio of updates.
    """

    def __init__(self, options: StyleGan2Options, batch_size: int) -> None:
        """Take the options of the regularisers.

        Args:
            options: Regularisers, style mixing and augmentation.
            batch_size: Images of one step, over all processes.
        """
        self.options, self._batch_size = options, batch_size
        self._mean_length = torch.zeros(())
        self._adams: dict[str, torch.optim.Optimizer] = {}
        self._augmentation = None if options.augmentation is None else AdaptiveAugmentation(options.augmentation)

    def optimizers(
        self, phase: Phase, make: Callable[[], dict[str, torch.optim.Optimizer]]
    ) -> dict[str, torch.optim.Optimizer]:
        """Return one optimizer for each network; its regulariser shares it. Source: appendix B, "lazy regularization".

        Args:
            phase: The phase of a network, or that of its regulariser.
            make: Makes the optimizer of the network without a regulariser.
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
        """Return the mean path length and the state of the augmentation."""
        augmentation = {} if self._augmentation is None else {"augmentation": self._augmentation.memory()}
        return {"mean_path_length": self._mean_length, **augmentation}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Restore what `memory` returned."""
        self._mean_length = memory["mean_path_length"]
        if self._augmentation is not None and "augmentation" in memory:
            self._augmentation.remember(memory["augmentation"])

    def mixing(self, latent: Tensor, num_styles: int) -> Mixing | None:
        """Draw, for most batches, a second noise for the finer layers."""
        if torch.rand(()) >= self.options.style_mixing:
            return None
        return Mixing(torch.randn_like(latent), int(torch.randint(1, num_styles, ())))

    def logits(self, discriminator: nn.Module, images: Tensor) -> Tensor:
        """Return the discriminator's logits for images, which are augmented first."""
        return discriminator(images if self._augmentation is None else self._augmentation(images))

    def discriminator_loss(
        self, gan: AdversarialLoss, discriminator: nn.Module, real: Tensor, fake: Tensor, num_images: int
    ) -> Losses:
        """Return the adversarial loss; its logits of real images adapt the augmentation."""
        on_real, on_fake = self.logits(discriminator, real), self.logits(discriminator, fake.detach())
        if self._augmentation is not None:
            self._augmentation.observe(on_real, self._step(num_images), self._batch_size)
        return {"gan": gan.discriminator(on_real, on_fake)}

    def r1_loss(self, discriminator: nn.Module, real: Tensor, num_images: int) -> Losses:
        """Return the R1 loss of the discriminator at every ``r1_every``-th step; empty otherwise.

        Source: Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018, equation 9.
        """
        if self._step(num_images) % self.options.r1_every:
            return {}
        real = real.detach().clone().requires_grad_(True)
        (slopes,) = torch.autograd.grad(self.logits(discriminator, real).sum(), real, create_graph=True)
        penalty = slopes.square().sum((1, 2, 3)).mean()
        return {"r1": self.options.r1 / 2 * self.options.r1_every * penalty}

    def path_loss(self, generator: StyledGenerator, latent: Tensor, num_images: int) -> Losses:
        """Return the path length loss of the generator at every ``path_length_every``-th step; empty otherwise.

        The mean path length is the mean of all lengths until there are a hundred. A moving average that starts at 0, as
        in the authors' code, pulls all lengths to 0 for the first thousand steps, and a short training ends with images
        that hardly depend on the styles.

        Source: Karras et al., CVPR 2020, equation 4.
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
        mean = mean + max(0.01, 1 / (number + 1)) * (mean_over_processes(lengths.detach().mean()) - mean)
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
    """Return the batch size of a step that cannot split its batch. Raises ConfigError if it is divided."""
    if training.micro_batches > 1:
        raise ConfigError(
            f"{step}: training: got micro_batches {training.micro_batches}, expected 1 for a StyleGAN2, whose "
            "regularisers update by themselves; remove it, or take a smaller batch_size"
        )
    return training.batch_size


class _Drawn(NamedTuple):
    """Generated images of a step, and the number of images trained on before it."""

    image: Tensor
    num_images: int


class StyleGan2Objective(Objective):
    """Objective of StyleGAN2: the discriminator and its lazy regulariser, then the generator and its own."""

    averaged = ("generator",)

    def __init__(
        self,
        task: Task,
        generator: StyledGenerator,
        discriminator: nn.Module,
        terms: Sequence[TermOptions],
        image: Tensor,
        options: StyleGan2Options,
        batch_size: int,
    ) -> None:
        """Take the two networks to train.

        Args:
            task: The latent task.
            generator: Maps ``input`` to images.
            discriminator: Takes images.
            terms: The loss terms.
            image: Any image of the generator, [1, c, h, w].
            options: Regularisers, style mixing and augmentation.
            batch_size: Images of one step, over all processes.

        Raises:
            ConfigError: A term does not fit the objective or the image, or none is adversarial.
            CheckpointError: A network that a term needs cannot be found or read.
        """
        self.task, self._regularisers = task, StyleGan2Regularisers(options, batch_size)
        self._terms = TeacherTerms(terms, image, ("logits", "nothing"), adversarial=True)
        self._generator = generator
        self.modules = {"generator": generator, "discriminator": discriminator, **self._terms.learned}
        self.frozen = self._terms.frozen
        learning = ("generator", *self._terms.learned)
        self.phases = (
            Phase("discriminator", ("discriminator",), self._discriminator_loss, discriminates=True),
            *([r1_phase(self._r1_loss)] if options.r1 else []),
            Phase("generator", learning, self._generator_loss),
            *([path_phase(learning, self._path_loss)] if options.path_length else []),
        )

    def forward(self, batch: Batch, num_images: int) -> _Drawn:
        """Generate the images of the batch's noise; in most batches other noise sets the styles of the finer layers."""
        latent = batch["input"]
        mixing = self._regularisers.mixing(latent, self._generator.num_styles)
        return _Drawn(self._generator(latent, mixed_with=mixing), num_images)

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return generated images."""
        return self.task.columns(batch, {"teacher": modules["generator"](batch["input"])})

    def optimizers(self, phase: Phase, options: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
        """Return one optimizer for each network; its regulariser shares it."""
        return self._regularisers.optimizers(phase, lambda: super(StyleGan2Objective, self).optimizers(phase, options))

    def memory(self) -> dict[str, Tensor]:
        """Return the state of the regularisers."""
        return self._regularisers.memory()

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Restore what `memory` returned."""
        self._regularisers.remember(memory)

    def _discriminator_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        assert self._terms.gan is not None
        discriminator = self.modules["discriminator"]
        return self._regularisers.discriminator_loss(
            self._terms.gan, discriminator, batch["target"], drawn.image, drawn.num_images
        )

    def _r1_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        return self._regularisers.r1_loss(self.modules["discriminator"], batch["target"], drawn.num_images)

    def _generator_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        logits = self._regularisers.logits(self.modules["discriminator"], drawn.image)
        return self._terms.losses(Comparison(drawn.image, batch["target"], logits=logits))

    def _path_loss(self, batch: Batch, drawn: _Drawn) -> Losses:
        return self._regularisers.path_loss(self._generator, batch["input"], drawn.num_images)
