"""Description of a job, validated: the network to compress, the data, the steps and the budget."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from gancompress.data import DATASETS, AnyData, Classes
from gancompress.deploy import (
    DEFAULT_MIN_PSNR_DB,
    MIN_IMAGES,
    Format,
    file_name,
    find_format,
    known_formats,
)
from gancompress.deploy.benchmark import ALL, timed_formats
from gancompress.deploy.rewrites import REWRITES
from gancompress.errors import ConfigError, MetricError, nearest
from gancompress.evaluation import LatentMetric, PairMetric, SetMetric, find_metric
from gancompress.evaluation.options import MetricOptions
from gancompress.jobs.steps import STEPS, AnyStep, Search
from gancompress.jobs.steps.teacher import TrainTeacher
from gancompress.methods.budget import Budget
from gancompress.networks.image_options import ImageOptions
from gancompress.options import Options, as_tuple
from gancompress.recipes.shipped import ShippedTeacher
from gancompress.tasks import TASKS, AnyTask, LatentOptions, TaskOptions, find_task
from gancompress.tasks.inputs import Inputs

TENSOR_METRICS = ("snr", "relative_error")
"""Default metrics against the teacher for data that holds no images."""


def _without_kind(options: Any) -> Any:
    """Return the options of a step without the ``kind`` that the step's name already gives."""
    return {k: v for k, v in options.items() if k != "kind"} if isinstance(options, Mapping) else options


def _file_format(name: str) -> str:
    """Raise an error for a format that files cannot be written in."""
    try:
        _, kind = find_format(name)
    except ConfigError as error:
        raise ValueError(str(error).removeprefix("format: ")) from error
    if kind.page:
        raise ValueError(f"got '{name}', which is a page, expected one of {', '.join(known_formats())}")
    return name


class TeacherOptions(ImageOptions):
    """The network to compress: read from a checkpoint, shipped with this package, or trained first.

    Attributes:
        checkpoint: A file or directory of weights.
        family: Family of the checkpoint, if its tensors do not identify it.
        config: Options of that family, or arguments of its class, if the tensors do not tell them.
        discriminator: A file or directory of the discriminator that was trained with it, for steps to inherit.
        shipped: A teacher that is part of this package.
        train: Training of a teacher. Beside ``shipped`` it documents how that one was trained, and is not run.
    """

    checkpoint: str | None = None
    family: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    discriminator: str | None = None
    shipped: ShippedTeacher | None = None
    train: Annotated[TrainTeacher | None, BeforeValidator(_without_kind)] = None

    @property
    def training(self) -> TrainTeacher | None:
        """The training step at the start of a run; None if the teacher exists already."""
        return self.train if self.shipped is None else None

    @model_validator(mode="after")
    def _one_source(self) -> TeacherOptions:
        if (self.checkpoint is None) == (self.train is None and self.shipped is None):
            raise ValueError(
                "got both or none of 'checkpoint' and 'train', expected one of them ('train' maybe with 'shipped')"
            )
        return self

    @model_validator(mode="after")
    def _shipped_was_trained_so(self) -> TeacherOptions:
        if self.shipped is None or self.train is None:
            return self
        if self.train.model_dump(mode="json", exclude_defaults=True) != self.shipped.training:
            raise ValueError(
                f"train: got another training than that of the shipped teacher '{self.shipped.name}', which is used; "
                "train with --train-teacher, or leave the training as it is"
            )
        return self


_Rewrite = Annotated[str, AfterValidator(REWRITES.known)]


