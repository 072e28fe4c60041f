"""Training of one student: a narrower network from its teacher, or a pruned network back to quality."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator

from gancompress.importance import AnyScore
from gancompress.jobs.steps.learning import Learning
from gancompress.jobs.steps.narrowing import Narrowing
from gancompress.jobs.steps.networks import NetworkOptions
from gancompress.jobs.steps.online import OnlineOptions
from gancompress.jobs.steps.quantize import Quantizing
from gancompress.jobs.steps.recalibration import calibration_inputs
from gancompress.jobs.steps.step import Goal, StepRun, Work, register_step
from gancompress.jobs.steps.students import student_of
from gancompress.methods.initial_weights import with_modules_of
from gancompress.methods.recalibrate import recalibrate
from gancompress.networks.cut import cut
from gancompress.objectives.students import FixedStudent
from gancompress.options import as_tuple
from gancompress.perception.content_masks import NoMask
from gancompress.quantization.separate import separate
from gancompress.tasks import StyleGan2Options, undivided_batch
from gancompress.tasks.inputs import Inputs


class OneStudent(Learning):
    """Base class of the steps that train a single network.

    Attributes:
        stylegan2: Options of StyleGAN2 training for a StyleGAN2 student: the regularisers of both networks, style
            mixing, and updates one after another. Without it a StyleGAN2 is trained like any other network.
        online: Teachers that train beside the student, which learns from them instead of the job's teacher. An
            adversarial term then asks the discriminator of the first of them, without training it.
    """

    stylegan2: StyleGan2Options | None = None
    online: OnlineOptions | None = None

    @model_validator(mode="after")
    def _online_fits(self) -> Self:
        if self.online is not None and self.stylegan2 is not None:
            raise ValueError("online: got stylegan2 beside it, expected one of them; its regularisers need one teacher")
        if self.online is not None and not isinstance(self.distillation.content, NoMask):
            raise ValueError(
                "online: got distillation.content, expected none: the content is found in images of a trained teacher"
            )
        return self

    def improved(self, work: Work, inputs: Inputs, run: StepRun) -> Work:
        """Return the work with its network trained; a quantized one stays quantized."""
        if self.stylegan2 is not None:
            undivided_batch(self.kind, self.training)
        network, quantization = work.build(), work.quantization
        student = FixedStudent(network)
        if self.online is None:
            discriminator = self.teach(student, work, inputs, run, self.stylegan2)
        else:
            terms, training = self.distillation, self.training
            discriminator = self.online.train(student, work, inputs, run, terms, training, name=self.kind)
            recalibrate(network, calibration_inputs(inputs))
        generator, quantization = separate(network, work.generator, quantization and quantization.options)
        return Work(work.teacher, generator, discriminator, quantization=quantization)


@register_step
class Distill(OneStudent, Narrowing, Quantizing):
    """Step that trains a narrower student, initialised from the teacher.

    Attributes:
        student: The student's architecture; that of the teacher by default.
        initial: Start from the teacher's most important channels, where both networks have the same layers, or from
            fresh weights.
        inherit: Paths of modules that start always start with the teacher's weights, such as the ``mapping`` network of
            a StyleGAN2 whose other weights are fresh.
        score: Importance score of channels.
    """

    kind = "distill"

    student: NetworkOptions | None = None
    initial: Literal["teacher", "random"] = "teacher"
    inherit: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    score: AnyScore = "l1_first_producer"

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Train the student.

        Raises:
            ConfigError: A module to inherit differs between the networks.
        """
        wide = student_of(self.student, work, self.initial, self.score, inputs, run)
        wide = with_modules_of(work.teacher, wide, self.inherit)
        graph, plan = self.plan(wide, inputs, run, goal.budget)
        narrow = cut(wide, graph, plan)
        facts = self.latency(wide, graph, plan, narrow, inputs, run, goal.budget)
        begun = replace(work, generator=narrow, quantization=self.begun(narrow, inputs, run.device))
        return replace(self.improved(begun, inputs, run), facts=facts)


@register_step
class Finetune(OneStudent, Quantizing):
    """Step that trains the current network with its teacher. A quantized one stays quantized; its ranges follow."""

    kind = "finetune"
    takes_quantized = True

    def run(self, work: Work, inputs: Inputs, run: StepRun, goal: Goal) -> Work:
        """Train the network."""
        begun = self.begun(work.generator, inputs, run.device)
        return self.improved(work if begun is None else replace(work, quantization=begun), inputs, run)
