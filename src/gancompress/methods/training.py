"""Training of an objective on a caller's batches: progress, losses, exact resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
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
from gancompress.methods.data import Batches
from gancompress.methods.progress import LOSSES_FILE, MethodLog, Report, reporting
from gancompress.training import Batch, Checkpoints, Objective, TrainingOptions, fit
from gancompress.training.options import OptimizerOptions

RUN_FILE = "run.json"


def training_options(images: int, batch_size: int, lr: float, given: Mapping[str, Any]) -> TrainingOptions:
    """Return options of the training loop; intervals of logs and checkpoints depend on the number of images by default.

    Raises:
        ConfigError: An option is unknown or does not fit.
    """
    return TrainingOptions(
        **{
            "num_images": images,
            "batch_size": batch_size,
            "optimizer": OptimizerOptions(learning_rate=lr),
            "log_every": max(1, images // 50),
            "checkpoint_every": max(1, min(10_000, images // 10)),
            "preview_every": 0,
            **given,
        }
    )


def train(
    method: str,
    objective: Objective,
    options: TrainingOptions,
    batches: Batches,
    *,
    described: Mapping[str, Any],
    out: str | Path | None,
    progress: bool | Report,
    stop: Callable[[], bool] | None,
    seed: int,
) -> tuple[bool, list[dict[str, float]]]:
    """Train an objective; resumes from the newest checkpoint in ``out`` if there is one.

    Args:
        method: Name of the method, for the progress.
        objective: Objective to train.
        options: Options of the training loop.
        batches: The training data.
        described: Everything that must stay the same when a run is resumed.
        out: Directory of the run; by default nothing is saved.
        progress: True shows the progress, False does not; or a function that is called with it.
        stop: Called after every step; when it returns True the state is saved and training ends early.
        seed: Seed of random numbers.

    Returns:
        Whether training reached its end, and the mean losses by name.

    Raises:
        ConfigError: ``out`` holds another run.
        TrainingError: A loss or gradient is not finite.
    """
    accelerator = Accelerator()

    def load(start: int, per_process: int) -> Iterable[Batch]:
        first = accelerator.process_index * per_process
        for batch in batches.stream(start, per_process * accelerator.num_processes, seed):
            yield {key: value[first : first + per_process] for key, value in batch.items()}

    with _directory(out) as directory, reporting(method, progress, None if out is None else directory) as log:
        if out is not None:
            _claim(directory, {"method": method, **described})
        finished = fit(
            objective,
            options,
            load,
            Checkpoints(directory / "checkpoints"),
            accelerator,
            log,
            seed=seed,
            stop=stop or _never,
        )
        return finished, _losses(log, directory)


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
def _directory(out: str | Path | None) -> Iterator[Path]:
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        yield Path(out)
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
    try:
        held = json.loads(path.read_bytes())
    except ValueError:
        held = {}
    other = [name for name in {**held, **wanted} if held.get(name) != wanted.get(name)]
    if other:
        name = other[0]
        raise ConfigError(
            f"out: {directory} holds another run ({name}: {held.get(name)}, now {wanted.get(name)}); give another "
            "directory, or delete this one"
        )


def _losses(log: MethodLog, directory: Path) -> list[dict[str, float]]:
    """Return all losses of a run, including those before it was resumed."""
    path = directory / LOSSES_FILE
    if not path.is_file():
        return log.losses_seen
    whole = path.read_text().rpartition("\n")[0].splitlines()
    lines = {line["num_images"]: line for line in map(json.loads, whole)}
    return [{"num_images": number, **lines[number]["losses"]} for number in sorted(lines)]