class ExportOptions(Options):
    """Options of an exported file.

    Attributes:
        format: A name in `gancompress.deploy.known_formats`, or the import path of a `gancompress.deploy.Runtime`.
        rewrites: Exact rewrites of the network for its runtime; by default those that were measured to help.
        precision: Precision of the file; by default float32, or for a quantized network integers, as it was trained.
            ``int8`` is the form that its runtime computes fastest, its ranges from training images; ``fastest`` is the
            precision that its runtime computes fastest on this machine, found by timing.
        min_psnr_db: For ``int8``: layers stay float until the images are so close to those of the float network; 0
            accepts any distance. For ``fastest``: the required closeness of a file.
        threads: For ``fastest``: threads of the runtime; the runtime's own default if not set.
        opset: Opset of an ONNX file, 11 or newer; the exporter's own by default.
        num_images: Training images: ``int8`` is calibrated on three quarters of them; on the others, files of every
            precision are compared with the float network.
        if_installed: Skip the file if a package that its format needs is not installed, instead of refusing the job.
    """

    format: Annotated[str, AfterValidator(_file_format)] = "onnx"
    rewrites: Annotated[
        tuple[Annotated[str, AfterValidator(REWRITES.known)], ...] | None, BeforeValidator(as_tuple)
    ] = None
    precision: str | None = None
    min_psnr_db: Annotated[float, Field(ge=0)] = DEFAULT_MIN_PSNR_DB
    threads: Annotated[int, Field(ge=1)] | None = None
    opset: Annotated[int, Field(ge=11)] | None = None
    num_images: Annotated[int, Field(ge=MIN_IMAGES)] = 64
    if_installed: bool = False

    @model_validator(mode="after")
    def _precision_fits(self) -> ExportOptions:
        kind = self.kind
        known = (*kind.precisions, *(["fastest"] if kind.name in timed_formats() else []))
        if self.precision is not None and self.precision not in known:
            raise ValueError(f"precision: got {self.precision} for {self.format}, expected {' or '.join(known)}")
        if self.min_psnr_db != DEFAULT_MIN_PSNR_DB and not self.calibrates:
            raise ValueError("min_psnr_db: got it without precision int8 or fastest, expected one of the two")
        if self.threads is not None and self.precision != "fastest":
            raise ValueError("threads: got it without precision fastest, expected that; no other precision is timed")
        if self.rewrites is not None and self.precision == "fastest":
            raise ValueError("rewrites: got some with precision fastest, which chooses them itself; remove them")
        if self.opset is not None and not kind.opsets:
            raise ValueError(f"opset: got {self.opset} for {self.format}, expected none: only ONNX has opsets")
        return self

    @property
    def kind(self) -> Format:
        """Format of the file."""
        return find_format(self.format)[1]

    @property
    def calibrates(self) -> bool:
        """True if its images also determine ranges and choices, not only the final comparison."""
        return self.precision == "fastest" or self.kind.calibrates(self.precision)


def _expanded(options: Any, *, quantized: bool) -> Any:
    """Expand a format's name to a format with its options, and the format ``all`` to every format and precision."""
    parsed = as_tuple(options)
    if not isinstance(parsed, tuple):
        return parsed
    entries = [{"format": each} if isinstance(each, str) else each for each in parsed]
    every = [isinstance(entry, dict) and entry.get("format") == ALL for entry in entries]
    files = [_every_file(entry, quantized) if whole else [entry] for entry, whole in zip(entries, every, strict=True)]
    return tuple(each for some in files for each in some)


def _every_file(options: dict[str, Any], quantized: bool) -> Iterator[dict[str, Any]]:
    wanted, min_psnr_db = options.get("precision", ALL), options.get("min_psnr_db", DEFAULT_MIN_PSNR_DB)
    for name, kind in known_formats().items():
        for precision in kind.precisions if wanted == ALL else {wanted} & set(kind.precisions):
            calibrates = kind.calibrates(precision)
            if quantized and not calibrates and not (kind.stores_trained_integers and precision == "fp32"):
                continue  # the network was trained in integers
            own = {"format": name, "precision": None if precision == "fp32" else precision, "if_installed": True}
            own |= {} if kind.opsets else {"opset": None}
            yield {**options, **own, "min_psnr_db": min_psnr_db if calibrates else DEFAULT_MIN_PSNR_DB}


