"""Evaluation of networks on batches."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.cost.measured import evaluation_mode
from gancompress.errors import ConfigError, nearest
from gancompress.methods.data import Batches, Data
from gancompress.networks.given import Given, call, tensors_in
from gancompress.networks.outputs import image_place, named_outputs
from gancompress.training import Batch

Metric = str | Callable[..., Any]
"""``psnr``, a function of (network, batches), or a function of the network's outputs."""


def evaluate(
    network: nn.Module,
    batches: Data,
    metrics: Mapping[str, Metric] | Metric = "psnr",
    *,
    teacher: nn.Module | None = None,
    max_images: int | None = None,
) -> dict[str, float]:
    """Measure a network.

    Args:
        network: Any module; unchanged after the call.
        batches: The data.
        metrics: One metric, or several by name. A function of two arguments gets (network, batches), the network in
            evaluation mode and the batches as dicts with ``input``; a function of one argument gets the outputs of a
            batch, and its values are averaged over the images. ``psnr`` compares the outputs with ``target``, or with
            those of the teacher.
        teacher: Network to compare with in ``psnr``.
        max_images: Images to measure; all by default.

    Returns:
        Value of each metric by name.

    Raises:
        ConfigError: There is no such metric, it returns no number, or ``psnr`` has nothing to compare with.
        DataError: There are no batches, or some are of an unknown kind.
    """
    given = Batches(batches, "batches")
    held = list(_first_images(given, max_images))
    named = metrics if isinstance(metrics, Mapping) else {_name_of(metrics): metrics}
    with evaluation_mode(network), torch.no_grad():
        return {name: _value(name, metric, network, held, teacher) for name, metric in named.items()}


def values_per_image(
    network: nn.Module, batches: Iterable[Batch], metric: Metric, *, max_images: int | None = None
) -> Tensor | None:
    """Return a metric of each image, float64 of shape ``(images,)``.

    Args:
        network: Any module; unchanged after the call.
        batches: Batches as dicts with ``input``.
        metric: The metric, as for `evaluate`.
        max_images: Images to measure; all by default.

    Returns:
        None unless the metric is a function of the outputs of a batch that returns one value for each image.
    """
    if isinstance(metric, str) or num_arguments(metric) == 2:
        return None
    found = []
    with evaluation_mode(network), torch.no_grad():
        for batch in _first_images(batches, max_images):
            values = metric(run(network, batch["input"]))
            if not isinstance(values, Tensor) or values.shape != (len(batch["input"]),):
                return None
            found.append(values.double().cpu())
    return torch.cat(found)


def run(network: nn.Module, inputs: Given) -> Tensor:
    """Return the main output of a network for a batch, on the CPU. Raises ConfigError as `outputs_of`."""
    outputs = list(outputs_of(network, inputs).values())
    return outputs[image_place(outputs)]


def outputs_of(network: nn.Module, inputs: Given) -> dict[str, Tensor]:
    """Return the outputs of a network for a batch by name, on the CPU.

    Raises:
        ConfigError: It returns no tensor.
    """
    device = next(network.parameters(), tensors_in(inputs)[0]).device
    made = call(network, inputs.to(device))
    outputs = {name: each.cpu() for name, each in named_outputs(made).items()}
    if not outputs:
        raise ConfigError(
            f"got a network that returns {type(made).__name__}, expected one that returns tensors; wrap it in a "
            "module that picks the output"
        )
    return outputs


def psnr_db(got: Iterable[Tensor], expected: Iterable[Tensor]) -> float:
    """Return the peak signal-to-noise ratio over all elements, in dB; the peak is the range of the expected values."""
    squares, count, low, high = 0.0, 0, math.inf, -math.inf
    for a, b in zip(got, expected, strict=True):
        squares += float((a.double() - b.double()).square().sum())
        count += b.numel()
        low, high = min(low, float(b.min())), max(high, float(b.max()))
    if not squares:
        return math.inf
    return 10 * math.log10(max(high - low, 1e-12) ** 2 * count / squares)


PAIR_METRICS: dict[str, Callable[[Iterable[Tensor], Iterable[Tensor]], float]] = {"psnr": psnr_db}
"""Metrics of outputs and expected outputs that have a name."""


def _first_images(batches: Iterable[Batch], max_images: int | None) -> Iterable[Batch]:
    left = math.inf if max_images is None else max_images
    for batch in batches:
        if left <= 0:
            return
        size = len(batch["input"])
        yield batch if size <= left else {key: value[: int(left)] for key, value in batch.items()}
        left -= size


def _value(name: str, metric: Metric, network: nn.Module, held: list[Batch], teacher: nn.Module | None) -> float:
    if isinstance(metric, str):
        if metric not in PAIR_METRICS:
            known = " or ".join(f"'{name}'" for name in PAIR_METRICS)
            raise ConfigError(
                f"metric: got '{metric}', expected {known} or a function; {nearest(metric, PAIR_METRICS)}"
            )
        return PAIR_METRICS[metric]([run(network, batch["input"]) for batch in held], _expected(held, teacher))
    if num_arguments(metric) == 2:
        return _number(name, metric(network, held))
    total, count = 0.0, 0
    for batch in held:
        value = metric(run(network, batch["input"]))
        size = len(batch["input"])
        total += size * _number(name, value.mean() if isinstance(value, Tensor) else value)
        count += size
    return total / count


def _expected(held: list[Batch], teacher: nn.Module | None) -> list[Tensor]:
    if teacher is not None:
        with evaluation_mode(teacher):
            return [run(teacher, batch["input"]) for batch in held]
    if any("target" not in batch for batch in held):
        raise ConfigError("psnr: got batches without 'target' and no teacher, expected one of them to compare with")
    return [batch["target"] for batch in held]


def num_arguments(metric: Callable[..., Any]) -> int:
    """Return the number of arguments that a metric takes: 2 for (network, batches), 1 for outputs.

    Raises:
        ConfigError: The metric takes another number.
    """
    try:
        parameters = inspect.signature(metric).parameters.values()
    except (TypeError, ValueError):
        return 1
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in plain if p.default is p.empty]
    number = len(required) or min(1, len(plain))
    if number not in (1, 2):
        raise ConfigError(f"metric: got a function of {number} arguments, expected (network, batches) or (outputs)")
    return number


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(f"metric: '{name}' returned {type(value).__name__}, expected a number") from None


def _name_of(metric: Metric) -> str:
    return metric if isinstance(metric, str) else getattr(metric, "__name__", "metric").strip("<>")
