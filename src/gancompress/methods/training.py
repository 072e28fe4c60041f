"""Training of an objective: on the data of a recipe's task, or on a caller's own batches with exact resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from gancompress.channels.skeleton import named_tensors
from gancompress.errors import ConfigError
from gancompress.io import write_atomically
from gancompress.io.json_files import read_object
from gancompress.io.lock import locked
from gancompress.methods.data import Batches
from gancompress.methods.loss_records import LOSSES_FILE, read_losses
from gancompress.methods.own_data import OwnData
from gancompress.methods.progress import MethodLog, Report, reporting
from gancompress.methods.teacher_trial import Repeats
from gancompress.networks.given import Given
from gancompress.objectives.teacher_cache import TeacherCacheOptions, digests
from gancompress.tasks.task import Task
from gancompress.training import IMITATION_BETAS, Batch, Loader, Objective, Run, TrainingOptions
from gancompress.training.options import OptimizerOptions

RUN_FILE = "run.json"


@dataclass(frozen=True)
class TrainingData:
    """Batches that a network is trained on.

    Attributes:
        task: Meaning of a batch.
        loader: The batches.
        example: One input of the networks.
        preview: Batch of the sample grids; none are drawn without it.
        repeats: Repetition of the inputs, for the cache of the teacher's outputs; None keeps no outputs.
    """

    task: Task
    loader: Loader
    example: Given
    preview: Batch | None = None
    repeats: Repeats | None = None


def training_options(
    images: int, batch_size: int, lr: float, given: Mapping[str, Any], *, adversarial: bool = True
) -> TrainingOptions:
    """Return options of the training loop; intervals of logs and checkpoints depend on the number of images by default.

    Args:
        images: Images to train on.
        batch_size: Images of a step.
        lr: Learning rate of Adam.
        given: Further options.
        adversarial: Whether a discriminator is trained, too; without one Adam gets `IMITATION_BETAS`.

    Raises:
        ConfigError: An option is unknown or does not fit.
    """
    optimizer = OptimizerOptions(learning_rate=lr)
    if not adversarial:
        optimizer = optimizer.model_copy(update={"betas": IMITATION_BETAS})
    return TrainingOptions(
        **{
            "num_images": images,
            "batch_size": batch_size,
            "optimizer": optimizer,
            "log_every": max(1, images // 50),
            "checkpoint_every": max(1, min(10_000, images // 10)),
            "preview_every": 0,
            **given,
        }
    )


def described_training(options: TrainingOptions, exclude: set[str]) -> dict[str, Any]:
    """Return options of the training loop that a run keeps when it is resumed, as plain values.

    Args:
        options: The options.
        exclude: Names of those that may change. A warmup of no images is left out, as in runs before there was one.
    """
    unused = set() if options.num_warmup_images else {"num_warmup_images"}
    return options.model_dump(mode="json", exclude=exclude | unused)


def cache_options(given: TeacherCacheOptions | Mapping[str, Any] | None) -> TeacherCacheOptions:
    """Return options of the cache of the teacher's outputs. Raises ConfigError if one is unknown or does not fit."""
    return given if isinstance(given, TeacherCacheOptions) else TeacherCacheOptions(**(given or {}))