class Job(Options):
    """A compression job.

    Attributes:
        name: Name of its run directory.
        seed: Seed of all random draws.
        task: Task of the generator: a kind of task, or one with options.
        data: The data set, with splits ``train``, ``search`` and ``test``.
        teacher: The network to compress.
        budget: Budget of the compressed network.
        steps: Steps of the job, in order.
        metrics: Metrics of teacher and compressed network, on ``test``.
        exports: The files to write: formats, or formats with options; ``all`` for every format and precision whose
            packages are installed.
        num_workers: Processes that decode images.
    """

    name: str
    seed: Annotated[int, Field(ge=0)] = 0
    task: AnyTask
    data: AnyData
    teacher: TeacherOptions
    budget: Budget | None = None
    steps: Annotated[tuple[AnyStep, ...], BeforeValidator(as_tuple), Field(min_length=1)]
    metrics: MetricOptions = MetricOptions()
    exports: tuple[ExportOptions, ...] = (ExportOptions(),)
    num_workers: Annotated[int, Field(ge=0)] = 0

    @field_validator("exports", mode="before")
    @classmethod
    def _every_export(cls, options: Any, info: ValidationInfo) -> Any:
        return _expanded(options, quantized=any(step.quantizes for step in info.data.get("steps", ())))

    def inputs(self) -> Inputs:
        """Return the images of the data, prepared for the task."""
        return Inputs(find_task(self.task, self.data), self.data, self.num_workers)

    @model_validator(mode="before")
    @classmethod
    def _default_metrics_fit(cls, options: Any) -> Any:
        """Drop the default metrics against real images if the task has no pairs, and those of images for tensors."""
        if not isinstance(options, dict) or options.get("task") is None:
            return options
        defaults = {} if _has_pairs(options["task"]) else {"against_real": []}
        if not _holds_images(options.get("data")):
            defaults["against_teacher"] = list(TENSOR_METRICS)
        metrics = options.get("metrics") or {}
        return {**options, "metrics": {**defaults, **metrics}} if defaults and isinstance(metrics, dict) else options

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
    def _steps_follow(self) -> Job:
        quantized = False
        for number, step in enumerate(self.steps):
            if quantized and not step.takes_quantized:
                fitting = " or ".join(sorted(kind for kind, other in STEPS.items() if other.takes_quantized))
                raise ValueError(
                    f"steps.{number}: got '{step.kind}' behind a step that quantizes, expected {fitting}; quantize last"
                )
            quantized = quantized or step.quantizes
        for number, export in enumerate(self.exports):
            if quantized and export.precision == "fastest":
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
        if self.budget is not None and self.budget.latency_ms is not None:
            for number, step in enumerate(self.steps):
                if step.uses_budget and not step.takes_latency:
                    fitting = ", ".join(sorted(kind for kind, other in STEPS.items() if other.takes_latency))
                    raise ValueError(
                        f"steps.{number}: got '{step.kind}' with a budget in latency_ms, which it cannot count in; "
                        f"give macs, parameters or bytes, or take a step that can: {fitting}"
                    )
                if step.uses_budget and step.quantizes:
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
    kind = type(task) if isinstance(task, TaskOptions) else task.get("kind") if isinstance(task, Mapping) else task
    try:
        return (kind if isinstance(kind, type) else TASKS.find(kind)).paired
    except ConfigError:
        return False  # which is reported elsewhere


def _holds_images(data: Any) -> bool:
    """Return True if data, given as in a recipe or as options, holds images."""
    try:
        return DATASETS.parse(data).holds_images
    except ConfigError:
        return True  # which is reported elsewhere


class _Loader(yaml.SafeLoader):
    """YAML loader that reads ``2e-4`` as a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def recipe_names() -> list[str]:
    """Return the names of the recipes of this package."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in files("gancompress.recipes").iterdir()
        if entry.name.endswith(".yaml")
    )


def recipe_text(name: str) -> str:
    """Return a complete recipe: one of this package by name, or a file by path, with its ``extends`` resolved.

    Raises:
        ConfigError: There is no such recipe or file, or it is not a recipe.
    """
    text = _written(name)
    recipe = _read(name)
    if recipe == yaml.load(text, _Loader):
        return text
    comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    return comments + yaml.safe_dump(recipe, sort_keys=False, width=120)


