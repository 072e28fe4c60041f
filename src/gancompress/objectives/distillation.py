"""Distillation: the losses of a student from its teacher, its discriminator and its reconstruction target.

Source: Li et al., GAN Compression, CVPR 2020, equations 1 to 4; the order of updates as released.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import BeforeValidator, model_validator
from torch import Tensor, nn

from gancompress.errors import ConfigError, nearest
from gancompress.losses import (
    L1,
    Adversarial,
    AdversarialLoss,
    AnyTerm,
    Comparison,
    Features,
    Networks,
    Term,
    TermOptions,
    balance_gradients,
)
from gancompress.losses.term import Maps, Paths, named
from gancompress.networks.noise import AddsNoise, drawn_noise, kept_noise
from gancompress.objectives.adversarial_monitor import AdversarialMonitor
from gancompress.objectives.content import Content
from gancompress.objectives.directions import LatentDirections
from gancompress.objectives.old_terms import respelled
from gancompress.objectives.students import Running, Student, tapped
from gancompress.objectives.teacher_cache import TeacherCache
from gancompress.options import Options, as_tuple
from gancompress.perception.content_masks import AnyMask, NoMask
from gancompress.tasks.gaugan import in_one_batch
from gancompress.tasks.task import Task
from gancompress.training import Batch, Losses, Objective, Phase, TrainingOptions

DEFAULT_TERMS = (L1(100), Features(1), Adversarial(1))
"""Default terms of a student; only with these defaults, a term on feature maps is dropped if there are no maps."""


class DistillationOptions(Options):
    """Loss terms of a student, and the outputs that they compare.

    Attributes:
        terms: The terms with their weights; a term of weight 0 is not computed.
        reconstruct: Target of every term that compares images: the truth where there are pairs and else the teacher's
            image (``auto``), or always the teacher's image (``teacher``), so that no truth is needed.
        taps: Paths of the modules whose feature maps are compared; those of the architecture by default.
        content: Mask of the content, found in the teacher's image: pixel distances, ``perceptual`` and ``lpips``
            compare the two images there.
        fixed: Paths of modules of the student whose weights do not change, such as ``mapping``.
    """

    terms: Annotated[tuple[AnyTerm, ...], BeforeValidator(as_tuple)] = DEFAULT_TERMS
    reconstruct: Literal["auto", "teacher"] = "auto"
    taps: Paths = ()
    content: AnyMask = NoMask()
    fixed: Paths = ()

    @property
    def weighted(self) -> dict[str, TermOptions]:
        """The terms with a weight, by name."""
        return named(self.terms)

    @property
    def adversarial(self) -> Adversarial | None:
        """The adversarial term; None without a discriminator."""
        return next((term for term in self.weighted.values() if isinstance(term, Adversarial)), None)

    @property
    def compares_images(self) -> bool:
        """True if some term compares the student's image with another one."""
        return any(term.compares == "images" for term in self.weighted.values())

    @property
    def compares_discriminator_maps(self) -> bool:
        """True if some term compares the discriminator's maps of the student's image with those of the real one."""
        return any(term.compares == "discriminator_maps" for term in self.weighted.values())

    @model_validator(mode="before")
    @classmethod
    def _not_in_the_old_spelling(cls, options: Any) -> Any:
        line = respelled(options) if isinstance(options, Mapping) else None
        if line is not None:
            raise ValueError(line)
        return options

    @model_validator(mode="after")
    def _terms_fit(self) -> DistillationOptions:
        terms = self.weighted
        if not terms:
            raise ValueError("terms: got none with a weight above 0, expected one, such as {kind: l1, weight: 100}")
        adversarial = [name for name, term in terms.items() if isinstance(term, Adversarial)]
        if len(adversarial) > 1:
            raise ValueError(f"terms: got {' and '.join(adversarial)}, expected one adversarial term; leave one out")
        wanting = [name for name, term in terms.items() if term.compares in ("logits", "discriminator_maps")]
        if wanting and not adversarial:
            raise ValueError(
                f"terms: got {wanting[0]} without an adversarial term, expected {{kind: gan, weight: 1}} beside it: "
                "without it no discriminator learns"
            )
        steps = {name: term.latent_step for name, term in terms.items() if term.latent_step is not None}
        if len(set(steps.values())) > 1:
            raise ValueError(f"terms: got several lengths of latent steps ({', '.join(steps)}), expected one length")
        return self


