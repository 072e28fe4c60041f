"""Compression in one call: prune to a budget, refit, distil, and measure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gancompress.channels.skeleton import copy_module
from gancompress.deploy import ExportReport
from gancompress.errors import ConfigError, DataError, RefitError
from gancompress.io import write_atomically
from gancompress.methods.budget import Budget
from gancompress.methods.compare import Comparison, compare
from gancompress.methods.data import Batches, Data, as_arguments, batch_size_of
from gancompress.methods.depth import Depth
from gancompress.methods.distill import AnyTerm, distill
from gancompress.methods.evaluate import Metric, evaluate
from gancompress.methods.export import export
from gancompress.methods.fold_branches import fold_branches
from gancompress.methods.pace import SHARE_OF_TIME, seconds_per_step, steps_in
from gancompress.methods.progress import Report
from gancompress.methods.prune import Score, prune
from gancompress.methods.save import save
from gancompress.networks.branches import said_of

PLAN_FILE = "compress.json"


@dataclass(frozen=True)
class Compressed:
    """The result of `gancompress.compress`.

    Attributes:
        module: The compressed network, in evaluation mode.
        table: Comparison of the original and the compressed network.
        metrics: Value of each metric by network: ``{"metric": {"teacher": .., "pruned": .., "student": ..}}``,
            without the teacher where it is compared with itself and has no finite value.
        notes: Notes on compression and measurement, one line each.
        images: Number of images trained on.
    """

    module: nn.Module = field(repr=False)
    table: Comparison
    metrics: Mapping[str, Mapping[str, float]]
    notes: Sequence[str]
    images: int
    _example: Tensor = field(repr=False)

    def report(self) -> str:
        """Return the comparison, the metrics and the notes as text."""
        lines = [str(self.table), ""]
        for name, values in self.metrics.items():
            lines.append(f"{name}: " + ", ".join(f"{network} {value:.4g}" for network, value in values.items()))
        return "\n".join([*lines, *self.notes])

    def __str__(self) -> str:
        return self.report()

    def _repr_html_(self) -> str:
        """Return the report as HTML for a notebook."""
        rest = self.report().removeprefix(str(self.table)).strip()
        return f"{self.table._repr_html_()}<pre>{escape(rest)}</pre>"

    def save(self, directory: str | Path) -> str:
        """Write the network with `gancompress.save`; returns the line of Python that loads it."""
        return save(self.module, directory)

    def export(self, path: str | Path, **options: Any) -> ExportReport:
        """Export the network to a file with `gancompress.export`, for inputs like those of the training data."""
        return export(self.module, self._example, path, **options)


def compress(
    network: nn.Module,
    data: Data,
    *,
    smaller: float | None = None,
    budget: Budget | None = None,
    minutes: float | None = None,
    images: int | None = None,
    metric: Mapping[str, Metric] | Metric = "psnr",
    validation: Data | None = None,
    terms: Sequence[AnyTerm] | None = None,
    score: Score = "l1_incoming",
    depth: Depth | None = None,
    multiple: int = 4,
    batch_size: int | None = None,
    lr: float = 5e-4,
    out: str | Path | None = None,
    progress: bool | Report = True,
    seed: int = 0,
    **training: Any,
) -> Compressed:
    """Make a network several times smaller: prune it to a budget, refit the remaining weights, and distil.

    Re-parameterised blocks are folded first, as `gancompress.fold_branches` does; the comparison is with that network.

    Args:
        network: Any module instance; it is not changed.
        data: Training batches, as for `gancompress.distill`.
        smaller: Times fewer MACs.
        budget: Any other budget, instead of ``smaller``.
        minutes: Time to train; the number of images follows from a short trial on this machine.
        images: Images to train on, instead of ``minutes``.
        metric: One metric or several by name, as for `gancompress.evaluate`; ``psnr`` compares with the network.
        validation: Batches for the metric; by default the first batch of the training data, which the report mentions.
        terms: Losses with their weights, as for `gancompress.distill`.
        score: Importance of channels, as for `gancompress.prune`.
        depth: Fraction of the residual blocks that stay, or "auto", as for `gancompress.prune`.
        multiple: Widths are multiples of this, or full.
        batch_size: Images of a step; that of the data by default.
        lr: Learning rate.
        out: Directory of the run; the same call resumes from it.
        progress: True shows the progress, False does not; or a function that is called with it.
        seed: Seed of random numbers.
        training: Further options of `gancompress.training.TrainingOptions`.

    Raises:
        ConfigError: Not exactly one of ``smaller`` and ``budget``, and of ``minutes`` and ``images``, is given; or
            `gancompress.distill` rejects an option.
        BudgetError: The narrowest network costs more than the budget.
        DataError: There are no batches, or some are of an unknown kind.
    """
    if (smaller is None) == (budget is None):
        raise ConfigError("compress: expected exactly one of smaller and budget, which say how small it becomes")
    if (minutes is None) == (images is None):
        raise ConfigError("compress: expected exactly one of minutes and images, which say how long it trains")
    if isinstance(data, Iterator):
        raise DataError(
            "loader: got an iterator, which can be read only once, expected data that can be read again; give a list, "
            "a DataLoader, or the function that makes the iterator"
        )
    budget = Budget(reduction=smaller) if budget is None else budget
    batches = Batches(data)
    example = batches.first["input"][:1]
    network, folded = fold_branches(network, as_arguments(batches.first["input"][:1], network))
    how = {"budget": budget, "score": score, "depth": depth, "multiple": multiple, "batches": data, "seed": seed}
    try:
        student = prune(network, example, refit=data, **how)
        notes = ["pruned to the budget, refitted by least squares, distilled"]
    except RefitError as error:
        student = prune(network, example, **how)
        notes = [f"pruned to the budget, distilled; not refitted: {error}"]
    notes += [said_of(folded)] if folded else []
    pruned = copy_module(student)
    options = {"terms": terms, "batch_size": batch_size, "lr": lr, "seed": seed, **training}
    if images is None:
        assert minutes is not None
        images = _images_in(minutes, student, network, batches, options, None if out is None else Path(out))
    result = distill(student, network, data, images=images, out=out, progress=progress, **options)
    held = list(Batches(validation, "validation")) if validation is not None else [batches.first]
    if validation is None:
        notes.append("metrics are those of the first training batch; give validation batches to measure others")
    metrics: dict[str, dict[str, float]] = {}
    for name, each in {"teacher": network, "pruned": pruned, "student": result.module}.items():
        for key, value in evaluate(each, held, metric, teacher=network).items():
            if math.isfinite(value) or each is not network:
                metrics.setdefault(key, {})[name] = value
    table = compare(network, result.module, example, batches=[batch["input"] for batch in held])
    return Compressed(result.module, table, metrics, (*notes, f"trained on {result.images:,} images"), images, example)


def _images_in(
    minutes: float,
    student: nn.Module,
    network: nn.Module,
    batches: Batches,
    options: Mapping[str, Any],
    out: Path | None,
) -> int:
    """Return the number of images that can be trained on in some minutes; a resumed run keeps its number."""
    if out is not None and (out / PLAN_FILE).is_file():
        return int(json.loads((out / PLAN_FILE).read_bytes())["images"])
    size = options["batch_size"] or batch_size_of(batches)
    others = {name: value for name, value in options.items() if name != "batch_size"}
    step_s = seconds_per_step(student, network, batches.first, size, others)
    kept_s, num_first, num_inputs = None, 0, batches.num_images
    if batches.repeats and num_inputs is not None:
        kept_s, num_first = (
            seconds_per_step(student, network, batches.first, size, others, num_kept=num_inputs),
            -(-num_inputs // size),
        )
    images = steps_in(SHARE_OF_TIME * 60 * minutes, step_s, kept_s, num_first) * size
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / PLAN_FILE, json.dumps({"images": images, "minutes": minutes}).encode())
    return images
