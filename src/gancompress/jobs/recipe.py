"""Description of a job, validated: the network to compress, the data, the steps and the budget."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from gancompress.data import DATASETS, AnyData, Classes
from gancompress.deploy import file_name
from gancompress.errors import ConfigError, MetricError
from gancompress.evaluation import LatentMetric, PairMetric, SetMetric, find_metric
from gancompress.evaluation.options import MetricOptions
from gancompress.io.torch_files import is_torchscript
from gancompress.io.trust import Trust, check_consent, importing_for
from gancompress.io.yaml_text import read_yaml
from gancompress.jobs.export_options import ExportOptions, parse_exports
from gancompress.jobs.recipe_text import read_recipe, set_option
from gancompress.jobs.steps import STEPS, AnyStep, Search
from gancompress.jobs.teacher_options import TeacherOptions
from gancompress.methods.budget import Budget, CostLimit
from gancompress.networks.generator import Generator
from gancompress.options import Options, as_tuple
from gancompress.quantization import FLOAT, QuantizationOptions
from gancompress.tasks import TASKS, AnyTask, LatentOptions, find_task
from gancompress.tasks.inputs import Inputs
from gancompress.training import TrainingOptions

TENSOR_METRICS = ("snr", "relative_error")
"""Default metrics against the teacher for data that holds no images."""

_IMPORT_PATH = r"[\w.]+:[\w.]+"


class Job(Options):
    """A compression job.

    Attributes:
        name: Name of its run directory.
        seed: Seed of all random draws.
        task: Task of the generator: a kind of task, or one with options.
        data: The data set, with splits ``train``, ``search`` and ``test``.
        teacher: The network to compress.
        budget: Budget of the compressed network.
        loadable: Whether widths stay in the form that the teacher's constructor can express, such as one base width, so
            that its original program loads the compressed network; the run then also writes a file in the layout of
            ``teacher.checkpoint``.
        steps: Steps of the job, in order.
        metrics: Metrics of teacher and compressed network, on ``test``.
        exports: The files to write: formats, or formats with options; ``all`` for every format and precision whose
            packages are installed.
        num_workers: Processes that decode images.
        threads: Threads of PyTorch in training and search; its own choice by default. No step is repeated when the
            number changes, although weights are exactly the same only for the same number.
        progress_images: Images of ``search`` on which the quality is measured and printed after each step; 0 for none.
    """

    name: str
    seed: Annotated[int, Field(ge=0)] = 0
    task: AnyTask
    data: AnyData
    teacher: TeacherOptions
    budget: Budget | None = None
    loadable: bool = False
    steps: Annotated[tuple[AnyStep, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    metrics: MetricOptions = MetricOptions()
    exports: tuple[ExportOptions, ...] = (ExportOptions(),)
    num_workers: Annotated[int, Field(ge=0)] = 0
    threads: Annotated[int, Field(ge=1)] | None = None
    progress_images: Annotated[int, Field(ge=0)] = 0

    @field_validator("exports", mode="before")
    @classmethod
    def _every_export(cls, options: Any, info: ValidationInfo) -> Any:
        return parse_exports(options, quantized=any(step.new_quantization for step in info.data.get("steps", ())))

    def inputs(self) -> Inputs:
        """Return the images of the data, prepared for the task."""
        return Inputs(find_task(self.task, self.data), self.data, self.num_workers, self.loadable)

    def limit(self, teacher: Generator, inputs: Inputs) -> CostLimit | None:
        """Return the limit of the budget, which counts the bits of the end, or None; then no network is traced."""
        return None if self.budget is None else self.budget.limit(inputs.graph(teacher), self.quantization)

    @property
    def quantization(self) -> QuantizationOptions:
        """Quantization of the network after the last step; `FLOAT` if no step quantizes it."""
        given = (step.new_quantization for step in reversed(self.steps))
        return next((each for each in given if each is not None), FLOAT)

    @model_validator(mode="before")
    @classmethod
    def _default_metrics_fit(cls, options: Any) -> Any:
        """Drop the default metrics against real images if the task has no pairs, and those of images for tensors.

        A search on tensors goes by the first metric against the teacher.
        """
        metrics = options.get("metrics") or {} if isinstance(options, dict) else None
        if not isinstance(metrics, dict) or options.get("task") is None:
            return options
        defaults: dict[str, Any] = {} if _has_pairs(options["task"]) else {"against_real": []}
        if _holds_images(options.get("data")):
            return {**options, "metrics": {**defaults, **metrics}} if defaults else options
        of_tensors = {"against_real": TENSOR_METRICS, "against_teacher": TENSOR_METRICS}
        chosen = {**of_tensors, **defaults, **metrics}
        first, steps = next(iter(as_tuple(chosen["against_teacher"])), TENSOR_METRICS[0]), options.get("steps")
        if isinstance(steps, list | tuple):
            options = {**options, "steps": [_with_metric(step, first) for step in steps]}
        return {**options, "metrics": chosen}

    @model_validator(mode="after")
    def _task_fits_data(self) -> Job:
        find_task(self.task, self.data)
        return self

    @model_validator(mode="after")
    def _segmentation_fits_labels(self) -> Job:
        classes = getattr(self.data, "classes", None)
        if isinstance(classes, Classes):
            wrong = [
                f"metrics.networks.{name}: {reason}"
                for name, network in self.metrics.networks.items()
                if (reason := network.misfit(classes)) is not None
            ]
            if wrong:
                raise ValueError("; ".join(wrong))
        return self

    @model_validator(mode="after")
    def _steps_stay_loadable(self) -> Job:
        for number, step in enumerate(self.steps):
            if self.loadable and not step.ties_groups:
                fitting = ", ".join(sorted(kind for kind, other in STEPS.items() if other.ties_groups))
                raise ValueError(
                    f"steps.{number}: got '{step.kind}' with loadable: true, which chooses the width of each group "
                    f"alone; expected {fitting}, or loadable: false"
                )
        return self

    @model_validator(mode="after")
    def _validation_measures(self) -> Job:
        trained = {} if self.teacher.train is None else {"teacher.train": self.teacher.train}
        trained |= {f"steps.{number}": step for number, step in enumerate(self.steps)}
        for place, step in trained.items():
            training = getattr(step, "training", None)
            metrics = self.metrics.against_real or (place != "teacher.train" and self.metrics.against_teacher)
            if isinstance(training, TrainingOptions) and training.validate_every and not metrics:
                raise ValueError(
                    f"{place}.training.validate_every: got {training.validate_every} and no metric to measure by; name "
                    f"some in metrics.against_real{'' if place == 'teacher.train' else ' or metrics.against_teacher'}"
                )
        return self

    @model_validator(mode="after")
    def _steps_follow(self) -> Job:
        quantized = False
        for number, step in enumerate(self.steps):
            if quantized and not step.takes_quantized:
                fitting = " or ".join(sorted(kind for kind, other in STEPS.items() if other.takes_quantized))
                raise ValueError(
                    f"steps.{number}: got '{step.kind}' behind a step that quantizes, expected {fitting}; quantize last"
                )
            quantized = quantized or step.new_quantization is not None
        for number, export in enumerate(self.exports):
            if quantized and export.is_chosen_by_timing:
                raise ValueError(
                    f"exports.{number}: got precision fastest behind a step that quantizes, expected a float network; "
                    "take precision int8, which keeps what was trained"
                )
            if quantized and not export.calibrates and (not export.kind.stores_trained_integers or export.rewrites):
                raise ValueError(
                    f"exports.{number}: got {export.format} with rewrites {list(export.rewrites or ())}, expected onnx "
                    "without rewrites, which holds the integers of a quantized network, or precision int8"
                )
        return self

    @model_validator(mode="after")
    def _exports_are_files_of_their_own(self) -> Job:
        names = [file_name(each.format, each.precision) for each in self.exports]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise ValueError(
                    f"exports.{number}: got a second {name}, expected files of different formats or precisions; "
                    "leave one out"
                )
        return self

    @model_validator(mode="after")
    def _budget_fits(self) -> Job:
        for number, step in enumerate(self.steps):
            if self.budget is None and step.needs_budget:
                raise ValueError(
                    f"steps.{number}: got '{step.kind}' without a budget, expected one, because widths follow from it, "
                    "such as budget: {reduction: 8}; to train a network as it is, take 'finetune'"
                )
        if self.budget is not None and self.budget.latency_ms is not None:
            for number, step in enumerate(self.steps):
                if step.uses_budget and not step.takes_latency:
                    fitting = ", ".join(sorted(kind for kind, other in STEPS.items() if other.takes_latency))
                    raise ValueError(
                        f"steps.{number}: got '{step.kind}' with a budget in latency_ms, which it cannot count in; "
                        f"give macs, parameters or bytes, or take a step that can: {fitting}"
                    )
                if step.uses_budget and step.new_quantization is not None:
                    raise ValueError(
                        f"steps.{number}: got quantization with a budget in latency_ms, expected a float step, whose "
                        "file is timed; quantize in a later step"
                    )
        return self

    @model_validator(mode="after")
    def _metrics_fit(self) -> Job:
        named = {f"metrics.{place}": getattr(self.metrics, place) for place in ("against_real", "against_teacher")}
        searches = {f"steps.{n}.metric": step for n, step in enumerate(self.steps) if isinstance(step, Search)}
        named |= {place: (step.metric,) for place, step in searches.items()}
        to_teacher = {place for place, step in searches.items() if self._compares_with_teacher(step)}
        wrong = []
        for place, name in ((place, name) for place, names in named.items() for name in names):
            try:
                metric, _ = find_metric(name, self.metrics.networks)
            except MetricError as error:
                wrong.append(f"{place}: {error}")
                continue
            if isinstance(metric, SetMetric) and metric.content and self.metrics.content_mask is None:
                wrong.append(f"{place}: got '{name}' without metrics.content_mask, expected one, such as ellipse")
            if isinstance(metric, LatentMetric):
                wrong += [f"{place}: {reason}" for reason in self._misfit_of_latents(name, place, to_teacher)]
            lacks_pairs = isinstance(metric, PairMetric) and not _has_pairs(self.task)
            if lacks_pairs and place != "metrics.against_teacher" and place not in to_teacher:
                wrong.append(f"{place}: got '{name}', which compares pairs, but the task has none; compare sets (fid)")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _compares_with_teacher(self, step: Search) -> bool:
        try:
            metric, _ = find_metric(step.metric, self.metrics.networks)
        except MetricError:
            return False  # which is reported elsewhere
        return step.compares_with(metric) == "teacher"

    def _misfit_of_latents(self, name: str, place: str, to_teacher: Container[str]) -> Iterator[str]:
        if not isinstance(self.task, LatentOptions):
            yield f"got '{name}', which is about a latent space, but the task has none; take it for task 'latent'"
        if place == "metrics.against_teacher" or place in to_teacher:
            yield f"got '{name}', which compares nothing with a teacher; name it in metrics.against_real"


def _has_pairs(task: Any) -> bool:
    """Return True if a task, given as in a recipe or as options, has a ground truth for each input."""
    try:
        return TASKS.parse(task).paired
    except ConfigError:
        return False  # which is reported elsewhere


def _holds_images(data: Any) -> bool:
    """Return True if data, given as in a recipe or as options, holds images."""
    try:
        return DATASETS.parse(data).holds_images
    except ConfigError:
        return True  # which is reported elsewhere


def _with_metric(step: Any, metric: str) -> Any:
    """Return a step as written in a recipe; if it is a search that names no metric, with this one."""
    given = {"kind": step} if isinstance(step, str) else step
    is_search = isinstance(given, Mapping) and given.get("kind") == Search.kind
    return {"metric": metric, **given} if is_search else step


def load_job(name: str, changes: Sequence[str] = (), *, train_teacher: bool = False, trust: Trust = True) -> Job:
    """Return a validated job.

    A recipe may build on another one: ``extends`` names it, and ``set`` maps options, as ``a.b``, to new values. Other
    options on the first level replace those of the extended recipe completely.

    Args:
        name: A recipe's name, or the path of a YAML file.
        changes: Options to set, as ``a.b=value``; numbers index lists (``steps.0.training.num_images=100``), and so do
            kinds (``steps.0.distillation.terms.gan.weight=0``).
        train_teacher: Train the teacher by the recipe, even if one is shipped.
        trust: Consent to import what the recipe names. The recipe that a user names is the user's own word; the job in
            a run directory is not. What ``changes`` name is always imported.

    Raises:
        TrustError: The recipe names code, or a TorchScript program, without consent.
        ConfigError: The recipe does not exist or is not YAML, or options do not fit, all of them in one line; or the
            recipe trains no teacher.
    """
    recipe = read_recipe(name)
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals:
            raise ConfigError(f"--set: got '{change}', expected OPTION=VALUE, such as seed=1")
        try:
            value = read_yaml(text)
        except ConfigError as error:
            raise ConfigError(f"--set: {path}: {error}, expected a YAML value behind '='") from None
        set_option(recipe, path, value, "--set")
    if train_teacher:
        set_option(recipe, "teacher.shipped", None, "--train-teacher")
    consent = trust if trust is True else {*(trust or ()), *re.findall(_IMPORT_PATH, " ".join(changes))}
    try:
        with importing_for(Path(name), consent):
            job = Job(**recipe)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    for program in filter(is_torchscript, map(Path, named_in(job))):
        check_consent(Path(name), str(program), consent)
    if train_teacher and job.teacher.train is None:
        raise ConfigError(f"{name}: got teacher.checkpoint, expected teacher.train: there is nothing to train")
    return job


def programs_in(job: Job) -> set[str]:
    """Return the import paths and the files of TorchScript that a job names."""
    return {text for text in named_in(job) if re.fullmatch(_IMPORT_PATH, text) or is_torchscript(Path(text))}


def named_in(job: Job) -> set[str]:
    """Return every text of a job: names, import paths and files among them."""
    found, waiting = set[str](), [job.model_dump(mode="json", exclude_defaults=True)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, Mapping):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
    return found