def _written(name: str) -> str:
    if name in recipe_names():
        return (files("gancompress.recipes") / f"{name}.yaml").read_text("utf-8")
    path = Path(name)
    if not path.is_file():
        raise ConfigError(f"recipe: got '{name}', expected a file or a recipe's name; {nearest(name, recipe_names())}")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: got a file that is no text, expected a recipe (YAML)") from None


def _read(name: str, extended_by: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the options of a recipe; if it extends another one, the other one's with its own changes."""
    if name in extended_by:
        raise ConfigError(f"{name}: extends itself, by way of {', '.join(extended_by)}")
    try:
        recipe = _unshared(yaml.load(_written(name), _Loader))
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML ({' '.join(str(error).split())}), expected a recipe") from None
    if not isinstance(recipe, dict) or not all(isinstance(key, str) for key in recipe):
        raise ConfigError(f"{name}: got a {type(recipe).__name__}, expected a recipe: a mapping of named options")
    if "extends" not in recipe:
        return recipe
    changes = recipe.pop("set", None) or {}
    if not isinstance(changes, dict):
        raise ConfigError(f"{name}: set: got a {type(changes).__name__}, expected a mapping, such as seed: 1")
    base = str(recipe.pop("extends"))
    beside = Path(name).parent / base
    base = _read(str(beside) if beside.is_file() else base, (*extended_by, name))
    recipe = {**base, **recipe}
    for path, value in changes.items():
        _set(recipe, str(path), value, f"{name}: set")
    return recipe


def load_job(name: str, changes: Sequence[str] = (), *, train_teacher: bool = False) -> Job:
    """Return a validated job.

    A recipe may build on another one: ``extends`` names it, and ``set`` maps options, as ``a.b``, to new values. Other
    options on the first level replace those of the extended recipe completely.

    Args:
        name: A recipe's name, or the path of a YAML file.
        changes: Options to set, as ``a.b=value``; numbers index lists (``steps.0.training.num_images=100``), and so do
            kinds (``steps.0.distillation.terms.gan.weight=0``).
        train_teacher: Train the teacher by the recipe, even if one is shipped.

    Raises:
        ConfigError: The recipe does not exist or is not YAML, or options do not fit, all of them in one line; or the
            recipe trains no teacher.
    """
    recipe = _read(name)
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals:
            raise ConfigError(f"--set: got '{change}', expected OPTION=VALUE, such as seed=1")
        try:
            _set(recipe, path, yaml.load(text, _Loader), "--set")
        except yaml.YAMLError:
            raise ConfigError(f"--set: got '{change}', expected a YAML value behind '='") from None
    if train_teacher:
        _set(recipe, "teacher.shipped", None, "--train-teacher")
    try:
        job = Job(**recipe)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    if train_teacher and job.teacher.train is None:
        raise ConfigError(f"{name}: got teacher.checkpoint, expected teacher.train: there is nothing to train")
    return job


def _unshared(value: Any) -> Any:
    """Return the value without shared references, so that a change in one place does not affect others."""
    if isinstance(value, dict):
        return {key: _unshared(each) for key, each in value.items()}
    return [_unshared(each) for each in value] if isinstance(value, list) else value


def _set(recipe: dict[str, Any], path: str, value: Any, where: str) -> None:
    *parents, last = path.split(".")
    place: Any = recipe
    try:
        for key in parents:
            place = place[_index(place, key)] if isinstance(place, list) else place.setdefault(key, {})
        if isinstance(place, list):
            if not last.isdigit():
                value = {"kind": last, **value}
            number = _index(place, last)
            place[number : number + 1] = [value]  # one place behind the last one appends
        else:
            place[last] = value
    except (IndexError, ValueError, TypeError, AttributeError):
        raise ConfigError(f"{where}: got '{path}', but the recipe has no such place") from None


def _index(place: Sequence[Any], key: str) -> int:
    """Return the index of a list's item, given by a number or the item's kind; the end of the list if there is none."""
    if key.isdigit():
        return int(key)
    kinds = [each.get("kind") if isinstance(each, Mapping) else each for each in place]
    return kinds.index(key) if key in kinds else len(place)
