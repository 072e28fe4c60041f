"""Training of a teacher, for jobs without a checkpoint of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic import model_validator
from torch import nn

from gancompress.errors import ConfigError
from gancompress.jobs.steps.networks import PATCHGAN, NetworkOptions
from gancompress.jobs.steps.recalibration import calibration_inputs
from gancompress.jobs.steps.step import Goal, Step, StepRun, Work, training_data
from gancompress.losses import AnyTerms, check_terms
from gancompress.methods.discriminators import discriminator_input
from gancompress.methods.scratch import Untrained, train_from_scratch
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import NOT_DECLARED
from gancompress.objectives.old_terms import with_teacher_terms
from gancompress.options import Options
from gancompress.tasks import CycleGanOptions, SnganOptions, StyleGan2Options
from gancompress.tasks.inputs import Inputs
from gancompress.training import TrainingOptions


class TeacherObjectives(Options):
    """Options of the objectives that train a generator without a teacher; each task takes its own.

    Attributes:
        discriminator: The discriminator; its input channels follow from the task.
        terms: The loss terms of the generator with their weights; those of the task's method by default.
        cyclegan: Image pools, for an unpaired task.
        sngan: Options of the updates, for a latent task.
        stylegan2: Regularisers and style mixing, for a latent task whose generator is a StyleGAN2.
    """

    discriminator: NetworkOptions = PATCHGAN
    terms: AnyTerms | None = None
    cyclegan: CycleGanOptions = CycleGanOptions()
    sngan: SnganOptions = SnganOptions()
    stylegan2: StyleGan2Options = StyleGan2Options()

    @model_validator(mode="before")
    @classmethod
    def _from_the_old_spelling(cls, options: Any) -> Any:
        return with_teacher_terms(options) if isinstance(options, Mapping) else options

    @model_validator(mode="after")
    def _terms_fit(self) -> Self:
        if self.terms is not None:
            check_terms(self.terms)
        return self

    def untrained(self, fresh: Callable[[int], Generator], inputs: Inputs, seed: int) -> Untrained:
        """Return a generator to train, with a discriminator of its images.

        Args:
            fresh: Returns the generator with fresh weights for a seed.
            inputs: Images of the data, for the task.
            seed: Seed of the generator's weights; the next two are those of the other networks.

        Raises:
            InputSizeError: The generator or the discriminator does not accept images of this size.
        """
        generator = fresh(seed)
        given = discriminator_input(generator, inputs.example(), inputs.task)
        discriminator = self.discriminator.fresh_discriminator(seed + 2, given)

        def opposite() -> tuple[nn.Module, nn.Module]:
            return fresh(seed + 1).build(), self.discriminator.fresh(seed + 1).build()

        options = [value for _, value in self if isinstance(value, Options)]
        return Untrained(generator, discriminator, opposite, self.terms, options)


class PaperTraining(TeacherObjectives, Step):
    """Training without a teacher, by the method of a paper.

    The task makes the objective: pix2pix on pairs, GauGAN on label maps, CycleGAN without pairs, SNGAN and StyleGAN2
    from noise. The generator is returned without spectral norm and with recomputed running statistics, and no
    discriminator without an adversarial term.

    Attributes:
        training: Options of the training loop.
    """

    training: TrainingOptions = TrainingOptions()

    def train(self, fresh: Callable[[int], Generator], inputs: Inputs, run: StepRun) -> Work:
        """Train a generator and its discriminator from fresh weights.

        Args:
            fresh: Returns the generator with fresh weights for a seed.
            inputs: Images of the data, for the task.
            run: Run of the step.

        Raises:
            ConfigError: The task needs an existing teacher, or the options do not fit the task.
            InputSizeError: The generator or the discriminator does not accept images of this size.
            TrainingError: A loss or gradient is not finite.
        """
        if not inputs.task.trains_teacher:
            raise ConfigError(
                f"{self.kind}: got the task '{inputs.task.name}', expected a generator that is trained already; give "
                "its teacher.checkpoint"
            )
        untrained = self.untrained(fresh, inputs, run.seed)
        generator = untrained.generator
        if generator.architecture.images is None:
            run.log.said(f"{self.kind}: {generator.family} {NOT_DECLARED}; say otherwise with network.range")
        data, calibration = training_data(inputs, run), calibration_inputs(inputs)
        trained = train_from_scratch(untrained, self.training, data, run, calibration, name=self.kind)
        if trained is None:
            run.interrupt()
        return Work(trained.generator, trained.generator, trained.discriminator)


class TrainTeacher(PaperTraining):
    """Step that trains the teacher.

    Attributes:
        network: The generator.
    """

    kind = "train_teacher"

    network: NetworkOptions

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Train the teacher; the given work is ignored. Raises the errors of `PaperTraining.train`."""
        return self.train(lambda seed: self.fresh(seed, inputs), inputs, run)

    def fresh(self, seed: int, inputs: Inputs) -> Generator:
        """Return the teacher with fresh weights."""
        return self.network.fresh(seed, **self.network.fixed_by(inputs.task))
