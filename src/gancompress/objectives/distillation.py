"""Distillation: the losses of a student from its teacher, its discriminator and its reconstruction target.

Source: Li et al., GAN Compression, CVPR 2020, equations 1 to 4; the order of updates as released.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.errors import ConfigError, nearest
from gancompress.losses import AdversarialLoss, Comparison, Networks, Term, TermOptions, balance_gradients
from gancompress.networks.given import Given, arguments, call, one_tensor, tensors_in
from gancompress.networks.noise import AddsNoise, drawn_noise, kept_noise
from gancompress.networks.outputs import image_of, other_outputs
from gancompress.objectives.adversarial_monitor import AdversarialMonitor
from gancompress.objectives.content import Content
from gancompress.objectives.directions import LatentDirections
from gancompress.objectives.students import Running, Student, tapped
from gancompress.objectives.supervision import Outputs, Pass, Supervision, check_same_outputs, example_outputs
from gancompress.objectives.teacher_cache import TeacherCache
from gancompress.tasks.gaugan import in_one_batch
from gancompress.tasks.task import Task
from gancompress.training import Batch, Losses, Objective, Phase, TrainingOptions


class Distillation(Objective):
    """Distillation of a student with a discriminator, both updated from the same state.

    A step runs the teacher once and then every network that the student draws, one after another: a network's gradients
    are computed before the next one runs, so that only one network's activations are in memory. All gradients are means
    over the networks: those of the student, and those of the discriminator, which sees the images of all of them
    against the same real ones. Both phases share the discriminator's pass over an image. Networks that add noise inside
    get the same maps as their teacher, drawn for each batch.
    """

    averaged = ("student",)
    measured = "student"
    update_together = True

    def __init__(self, task: Task, student: Student, supervision: Supervision, example: Given) -> None:
        """Take the networks and build the loss terms.

        Args:
            task: The task that is learned.
            student: The student to train.
            supervision: The networks that it learns from, and the loss terms.
            example: An input [1, ...] of any values, from which the widths of the maps are read.

        Raises:
            ConfigError: A tap or a path of ``fixed`` names no module, a term compares maps and there are no taps, no
                term is left, or a term's options do not fit the networks or the task.
            CheckpointError: A network that a term needs cannot be loaded or read.
        """
        teacher, options = supervision.teacher, supervision.options
        self.task, self.options = task, options
        self._student, self._adversarial = student, options.adversarial
        self.modules, self.frozen = {"student": student.module}, {"teacher": teacher}
        terms, self.notes = supervision.terms()
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
        shown = (
            example_outputs(student.module, self._taps, example, "student"),
            example_outputs(teacher, self._taps, example, "teacher"),
        )
        check_same_outputs(*shown)
        self._terms: dict[str, tuple[float, tuple[str, ...], Term]] = {}
        for name, (term, own) in terms.items():
            self._add_term(name, term, own, *shown)
        self._other_names = tuple(shown[1].others)
        kept = shown[1].image, *shown[1].maps.values(), *shown[1].others.values()
        self.teacher_bytes = sum(x.nbytes for x in kept)
        self._cache: TeacherCache | None = None
        self._monitor = AdversarialMonitor()
        self.phases = (Phase("generator", tuple(self.modules), self._generator_loss),)
        if self._adversarial is not None:
            assert supervision.discriminator is not None
            self._gan = AdversarialLoss(self._adversarial.form)
            self.modules["discriminator"] = supervision.discriminator
            discriminator = Phase("discriminator", ("discriminator",), self._discriminator_loss, discriminates=True)
            self.phases = (discriminator, *self.phases)

    def _add_term(
        self, name: str, term: TermOptions, taps: tuple[str, ...], student: Outputs, teacher: Outputs
    ) -> None:
        """Build a term for the widths of example outputs, with its learned and its frozen networks."""
        networks = Networks(
            taps=taps,
            student_channels={tap: student.maps[tap].shape[1] for tap in taps},
            teacher_channels={tap: teacher.maps[tap].shape[1] for tap in taps},
            elastic=self._student.elastic,
            image=teacher.image,
            others=tuple(teacher.others),
        )
        built = term.build(networks)
        self._terms[name] = (term.weight, taps, built)
        self.modules |= {name: built.learned} if built.learned else {}
        self.frozen |= {name: built.frozen} if built.frozen else {}

    @property
    def runs_teacher(self) -> bool:
        """True if the teacher runs and its outputs depend only on the input, so that they can be cached."""
        return self._uses_teacher and self._directions is None and not isinstance(self.frozen["teacher"], AddsNoise)

    @property
    def teacher_outputs(self) -> tuple[str, ...]:
        """Names of the teacher's outputs that the terms compare: its image, its feature maps, its other outputs."""
        return ("image", *(f"map/{tap}" for tap in self._taps), *(f"output/{name}" for name in self._other_names))

    @torch.no_grad()
    def run_teacher(self, given: Given) -> dict[str, Tensor]:
        """Return the teacher's outputs for some inputs by their names; only if `runs_teacher`."""
        teacher = self.frozen["teacher"]
        return self._named(self._run(Running(teacher, teacher, "teacher"), given, {}, None))

    def run_student(self, given: Given) -> None:
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
        steps = None if self._directions is None else self._directions.draw(one_tensor(given, "latent_directions"))
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
        images = {"teacher": image_of(call(teacher, given, **shared))}
        inside = arguments(student, given)
        images |= {name: image_of(run(*inside, **shared)) for name, run in self._student.shown(student).items()}
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

    def _drawn(self, given: Given) -> dict[str, Any]:
        """Return the noise maps drawn for a batch, as keyword arguments that teacher and student share."""
        return drawn_noise(self.frozen["teacher"], self.modules["student"], len(given))

    @torch.no_grad()
    def _teach(self, batch: Batch, given: Given, shared: Mapping[str, Any], steps: Tensor | None) -> Outputs:
        """Return the teacher's outputs; if no term needs them, the input instead of its image."""
        teacher = self.frozen["teacher"]
        shown = {"teacher", "both"} if "target" in batch else {"teacher", "both", "auto"}
        is_taken_for_real = self._adversarial is not None and self._adversarial.real in shown
        if not self._uses_teacher and not is_taken_for_real:
            return Outputs(tensors_in(given)[0], {})
        running = Running(teacher, teacher, "teacher")
        if self._cache is None or "digest" not in batch:
            return self._run(running, given, shared, steps)

        found = self._cache.get(batch["digest"], lambda: self._named(self._run(running, given, shared, steps)))
        image, *kept = (found[name].to(tensors_in(given)[0].device) for name in self.teacher_outputs)
        maps = dict(zip(self._taps, kept[: len(self._taps)], strict=True))
        return Outputs(image, maps, dict(zip(self._other_names, kept[len(self._taps) :], strict=True)))

    def _named(self, made: Outputs) -> dict[str, Tensor]:
        """Return the outputs of a network under the names of `teacher_outputs`."""
        tensors = made.image, *(made.maps[tap] for tap in self._taps), *made.others.values()
        return dict(zip(self.teacher_outputs, tensors, strict=True))

    def _run(self, running: Running, given: Given, shared: Mapping[str, Any], steps: Tensor | None) -> Outputs:
        with tapped(running.structure, self._taps, running.side) as maps:
            made = running.network(*arguments(running.structure, given), **shared)
        image, others = image_of(made), other_outputs(made)
        if steps is None or self._directions is None:
            return Outputs(image, maps, others)
        latents = one_tensor(given, "latent_directions")
        latents, keywords = self._directions.moved(running.structure, latents, steps)
        with tapped(running.structure, self._moved_taps, running.side) as moved:
            running.network(latents, **shared, **keywords)
        return Outputs(image, maps, others, moved)

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
            others = {name: (each, made.teacher.others[name]) for name, each in made.student.others.items()}
            compared = Comparison(
                made.student.image, made.target, *maps, **output, **moved, content=made.content, others=others
            )
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
