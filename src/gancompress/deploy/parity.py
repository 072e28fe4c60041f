"""Comparison of an exported file with the network in eager."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.deploy.axes import Inputs
from gancompress.deploy.memory import give_back_mapped
from gancompress.deploy.rewrites import Change
from gancompress.deploy.runtimes.packages import in_a_line
from gancompress.deploy.side_effects import difference_of_runs
from gancompress.errors import ExportError
from gancompress.networks.outputs import named_outputs

PerceptualDistance = Callable[[Tensor, Tensor], Tensor]
"""Function from two batches of images [b, c, h, w] in [-1, 1] to a distance for each pair, [b]."""

DEFAULT_TOLERANCE = 1e-3
"""An eighth of the step of an 8-bit image in [-1, 1]."""


@dataclass(frozen=True)
class ParityCase:
    """One comparison of a file with eager.

    Attributes:
        input_shapes: The shape of each input.
        max_abs: The largest absolute difference over all elements of all outputs.
        mean_abs: The mean absolute difference over the same.
    """

    input_shapes: tuple[tuple[int, ...], ...]
    max_abs: float
    mean_abs: float


@dataclass(frozen=True)
class Quality:
    """Distance of a file from the float network, on held-out images.

    Attributes:
        psnr_db: Peak signal-to-noise ratio of its images in [-1, 1]; infinite if there is no difference.
        mean_abs: Mean absolute difference.
        num_images: Number of images it was measured on.
        perceptual: Perceptual distance, mean over the images; None if no distance was given.
    """

    psnr_db: float
    mean_abs: float
    num_images: int
    perceptual: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """Exported file, and its differences from eager.

    Attributes:
        path: The file.
        format: Name of its format.
        file_bytes: Its size, including that of a file of weights beside it.
        cases: The example first, then one case for each other size. A file of integers is compared with the network
            that rounds as it does. Empty if nothing was compared.
        rewrites: Changes for the runtime.
        precision: Name of the `ComputeType` that it computes in.
        quality: Distance from the float network on images like those that it will see, if any were given.
        float_layers: Layers that stayed float in a file of integers, or whose operators did in one of half precision.
        not_compared: Reason that the file was not compared; None if it was.
        note: A fact about the file that its runtime states, such as "opset 18".
    """

    path: Path
    format: str
    file_bytes: int
    cases: tuple[ParityCase, ...]
    rewrites: tuple[Change, ...] = field(default=())
    precision: str = "fp32"
    quality: Quality | None = None
    float_layers: tuple[str, ...] = ()
    not_compared: str | None = None
    note: str | None = None

    @property
    def max_difference(self) -> float | None:
        """Largest absolute difference over all cases; None if nothing was compared."""
        return max((case.max_abs for case in self.cases), default=None)


def compare(
    module: nn.Module,
    run: Callable[[Inputs], list[Tensor]],
    inputs: Inputs,
    tolerance: float,
    what: str,
    mean_tolerance: float = math.inf,
) -> ParityCase:
    """Run the network and the file on the same inputs, and compare their outputs.

    Args:
        module: The network, in evaluation mode.
        run: Function that runs the file.
        inputs: Inputs of both.
        tolerance: The largest absolute difference allowed for any element of an output with values in [-1, 1]; it
            grows in proportion with the largest value of other outputs.
        what: Beginning of messages, such as "ONNX export of Net".
        mean_tolerance: The largest mean absolute difference allowed, for networks that round.

    Raises:
        ExportError: One of them does not run, or they differ by more than a tolerance.
    """
    shapes = tuple(tuple(tensor.shape) for tensor in inputs)
    where = f"with inputs {', '.join(map(str, shapes))}"
    outputs, got = _run_both(module, run, inputs, what, where)
    expected = list(outputs.values())
    if [output.shape for output in got] != [output.shape for output in expected]:
        raise ExportError(
            f"{what}: the file returns shapes {[tuple(output.shape) for output in got]} {where}, "
            f"eager {[tuple(output.shape) for output in expected]}"
        )
    differences = [_difference(a, b) for a, b in zip(got, expected, strict=True)]
    for index, (name, difference) in enumerate(zip(outputs, differences, strict=True)):
        allowed = tolerance * max(1.0, float(expected[index].abs().max())) if difference.numel() else tolerance
        if not bool((difference <= allowed).all()):
            place = tuple(int(i) for i in torch.unravel_index(difference.argmax(), difference.shape))
            raise ExportError(
                f"{what}: {name} is {difference[place]:.2g} from eager at {list(place)} {where} "
                f"(eager {expected[index][place]:.6g}, file {got[index][place]:.6g}); the tolerance is {allowed:.2g}"
                f"{_own_difference(module, inputs)}"
            )
    number = sum(difference.numel() for difference in differences)
    mean = sum(float(difference.sum(dtype=torch.float64)) for difference in differences) / number
    if mean > mean_tolerance:
        raise ExportError(
            f"{what}: the file is {mean:.2g} from eager in the mean, expected at most "
            f"{mean_tolerance:.2g}, as far as rounding moves the image, {where}; the example may lie outside the "
            "ranges: give one like those that the network was calibrated on"
        )
    return ParityCase(shapes, max(float(each.max()) for each in differences if each.numel()), mean)


def _run_both(
    module: nn.Module, run: Callable[[Inputs], list[Tensor]], inputs: Inputs, what: str, where: str
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Return the network's outputs by name, and those of the file. Raises ExportError if one of them does not run."""
    try:
        outputs = {name: each.cpu() for name, each in named_outputs(module(*(each.clone() for each in inputs))).items()}
    except Exception as error:
        raise ExportError(
            f"{what}: the module itself does not run {where}: {in_a_line(error)}; "
            "pass other_inputs that it takes, or leave that axis out of dynamic"
        ) from error
    give_back_mapped(module)
    try:
        got = run(inputs)
    except Exception as error:
        raise ExportError(
            f"{what}: the file does not run {where}: {in_a_line(error)}; "
            "the code fixes a size there: leave that axis out of dynamic"
        ) from error
    return outputs, got


def _difference(got: Tensor, expected: Tensor) -> Tensor:
    """Return the absolute difference; in float32 if both are, as images may be large."""
    if got.dtype == expected.dtype == torch.float32:
        return (got - expected).abs_()
    return got.double().sub_(expected.double()).abs_()


def _own_difference(module: nn.Module, inputs: Inputs) -> str:
    """Return the end of a message about a network whose runs differ among themselves."""
    difference = difference_of_runs(module, inputs)
    if not difference > 0:  # NaN has another cause
        return ""
    return f"; two runs in PyTorch differ by {difference:.2g}: make the network deterministic in evaluation mode"
