"""Options and networks that the steps which train a student share."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from gancompress.jobs.steps.networks import PATCHGAN, NetworkOptions
from gancompress.jobs.steps.recalibration import calibration_inputs
from gancompress.jobs.steps.step import Step, StepRun, Work, training_data, training_loader
from gancompress.methods.discriminators import check_discriminator, discriminator_input
from gancompress.methods.distill import train_student
from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.teacher_trial import Repeats
from gancompress.methods.training import TrainingData
from gancompress.networks.generator import Generator
from gancompress.objectives.content import check_content
from gancompress.objectives.distillation import DistillationOptions
from gancompress.objectives.students import Student
from gancompress.objectives.teacher_cache import TeacherCacheOptions
from gancompress.tasks import LatentTask, StyleGan2Options
from gancompress.tasks.inputs import Inputs
from gancompress.training import Batch, Loader, TrainingOptions

NUM_TRIED = 64
"""Images among which some content must be found for a mask to count as working."""

_BATCH_SIZE = 8


class Learning(Step):
    """Base class of the steps that train a student.

    Attributes:
        distillation: Loss terms.
        inherit_discriminator: Start from the newest discriminator of the work, not from a fresh one.
        discriminator: The initial discriminator if none is inherited.
        training: Options of the training loop.
        teacher_cache: Cache of the teacher's outputs for inputs that repeat, or that are made to.
    """

    distillation: DistillationOptions = DistillationOptions()
    inherit_discriminator: bool = True
    discriminator: NetworkOptions = PATCHGAN
    training: TrainingOptions = TrainingOptions()
    teacher_cache: TeacherCacheOptions = TeacherCacheOptions()

    def networks(
        self, work: Work, inputs: Inputs, run: StepRun
    ) -> tuple[nn.Module, Generator | None, nn.Module | None]:
        """Return the teacher, and the initial discriminator and its network if the adversarial term is used.

        Raises:
            ConfigError: The content does not fit the teacher or the data, or the discriminator does not fit the images.
        """
        teacher = work.teacher.build()
        tried = inputs.images("train", _BATCH_SIZE, NUM_TRIED)
        check_content(self.distillation.content, inputs.task, teacher, tried, run.device)
        if self.distillation.adversarial is None:
            return teacher, None, None
        given = discriminator_input(work.teacher, inputs.example(), inputs.task)
        discriminator = work.discriminator if self.inherit_discriminator else None
        if discriminator is None:
            discriminator = self.discriminator.fresh_discriminator(run.seed + 2, given)
        else:
            check_discriminator(discriminator, given, inputs.task)
        return teacher, discriminator, discriminator.build()

    def training_data(self, inputs: Inputs, run: StepRun) -> TrainingData:
        """Return the training data, with the teacher's outputs that ``teacher_cache`` keeps."""
        data = training_data(inputs, run)
        latent = isinstance(inputs.task, LatentTask)
        repeats = Repeats(
            self.teacher_cache,
            num_images=len(inputs.data.open("train")),
            num_views=None if latent else inputs.data.num_views(),
            first=lambda: _first_of(data.loader),
            cycled=lambda copies: training_loader(inputs, run, copies),
            folder=run.shared / "teacher_outputs",
            data=f"{inputs.data.model_dump_json()} {run.seed}",
        )
        return replace(data, repeats=repeats)

    def teach(
        self, student: Student, work: Work, inputs: Inputs, run: StepRun, stylegan2: StyleGan2Options | None = None
    ) -> Generator | None:
        """Train a student with the work's teacher; return the newest discriminator."""
        teacher, given, discriminator = self.networks(work, inputs, run)
        finished = train_student(
            student,
            teacher,
            discriminator,
            self.distillation,
            self.training,
            self.training_data(inputs, run),
            run,
            taps=self.taps(work.teacher, teacher, student.module, inputs.example(), run),
            image_taps=work.teacher.architecture.image_taps,
            stylegan2=stylegan2,
        )
        if not finished:
            run.interrupt()
        recalibrate(student.module, calibration_inputs(inputs))
        return trained_discriminator(given, discriminator) or work.discriminator

    def taps(
        self, teacher: Generator, network: nn.Module, student: nn.Module, example: Tensor, run: StepRun
    ) -> tuple[str, ...]:
        """Return the default taps whose feature maps are compared, those of the teacher's architecture.

        Taps that are chosen automatically, or the lack of them, are logged.
        """
        architecture = teacher.architecture
        compares_maps = any(term.compares == "maps" for term in self.distillation.weighted.values())
        if self.distillation.taps or architecture.distillation_taps or not compares_maps:
            return architecture.distillation_taps
        known = dict(student.named_modules())
        shared = tuple(path for path in architecture.taps(network, (example,)) if path in known)
        chosen = f"{', '.join(shared)}, chosen automatically" if shared else "none, as the networks share no stages"
        run.log.said(f"{self.kind}: feature maps compared: {chosen}; name others in distillation.taps")
        return shared


def _first_of(loader: Loader) -> Batch:
    """Return a batch of the first training input."""
    return next(iter(loader(0, 1)))


def trained_discriminator(given: Generator | None, network: nn.Module | None) -> Generator | None:
    """Return a discriminator with its network's current weights; None if there is none."""
    if given is None or network is None:
        return None
    return given.with_weights_of(network.cpu())
