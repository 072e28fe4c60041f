"""Options that the steps which train a student share, and its training."""

from __future__ import annotations

from dataclasses import replace

from gancompress.jobs.steps.discriminators import initial_discriminator, trained_discriminator
from gancompress.jobs.steps.networks import PATCHGAN, NetworkOptions
from gancompress.jobs.steps.recalibration import calibration_inputs
from gancompress.jobs.steps.step import Step, StepRun, Work, training_data, training_loader
from gancompress.jobs.steps.taps import taps_of
from gancompress.methods.distill import train_student
from gancompress.methods.recalibrate import recalibrate
from gancompress.methods.teacher_trial import Repeats
from gancompress.methods.training import TrainingData
from gancompress.networks.generator import Generator
from gancompress.objectives.content import check_content
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.objectives.students import Student
from gancompress.objectives.supervision import Supervision
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

    def supervision(self, work: Work, inputs: Inputs, run: StepRun) -> tuple[Supervision, Generator | None]:
        """Return the teacher with the loss terms, and the generator of the initial discriminator if there is one.

        Raises:
            ConfigError: The content does not fit the teacher or the data, or the discriminator does not fit the images.
        """
        teacher = work.teacher.build()
        tried = inputs.images("train", _BATCH_SIZE, NUM_TRIED)
        check_content(self.distillation.content, inputs.task, teacher, tried, run.device)
        given = None
        if self.distillation.adversarial is not None:
            inherited = work.discriminator if self.inherit_discriminator else None
            given = initial_discriminator(inherited, self.discriminator, work.teacher, inputs, run.seed + 2)
        return Supervision(teacher, given and given.build(), self.distillation), given

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
        """Train a student, of the architecture of the work's generator; return the newest discriminator."""
        supervision, given = self.supervision(work, inputs, run)
        architecture = work.teacher.architecture
        networks = architecture, work.generator.architecture, supervision, student
        taps = taps_of(*networks, inputs.example(), run.log.said)
        tapped = replace(supervision, taps=taps, image_taps=architecture.image_taps)
        if not train_student(student, tapped, self.training, self.training_data(inputs, run), run, stylegan2):
            run.interrupt()
        recalibrate(student.module, calibration_inputs(inputs))
        return trained_discriminator(given, supervision.discriminator) or work.discriminator


def _first_of(loader: Loader) -> Batch:
    """Return a batch of the first training input."""
    return next(iter(loader(0, 1)))
