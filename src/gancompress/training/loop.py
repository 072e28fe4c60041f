"""Training loop: steps of phases, with checkpoints, weight averages, logs and an exact resume."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from accelerate import Accelerator

from gancompress.errors import TrainingError
from gancompress.training.checkpoint import Checkpoints, Snapshot
from gancompress.training.layout import restore_image_convolutions
from gancompress.training.log import TrainingLog
from gancompress.training.objective import Batch, Objective
from gancompress.training.options import TrainingOptions
from gancompress.training.processes import asked_anywhere, latest_everywhere, naming_a_lost_process
from gancompress.training.state import TrainingState, Validate

if torch.distributed.is_available():
    import torch.distributed.nn  # before any process group is: default arguments there would keep it, and its threads

Loader = Callable[[int, int], Iterable[Batch]]
"""Takes the position to start from, in images over all processes, and this process's batch size; never ends."""


def fit(
    objective: Objective,
    options: TrainingOptions,
    loader: Loader,
    checkpoints: Checkpoints,
    accelerator: Accelerator,
    log: TrainingLog,
    *,
    preview_batch: Batch | None = None,
    validate: Validate | None = None,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train until the options' last image, from the newest checkpoint if there is one.

    The same call resumes: a step depends only on the state at its start, the seed and the number of images before it.

    Args:
        objective: The objective to train; its modules are moved to the accelerator's device and changed in place.
        options: Options of the training loop.
        loader: The training data.
        checkpoints: Checkpoints to resume from and save to.
        accelerator: Device and processes.
        log: Log of the run.
        preview_batch: The images of the sample grids; none are drawn without it.
        validate: Measures the generator for ``options.validate_every``, in the main process.
        seed: Seed of all random draws.
        stop: Called after every step; if it returns True, the state is saved and training ends early.

    Returns:
        Whether training reached its end. The objective's modules then hold the averaged weights, if averages are kept.

    Raises:
        TrainingError: The batch size does not divide among the processes, the newest checkpoint is that of another
            network, a loss or gradient is not finite, or another process has ended (`LostProcessError`); nothing of
            that step is saved.
    """
    per_process = _share_of_batch(options, accelerator)
    snapshot = latest_everywhere(checkpoints, accelerator)
    run = _begun(objective, options, accelerator, log, seed, snapshot, checkpoints)
    run.tell_progress()
    if run.num_images >= options.total_images:
        run.keep_averages()
        return True
    if validate is not None and options.validate_every and run.num_images == 0:
        run.measure(validate)
    try:
        with naming_a_lost_process(accelerator, lambda: f"after {run.num_images:,} images"):
            finished = _train(
                run, options, loader(run.num_images, per_process), checkpoints, preview_batch, validate, stop
            )
    finally:
        for module in (*objective.modules.values(), *objective.frozen.values()):
            restore_image_convolutions(module)
    if finished:
        run.keep_averages()
    return finished


def _begun(
    objective: Objective,
    options: TrainingOptions,
    accelerator: Accelerator,
    log: TrainingLog,
    seed: int,
    snapshot: Snapshot | None,
    checkpoints: Checkpoints,
) -> TrainingState:
    """Return a run at the state of a snapshot, or at its start without one."""
    try:
        if snapshot is not None:
            objective.take_shape(snapshot.facts["shape"])
        run = TrainingState(objective, options, accelerator, log, seed)
        run.restore(snapshot)
    except (LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        if snapshot is None:
            raise
        reason = (str(error).split("\n\t")[-1].strip() or type(error).__name__)[:160]
        raise TrainingError(
            f"{checkpoints.path(snapshot.num_images)}: got the checkpoint of another network ({reason}), expected that "
            f"of this run; delete {checkpoints.directory} to train from the start, or put the right files there"
        ) from None
    return run


def _train(
    run: TrainingState,
    options: TrainingOptions,
    batches: Iterable[Batch],
    checkpoints: Checkpoints,
    preview_batch: Batch | None,
    validate: Validate | None,
    stop: Callable[[], bool],
) -> bool:
    """Take steps until the last image or a stop request; return True if the last image was reached."""
    batches = iter(batches)
    while run.num_images < options.total_images:
        run.step(next(batches))
        run.tell_progress()
        finished = run.num_images >= options.total_images
        stopping = asked_anywhere(stop(), run.accelerator)
        measures = bool(options.validate_every) and (finished or run.passed(options.validate_every))
        if measures or finished or run.passed(options.log_every):
            run.report(validate if measures else None)
        if preview_batch is not None and (finished or (options.preview_every and run.passed(options.preview_every))):
            run.preview(preview_batch)
        if stopping or finished or run.passed(options.checkpoint_every):
            run.save(checkpoints)
        if stopping and not finished:
            return False
    return True


def _share_of_batch(options: TrainingOptions, accelerator: Accelerator) -> int:
    parts = accelerator.num_processes * options.micro_batches
    if options.batch_size % parts:
        raise TrainingError(
            f"batch_size: got {options.batch_size}, expected a multiple of {parts}, "
            f"for {accelerator.num_processes} processes with {options.micro_batches} micro-batches each"
        )
    return options.batch_size // accelerator.num_processes
