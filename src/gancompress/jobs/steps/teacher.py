"""Training of a teacher, for jobs without a checkpoint of one."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gancompress.errors import ConfigError
from gancompress.jobs.steps.networks import PATCHGAN, NetworkOptions
from gancompress.jobs.steps.recalibration import calibration_inputs
from gancompress.jobs.steps.step import Goal, Step, StepRun, Work, training_data
from gancompress.methods.discriminators import discriminator_input
from gancompress.methods.scratch import train_from_scratch
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import NOT_DECLARED
from gancompress.options import Options
from gancompress.tasks import CycleGanOptions, GauganOptions, Pix2PixOptions, SnganOptions, StyleGan2Options
from gancompress.tasks.inputs import Inputs
from gancompress.training import TrainingOptions


class TeacherObjectives(Options):
    """Options of the objectives that train a teacher; each task takes its own.

    Attributes:
        discriminator: The discriminator; its input channels follow from the task.
        pix2pix: Weights of the terms, for a paired task.
        gaugan: Weights of the terms, for a semantic task.
        cyclegan: Weights of the terms, for an unpaired task.
        sngan: Options of the updates, for a latent task.
        stylegan2: Regularisers and style mixing, for a latent task whose generator is a StyleGAN2.
    """

    discriminator: NetworkOptions = PATCHGAN
    pix2pix: Pix2PixOptions = Pix2PixOptions()
    gaugan: GauganOptions = GauganOptions()
    cyclegan: CycleGanOptions = CycleGanOptions()
    sngan: SnganOptions = SnganOptions()
    stylegan2: StyleGan2Options = StyleGan2Options()

    @property
    def objectives(self) -> list[Options]:
        """Options of every objective."""
        return [value for _, value in self if isinstance(value, Options)]

    def opposite(self, fresh: Callable[[int], Generator], seed: int) -> Callable[[], tuple[nn.Module, nn.Module]]:
        """Return a function that returns a generator and a discriminator of the opposite direction."""
        return lambda: (fresh(seed).build(), self.discriminator.fresh(seed).build())


class PaperTraining(TeacherObjectives, Step):
    """Training without a teacher, by the method of a paper.

    The task makes the objective: pix2pix on pairs, GauGAN on label maps, CycleGAN without pairs, SNGAN and StyleGAN2
    from noise. The generator is returned without spectral norm and with recomputed running statistics.

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
        generator = fresh(run.seed)
        if generator.architecture.images is None:
            run.log.said(f"{self.kind}: {generator.family} {NOT_DECLARED}; say otherwise with network.range")
        given = discriminator_input(generator, inputs.example(), inputs.task)
        discriminator = self.discriminator.fresh_discriminator(run.seed + 2, given)

        trained = train_from_scratch(
            generator,
            discriminator,
            self.opposite(fresh, run.seed + 1),
            self.objectives,
            self.training,
            training_data(inputs, run),
            run,
            calibration_inputs(inputs),
            name=self.kind,
        )
        if trained is None:
            run.interrupt()
        teacher, discriminator = trained
        return Work(teacher, teacher, discriminator)


class TrainTeacher(PaperTraining):
    """Step that trains the teacher.

    Attributes:
        network: The generator.
    """

    kind = "train_teacher"

    network: NetworkOptions

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Train the teacher; the given work is ignored. Raises the errors of `PaperTraining.train`."""
        fixed = self.network.fixed_by(inputs.task)
        return self.train(lambda seed: self.network.fresh(seed, **fixed), inputs, run)