@dataclass(frozen=True, kw_only=True)
class OwnRun(Run):
    """Training run on a caller's batches.

    Attributes:
        log: Log that keeps the losses.
        batches: The training data.
        described: Everything that must stay the same when the run is resumed; None if nothing is saved.
    """

    log: MethodLog
    batches: Batches
    described: Mapping[str, Any] | None

    def data(self, teacher_cache: TeacherCacheOptions) -> TrainingData:
        """Return the batches for the training loop; outputs of a teacher are kept on disk if the run is saved."""
        first, example = self.batches.first, self.batches.first["input"][:1]
        repeats = Repeats(
            teacher_cache,
            num_images=self.batches.num_images,
            num_views=1 if self.batches.repeats else None,
            first=lambda: {"input": example},
            cycled=lambda copies: partial(self._load, copies=copies),
            folder=None if self.described is None else self.directory / "teacher_outputs",
            data=f"{digests(example)} {self.seed}",
        )
        return TrainingData(OwnData("own", paired="target" in first), self._load, example, repeats=repeats)

    @property
    def losses(self) -> list[dict[str, float]]:
        """Mean losses by name with ``num_images``, in order, including those before the run was resumed."""
        if not (self.directory / LOSSES_FILE).is_file():
            return self.log.losses_seen
        return [{"num_images": line["num_images"], **line["losses"]} for line in read_losses(self.directory)]

    def fit(
        self, objective: Objective, options: TrainingOptions, loader: Loader, preview_batch: Batch | None = None
    ) -> bool:
        """Train as `Run.fit`. Raises ConfigError if the directory holds another run."""
        if self.described is None:
            return super().fit(objective, options, loader, preview_batch)
        with locked(self.directory):
            _claim(self.directory, self.described)
            return super().fit(objective, options, loader, preview_batch)

    def _load(self, start: int, batch_size: int, copies: int | None = None) -> Iterable[Batch]:
        first = self.accelerator.process_index * batch_size
        for batch in self.batches.stream(start, batch_size * self.accelerator.num_processes, self.seed, copies):
            yield {key: value[first : first + batch_size] for key, value in batch.items()}


@contextmanager
def own_run(
    method: str,
    batches: Batches,
    *,
    described: Mapping[str, Any],
    out: str | Path | None,
    progress: bool | Report,
    stop: Callable[[], bool] | None,
    seed: int,
) -> Iterator[OwnRun]:
    """Open a run on a caller's batches; random numbers drawn in it do not affect the caller's.

    Args:
        method: Name of the method, for the progress.
        batches: The training data.
        described: Everything that must stay the same when a run is resumed.
        out: Directory of the run; by default nothing is saved.
        progress: True shows the progress, False does not; or a function that is called with it.
        stop: Called after every step; when it returns True the state is saved and training ends early.
        seed: Seed of random numbers.
    """
    saved = None if out is None else Path(out)
    with _directory(saved) as directory, reporting(method, progress, saved) as log, torch.random.fork_rng():
        yield OwnRun(
            directory=directory,
            log=log,
            accelerator=Accelerator(),
            seed=seed,
            stop=stop or _never,
            batches=batches,
            described=None if saved is None else {"method": method, **described},
        )


@contextmanager
def restored(*networks: nn.Module) -> Iterator[None]:
    """Restore devices, training modes and gradient flags of networks afterwards."""
    devices = [next((p.device for p in network.parameters()), torch.device("cpu")) for network in networks]
    modes = [{module: module.training for module in network.modules()} for network in networks]
    flags = [{p: p.requires_grad for p in network.parameters()} for network in networks]
    try:
        yield
    finally:
        for network, device, mode, flag in zip(networks, devices, modes, flags, strict=True):
            network.to(device)
            for module, training in mode.items():
                module.training = training
            for parameter, wanted in flag.items():
                parameter.requires_grad_(wanted)


def digest_of(network: nn.Module) -> str:
    """Return a digest of the weights of a network."""
    digest = sha256()
    for name, tensor in named_tensors(network).items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def shape_of(network: nn.Module) -> str:
    """Return a digest of the names and shapes of the tensors of a network."""
    shapes = [(name, str(tensor.dtype), tuple(tensor.shape)) for name, tensor in named_tensors(network).items()]
    return sha256(repr(shapes).encode()).hexdigest()[:16]


def _never() -> bool:
    return False


@contextmanager
def _directory(out: Path | None) -> Iterator[Path]:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        yield out
        return
    with TemporaryDirectory() as folder:
        yield Path(folder)


def _claim(directory: Path, described: Mapping[str, Any]) -> None:
    """Write the description of the run, or compare it with the existing one.

    Raises:
        ConfigError: The directory holds another run.
    """
    path = directory / RUN_FILE
    wanted = json.loads(json.dumps(described, sort_keys=True, default=str))
    if not path.is_file():
        write_atomically(path, json.dumps(wanted, indent=1).encode())
        return
    held = read_object(path) or {}
    other = [name for name in {**held, **wanted} if held.get(name) != wanted.get(name)]
    if other:
        name = other[0]
        raise ConfigError(
            f"out: {directory} holds another run ({name}: {held.get(name)}, now {wanted.get(name)}); give another "
            "directory, or delete this one"
        )
