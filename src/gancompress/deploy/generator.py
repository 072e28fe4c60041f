"""Export of a generator as a file, with rewrites for its runtime and its contract as metadata."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gancompress.deploy.axes import Axes, Inputs
from gancompress.deploy.contract import metadata_of
from gancompress.deploy.half import HALF_TOLERANCE, Halved
from gancompress.deploy.parity import DEFAULT_TOLERANCE, ExportReport, PerceptualDistance, PrecisionName, Quality
from gancompress.deploy.precision import Precision, fits_integers, in_integers
from gancompress.deploy.quantized import export_quantized
from gancompress.deploy.rewrites import rewritten
from gancompress.deploy.runtimes.registry import find_format, known_formats, open_file
from gancompress.deploy.runtimes.runtime import Format, Runtime
from gancompress.errors import ExportError
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.quantization import distance_between, quantized_layers, remove_quantization

_TOLERANCES: dict[PrecisionName, float] = {"fp16": HALF_TOLERANCE, "bf16": math.inf}
"""Largest absolute difference from eager in precisions that are less exact than float32."""


def export_generator(
    generator: Generator,
    form: FileForm,
    path: Path,
    format: str = "onnx",
    rewrites: Sequence[str] | None = None,
    precision: Precision | None = None,
    perceptual: PerceptualDistance | None = None,
) -> ExportReport:
    """Write a generator as a file and compare it with the generator before any rewrite.

    Args:
        generator: The generator.
        form: Form in which the file takes its inputs, with examples of any batch and a size that the generator
            accepts; real ones if its network is quantized, whose file then holds integer weights.
        path: The file to write.
        format: A name in `gancompress.deploy.known_formats`, or the import path of a `Runtime`.
        rewrites: Names in `gancompress.deploy.rewrites.REWRITES`; those measured to help by default.
        precision: Precision of the computation; float32 by default, integers if the network is quantized. With images,
            a network whose training rounded it takes the form in which its runtime computes in integers.
        perceptual: Perceptual distance to report with PSNR, if ``precision`` has images to measure it on.

    Raises:
        ExportError: A package of the format is missing, it cannot compute in this precision, it stores no integers but
            the network is quantized; or see `export_module` and `export_quantized`.
        ConfigError: There is no such format or rewrite.
        DataError: There are too few images.
        BudgetError: No choice of layers is as close to the float network as required.
    """
    runtime, kind = find_format(format, "export")
    precision = precision or Precision()
    if kind.page:
        raise ExportError(
            f"export: got the format '{kind.name}', which is a page, expected the format {_listed(known_formats())}"
        )
    if precision.name not in kind.precisions:
        able = " or ".join(name for name, other in known_formats().items() if precision.name in other.precisions)
        raise ExportError(
            f"export: got precision '{precision.name}' for the format '{kind.name}', expected "
            f"{' or '.join(kind.precisions)}; {precision.name} takes the format {able}"
        )
    how: Any = {"dynamic": form.axes or _free_axes(generator, form), "input_names": form.names}
    trained = bool(quantized_layers(form.module))
    if precision.name == "int8" and (not trained or fits_integers(form.module)):
        report = _export_integers(generator, form, path, format, kind, rewrites, precision, how)
    elif trained:
        report = _export_as_trained(generator, form, path, format, kind, rewrites, how)
    else:
        report = _export_floats(generator, form, path, runtime, kind, rewrites, precision, how)
    held_out = precision.held_out()
    if not held_out or report.not_compared:
        return report
    return replace(report, quality=quality_of(report.path, form.module, held_out, perceptual=perceptual))


def _export_floats(
    generator: Generator,
    form: FileForm,
    path: Path,
    runtime: Runtime,
    kind: Format,
    rewrites: Sequence[str] | None,
    precision: Precision,
    how: Any,
) -> ExportReport:
    names = list(suitable(generator, kind.rewrites) if rewrites is None else rewrites)
    if precision.name == "fp16":
        names.append("float32_norms")
    changed, changes = rewritten(form.module, names)
    if precision.name in kind.native:
        how |= {"precision": precision.name}
    elif precision.name == "fp16":
        changed = Halved(changed)
    how |= {"tolerance": _TOLERANCES.get(precision.name, DEFAULT_TOLERANCE)}
    metadata = {**metadata_of(generator, form, changes), "precision": precision.name}
    report = runtime.write(changed, form.inputs, path, kind, metadata=metadata, reference=form.module, **how)
    return replace(report, rewrites=changes, precision=precision.name)


def _export_integers(
    generator: Generator,
    form: FileForm,
    path: Path,
    format: str,
    kind: Format,
    rewrites: Sequence[str] | None,
    precision: Precision,
    how: Any,
) -> ExportReport:
    assert kind.integers is not None  # `register_runtime` sees to it
    names = suitable(generator, kind.integers.rewrites) if rewrites is None else rewrites
    made = in_integers(form.module, kind.integers, precision, names)
    metadata = {**metadata_of(generator, form, made.changes), "precision": "int8"}
    how = {**how, "metadata": metadata, "integers": kind.integers.moves}
    report = export_quantized(made.network, form.inputs, path, format, **how).file
    return replace(
        report,
        rewrites=made.changes,
        precision="int8",
        float_layers=made.float_layers,
    )


def quality_of(
    path: Path,
    network: nn.Module,
    images: Sequence[Inputs],
    precision: PrecisionName | None = None,
    perceptual: PerceptualDistance | None = None,
) -> Quality:
    """Measure the distance of a file from a network, by running it on its runtime.

    Args:
        path: The file.
        network: The network, whose layers compute in float here.
        images: Inputs of both.
        precision: Precision of float layers; by default the one that the file was exported for.
        perceptual: Perceptual distance to report with PSNR.
    """
    run = open_file(path, precision=precision).run
    network = remove_quantization(copy.deepcopy(network)).eval()
    singly = [tuple(each[i : i + 1] for each in inputs) for inputs in images for i in range(len(inputs[0]))]
    with torch.no_grad():
        expected = [network(*inputs) for inputs in singly]
        got = [run(inputs)[0] for inputs in singly]
        far = None if perceptual is None else [float(perceptual(a, b)) for a, b in zip(got, expected, strict=True)]
    distance = distance_between(got, expected)
    return Quality(distance.psnr_db, distance.l1, len(singly), None if far is None else sum(far) / len(far))


def _export_as_trained(
    generator: Generator,
    form: FileForm,
    path: Path,
    format: str,
    kind: Format,
    rewrites: Sequence[str] | None,
    how: Any,
) -> ExportReport:
    if not kind.stores_trained_integers or rewrites:
        got = (
            f"the rewrite '{(rewrites or ['none'])[0]}'"
            if kind.stores_trained_integers
            else f"the format '{kind.name}'"
        )
        able = _listed(name for name, each in known_formats().items() if each.stores_trained_integers)
        raise ExportError(
            f"export: got {got} for a quantized network, expected the format {able} without rewrites, which holds its "
            "integers; with calibration images, precision 'int8' takes every format that has it"
        )
    metadata = {**metadata_of(generator, form), "precision": "int8"}
    report = export_quantized(form.module, form.inputs, path, format, metadata=metadata, **how).file
    return replace(report, precision="int8")


def _free_axes(generator: Generator, form: FileForm) -> list[Axes] | None:
    """Return the batch axis alone for images from noise, whose size the family fixes; else None, the default."""
    return [{0: "batch"} for _ in form.inputs] if generator.architecture.is_latent else None


def default_rewrites(generator: Generator, format: str) -> tuple[str, ...]:
    """Return the rewrites that help in a format and that the generator can take at any image size."""
    return suitable(generator, find_format(format)[1].rewrites)


def suitable(generator: Generator, rewrites: Sequence[str]) -> tuple[str, ...]:
    """Return those of some rewrites that a generator can take at any image size."""
    even = generator.architecture.size_multiple % 2 == 0
    return tuple(name for name in rewrites if even or name != "strided_last_convolution")


def _listed(names: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