class Outputs(NamedTuple):
    """Outputs of a network for one batch.

    Attributes:
        image: [b, c, h, w] in [-1, 1].
        maps: Its feature maps.
        moved_maps: Feature maps for the shifted latents; None if no term compares them.
    """

    image: Tensor
    maps: Maps
    moved_maps: Maps | None = None


class Pass(NamedTuple):
    """Forward pass of one network on one batch, with the targets of its losses.

    Attributes:
        student: Outputs of this network.
        target: The image that its image is compared with.
        teacher: Outputs of the teacher.
        logits: The discriminator's output for its image.
        real_logits: The discriminator's output for the first real image, where both images ran in one batch.
        content: Mask of the region in which its image is compared with the target, zeros and ones; None for all of it.
        share: Weight of this network in the losses of the step, which are means over its networks.
        is_first: Whether it is the first network of the step.
        num_images: Images trained on before the step.
    """

    student: Outputs
    target: Tensor
    teacher: Outputs
    logits: Any
    real_logits: Any
    content: Tensor | None
    share: float
    is_first: bool
    num_images: int


class Distillation(Objective):
    """Distillation of a student with a discriminator, both updated from the same state.

    A step runs the teacher once and then every network that the student draws, one after another: a network's gradients
    are computed before the next one runs, so that only one network's activations are in memory. All gradients are means
    over the networks: those of the student, and those of the discriminator, which sees the images of all of them
    against the same real ones. Both phases share the discriminator's pass over an image. Networks that add noise inside
    get the same maps as their teacher, drawn for each batch.
    """

    averaged = ("student",)
    update_together = True

    def __init__(
        self,
        task: Task,
        teacher: nn.Module,
        student: Student,
        discriminator: nn.Module | None,
        options: DistillationOptions,
        taps: tuple[str, ...],
        example: Tensor,
        image_taps: tuple[str, ...] = (),
    ) -> None:
        """Take the networks and build the loss terms.

        Args:
            task: The task that is learned.
            teacher: Generates the images and maps to learn from; not trained.
            student: The student to train.
            discriminator: Inherited from the teacher, or fresh; None without an adversarial term.
            options: The terms.
            taps: Paths, in both networks, of the modules whose maps are compared; the options' own taps take
                precedence.
            example: An input [1, c, h, w] of any values, from which the widths of the maps are read.
            image_taps: Paths, in both networks, of the modules that return intermediate RGB images.

        Raises:
            ConfigError: A tap or a path of ``fixed`` names no module, a term compares maps and there are no taps, no
                term is left, or a term's options do not fit the networks or the task.
            CheckpointError: A network that a term needs cannot be loaded or read.
        """
        self.task, self.options = task, options
        self._student, self._adversarial = student, options.adversarial
        self.modules, self.frozen = {"student": student.module}, {"teacher": teacher}
        terms, self.notes = _with_taps(options, options.taps or taps, image_taps)
        self._balanced_name = next((name for name, (term, _) in terms.items() if term is self._adversarial), None)
        self._taps = tuple(dict.fromkeys(tap for _, own in terms.values() for tap in own))
        moving = {name: term.latent_step for name, (term, _) in terms.items() if term.latent_step is not None}
        self._moved_taps = tuple(dict.fromkeys(tap for name in moving for tap in terms[name][1]))
        self._directions = LatentDirections(next(iter(moving.values())), task) if moving else None
        pseudo_pairs = options.reconstruct == "teacher" or not task.paired
        self._content = Content(options.content, task)
        self._check_fixed(student.module)
        compares_images = any(term.compares == "images" for term, _ in terms.values())
        self._uses_teacher = bool(self._taps) or (compares_images and (pseudo_pairs or not self._content.is_everything))
        student_example = _evaluated(student.module, self._taps, example)
        teacher_example = _evaluated(teacher, self._taps, example)
        self._terms: dict[str, tuple[float, tuple[str, ...], Term]] = {}
        for name, (term, own) in terms.items():
            built = term.build(
                Networks(
                    taps=own,
                    student_channels={tap: student_example.maps[tap].shape[1] for tap in own},
                    teacher_channels={tap: teacher_example.maps[tap].shape[1] for tap in own},
                    elastic=student.elastic,
                    image=teacher_example.image,
                )
            )
            self._terms[name] = (term.weight, own, built)
            self.modules |= {name: built.learned} if built.learned else {}
            self.frozen |= {name: built.frozen} if built.frozen else {}
        self.phases = (Phase("generator", tuple(self.modules), self._generator_loss),)
        self._monitor = AdversarialMonitor()
        self._cache: TeacherCache | None = None
        self.teacher_bytes = sum(x.nbytes for x in (teacher_example.image, *teacher_example.maps.values()))
        if self._adversarial is not None:
            assert discriminator is not None
            self._gan = AdversarialLoss(self._adversarial.form)
            self.modules["discriminator"] = discriminator
            self.phases = (
                Phase("discriminator", ("discriminator",), self._discriminator_loss, discriminates=True),
                *self.phases,
            )

    @property
    def runs_teacher(self) -> bool:
        """True if the teacher runs and its outputs depend only on the input, so that they can be cached."""
        return self._uses_teacher and self._directions is None and not isinstance(self.frozen["teacher"], AddsNoise)

    @property
    def teacher_outputs(self) -> tuple[str, ...]:
        """Names of the teacher's outputs that the terms compare: its image, and the paths of its feature maps."""
        return ("image", *(f"map/{tap}" for tap in self._taps))

    @torch.no_grad()
    def run_teacher(self, given: Tensor) -> dict[str, Tensor]:
        """Return the teacher's outputs for some inputs by their names; only if `runs_teacher`."""
        teacher = self.frozen["teacher"]
        return self._named(self._run(Running(teacher, teacher), given, {}, None))

    def run_student(self, given: Tensor) -> None:
        """Run the networks of a step forwards and backwards on some inputs; their gradients are discarded."""
        for running in self._student.draw(0):
            outputs = self._named(self._run(running, given, {}, None))
            torch.stack([output.float().mean() for output in outputs.values()]).sum().backward()
        for parameter in self.modules["student"].parameters():
            parameter.grad = None

    def use_cache(self, cache: TeacherCache | None) -> None:
        """Read the teacher's outputs from a cache if a batch has digests of its inputs."""
        self._cache = cache

    def statistics(self) -> dict[str, float]:
        """Return the accuracy of the discriminator, and how its gradient compares with that of the other terms."""
        return self._monitor.statistics()

    def remarks(self) -> list[str]:
        """Return one warning if the discriminator wins."""
        return self._monitor.remarks()

    def forward(self, batch: Batch, num_images: int) -> Pass:
        """Run the first network of a step."""
        return next(self.passes(batch, num_images))

    def passes(self, batch: Batch, num_images: int) -> Iterator[Pass]:
        """Run every network of a step; they share the teacher's outputs."""
        given = self.task.encode(batch["input"])
        shared = self._drawn(given)
        steps = None if self._directions is None else self._directions.draw(given)
        taught = self._teach(batch, given, shared, steps)
        content = self._content.of(batch, taught.image) if self._uses_teacher else None
        target = taught.image if self.options.reconstruct == "teacher" else self.task.answer(batch, taught.image)
        networks = self._student.draw(num_images)
        for number, running in enumerate(networks):
            made = self._run(running, given, shared, steps)
            logits = self._discriminate(batch, made.image, taught.image)
            share = 1 / len(networks)
            yield Pass(made, target, taught, *logits, content, share, is_first=number == 0, num_images=num_images)
            if self._student.in_place and number == 0:
                target = made.image.detach()

    def preview(self, batch: Batch, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Return the input, the images of teacher and student, and the ground truth."""
        given = self.task.encode(batch["input"])
        teacher, student = self.frozen["teacher"], modules["student"]
        shared = kept_noise(teacher, student)
        images = {"teacher": teacher(given, **shared)}
        images |= {name: run(given, **shared) for name, run in self._student.shown(student).items()}
        return self.task.columns(batch, images)

    def optimizers(self, phase: Phase, options: TrainingOptions) -> dict[str, torch.optim.Optimizer]:
        """Return one optimizer for each phase, without the fixed parameters."""
        return {phase.name: options.adam(self.trained(phase), discriminates=phase.discriminates)}

    def trained(self, phase: Phase) -> list[nn.Parameter]:
        """Return the parameters that a phase updates."""
        student = self.modules["student"]
        fixed = {id(p) for path in self.options.fixed for p in student.get_submodule(path).parameters()}
        return [p for name in phase.modules for p in self.modules[name].parameters() if id(p) not in fixed]

    def _check_fixed(self, student: nn.Module) -> None:
        known = dict(student.named_modules())
        for path in self.options.fixed:
            if path not in known:
                raise ConfigError(f"fixed: got '{path}', expected a module of the student; {nearest(path, known)}")

    def _drawn(self, given: Tensor) -> dict[str, Any]:
        """Return the noise maps drawn for a batch, as keyword arguments that teacher and student share."""
        return drawn_noise(self.frozen["teacher"], self.modules["student"], len(given))

    @torch.no_grad()
    def _teach(self, batch: Batch, given: Tensor, shared: Mapping[str, Any], steps: Tensor | None) -> Outputs:
        """Return the teacher's outputs; if no term needs them, the input instead of its image."""
        teacher = self.frozen["teacher"]
        shown = {"teacher", "both"} if "target" in batch else {"teacher", "both", "auto"}
        is_taken_for_real = self._adversarial is not None and self._adversarial.real in shown
        if not self._uses_teacher and not is_taken_for_real:
            return Outputs(given, {})
        teacher_running = Running(teacher, teacher)
        if self._cache is None or "digest" not in batch:
            return self._run(teacher_running, given, shared, steps)

        found = self._cache.get(batch["digest"], lambda: self._named(self._run(teacher_running, given, shared, steps)))
        image, *maps = (found[name].to(given.device) for name in self.teacher_outputs)
        return Outputs(image, dict(zip(self._taps, maps, strict=True)))

    def _named(self, made: Outputs) -> dict[str, Tensor]:
        """Return the outputs of a network under the names of `teacher_outputs`."""
        return dict(zip(self.teacher_outputs, (made.image, *(made.maps[tap] for tap in self._taps)), strict=True))

    def _run(self, running: Running, given: Tensor, shared: Mapping[str, Any], steps: Tensor | None) -> Outputs:
        with tapped(running.structure, self._taps) as maps:
            image = running.network(given, **shared)
        if steps is None or self._directions is None:
            return Outputs(image, maps)
        given, keywords = self._directions.moved(running.structure, given, steps)
        with tapped(running.structure, self._moved_taps) as moved:
            running.network(given, **shared, **keywords)
        return Outputs(image, maps, moved)

    def _discriminate(self, batch: Batch, image: Tensor, teacher_image: Tensor) -> tuple[Any, Any]:
        """Return the discriminator's output for a student's image and, if a term compares them, for the real one."""
        if self._adversarial is None:
            return None, None
        discriminator, seen = self.modules["discriminator"], self.task.seen(batch, image)
        if not self.options.compares_discriminator_maps:
            return discriminator(seen), None
        return in_one_batch(discriminator, seen, self._real(batch, teacher_image)[0])

    def _discriminator_loss(self, batch: Batch, made: Pass) -> Losses:
        assert made.logits is not None
        loss = made.share * self._gan.on_fake(made.logits)
        if made.is_first:
            real = self._real(batch, made.teacher.image)
            outputs = [] if made.real_logits is None else [made.real_logits]
            outputs += [self.modules["discriminator"](image) for image in real[len(outputs) :]]
            loss = torch.stack([self._gan.on_real(logits) for logits in outputs]).mean() + loss
            accuracy = self._gan.accuracy(outputs[0], made.logits)
            if accuracy is not None:
                self._monitor.observe(accuracy=accuracy)
        return {"gan": 0.5 * loss}

    def _real(self, batch: Batch, teacher_image: Tensor) -> list[Tensor]:
        """Return the real images of the discriminator; the first is the one that a student's image is matched with."""
        assert self._adversarial is not None
        if self._adversarial.real == "auto":
            return [self.task.real(batch, teacher_image)]
        if self._adversarial.real != "teacher" and "target" not in batch:
            raise ConfigError(
                f"gan: real: got '{self._adversarial.real}', but the data has no real images of what the "
                "generator makes; take 'teacher', or data with targets"
            )
        images = {"target": [batch.get("target")], "teacher": [teacher_image]}
        images["both"] = images["target"] + images["teacher"]
        return [self.task.seen(batch, image) for image in images[self._adversarial.real]]

    def _generator_loss(self, batch: Batch, made: Pass) -> Losses:
        losses, adversarial = Losses(), Losses()
        for name, (weight, taps, term) in self._terms.items():
            maps = ({tap: each[tap] for tap in taps} for each in (made.student.maps, made.teacher.maps))
            output = {"logits": made.logits, "real_logits": made.real_logits}
            moved = {"moved_maps": made.student.moved_maps, "moved_teacher_maps": made.teacher.moved_maps}
            compared = Comparison(made.student.image, made.target, *maps, **output, **moved, content=made.content)
            kept = adversarial if name == self._balanced_name else losses
            kept[name] = made.share * weight * term.loss(compared)
        return losses | {name: self._balanced(made, term, losses) for name, term in adversarial.items()}

    def _balanced(self, made: Pass, term: Tensor, others: Losses) -> Tensor:
        """Return the adversarial term with its weight lowered to its ``balance``."""
        assert self._adversarial is not None
        if self._adversarial.balance is None or not others:
            return term
        total = torch.stack([other.float() for other in others.values()]).sum()
        balance = balance_gradients(term, total, made.student.image, self._adversarial.balance)
        if balance is None:
            return term
        self._monitor.observe(ratio=balance.ratio, factor=balance.factor)
        return balance.term


def _with_taps(
    options: DistillationOptions, common: tuple[str, ...], image_taps: tuple[str, ...]
) -> tuple[dict[str, tuple[TermOptions, tuple[str, ...]]], tuple[str, ...]]:
    """Return the terms, each with the modules whose outputs it compares, and notes on the terms that are dropped."""
    terms = {
        name: (term, term.taps_among(image_taps if term.compares == "rgb" else common))
        for name, term in options.weighted.items()
    }
    without = [name for name, (term, taps) in terms.items() if term.compares in ("maps", "rgb") and not taps]
    if without and options.terms != DEFAULT_TERMS:
        raise ConfigError(
            f"distillation: {without[0]} got no feature maps, expected some; name modules of both networks in taps, "
            "or leave the term out"
        )
    notes = tuple(
        f"the default term {name} is left out: no modules are known whose feature maps can be compared"
        for name in without
    )
    return {name: each for name, each in terms.items() if name not in without}, notes


@torch.no_grad()
def _evaluated(network: nn.Module, taps: tuple[str, ...], example: Tensor) -> Outputs:
    """Return the outputs of a network in evaluation mode for an example; its running statistics do not change."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    with tapped(network, taps) as maps:
        image = network(example)
    for module, mode in modes.items():
        module.training = mode
    return Outputs(image, maps)
