"""Export of a generator as a file, with rewrites for its runtime and its contract as metadata."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from gancompress.channels.skeleton import copy_module
from gancompress.cost.measured import evaluation_mode
from gancompress.deploy.axes import Axes, Inputs, input_names
from gancompress.deploy.compute_types import FP32, INT8, ComputeType
from gancompress.deploy.contract import metadata_of, tiles_of
from gancompress.deploy.file_options import FileOptions, Run
from gancompress.deploy.half import Mixed, TooFar, float_operators
from gancompress.deploy.memory import give_back_memory
from gancompress.deploy.parity import ExportReport, PerceptualDistance, Quality, compare
from gancompress.deploy.precision import Precision, fits_integers, in_integers
from gancompress.deploy.quantized import export_quantized
from gancompress.deploy.rewrites import REWRITES, rewritten
from gancompress.deploy.runtimes.formats import Format
from gancompress.deploy.runtimes.registry import find_compute_type, find_format, known_formats, open_file
from gancompress.deploy.runtimes.runtime import Runtime
from gancompress.deploy.side_effects import repeatable
from gancompress.deploy.tiles import part_side, parts_of
from gancompress.errors import BudgetError, ExportError
from gancompress.networks.file_form import FileForm
from gancompress.networks.generator import Generator
from gancompress.networks.locality import Locality
from gancompress.networks.outputs import image_of
from gancompress.quantization import DistanceSums, quantized_layers, remove_quantization


def export_generator(
    generator: Generator,
    form: FileForm,
    path: Path,
    format: str = "onnx",
    rewrites: Sequence[str] | None = None,
    precision: Precision | None = None,
    perceptual: PerceptualDistance | None = None,
    *,
    opset: int | None = None,
) -> ExportReport:
    """Write a generator as a file and compare it with the generator before any rewrite.

    Args:
        generator: The generator.
        form: Form in which the file takes its inputs, with examples of any batch and a size that the generator
            accepts; real ones if its network is quantized, whose file then holds integer weights.
        path: The file to write.
        format: A name in `gancompress.deploy.known_formats`, or the import path of a `Runtime`.
        rewrites: Names in `gancompress.deploy.rewrites.REWRITES`, or import paths; those measured to help by default.
        precision: Precision of the computation; float32 by default, integers if the network is quantized. With images,
            a network whose training rounded it takes the form in which its runtime computes in integers.
        perceptual: Perceptual distance to report with PSNR, if ``precision`` has images to measure it on.
        opset: Opset of ONNX, 11 or newer; the exporter's own by default.

    Raises:
        ExportError: A package of the format is missing, it cannot compute in this precision, it stores no integers but
            the network is quantized; or see `export_module` and `export_quantized`.
        ConfigError: There is no such format or rewrite.
        DataError: There are too few images.
        BudgetError: No choice of layers is as close to the float network as required, or with images a file of fewer
            bits is not.
    """
    runtime, kind = find_format(format, "export")
    precision = precision or Precision()
    if kind.page:
        raise ExportError(
            f"export: got the format '{kind.name}', which is a page, expected the format {_listed(known_formats())}"
        )
    compute_type = find_compute_type(kind, precision.name)
    if takes_parts(kind, form):
        (example,) = on_parts(generator, form, [form.inputs])
        precision = replace(precision, images=on_parts(generator, form, precision.images))
        form = replace(form, inputs=example)
    what, taken = f"export of {type(form.module).__name__}", form.names or tuple(input_names(form.inputs))
    module, outputs = repeatable(form.module, form.inputs, what, tuple(taken))
    form = replace(form, module=module)
    free = form.axes or _free_axes(generator, form)
    options = FileOptions(dynamic=free, input_names=form.names, output_names=outputs or None, opset=opset)
    trained = bool(quantized_layers(form.module))
    if compute_type.integers and (not trained or fits_integers(form.module)):
        report = _export_integers(generator, form, path, format, kind, rewrites, precision, options)
    elif trained:
        report = _export_as_trained(generator, form, path, format, kind, rewrites, options)
    else:
        what = generator, form, path, runtime, kind, rewrites, compute_type, options
        return _export_floats(*what, precision, perceptual)
    held_out = precision.parts()[2] if compute_type.integers else precision.images
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
    compute_type: ComputeType,
    options: FileOptions,
    precision: Precision,
    perceptual: PerceptualDistance | None,
) -> ExportReport:
    """Write a file of floats; one of less than 32 bits is refused if its images are far from the network's."""
    names = list(suitable(generator, kind.rewrites) if rewrites is None else rewrites)
    names += compute_type.rewrites
    changed, changes = rewritten(form.module, names, shares=True)
    mixed = _float_operators(changed, form, compute_type, precision) if compute_type.half else Mixed()
    if compute_type.convert is None:
        options = replace(options, precision=compute_type.name)
    made = [changed]
    del changed
    give_back_memory(form.module)

    def make() -> nn.Module:
        """Return the rewritten network, which nothing then holds; a second time it is rewritten again."""
        network = made.pop() if made else rewritten(form.module, names, shares=True)[0]
        return network if compute_type.convert is None else compute_type.convert(network, mixed)

    quality: list[Quality] = []

    def accept(run: Run) -> None:
        found = _quality(run, form.module, precision.images, perceptual)
        quality.append(found)
        if compute_type != FP32 and (reason := _too_far(found, precision)):
            raise BudgetError(f"{compute_type.name}: {reason}; {_INSTEAD}")

    options = replace(
        options,
        accept=accept if precision.images else None,
        tolerance=compute_type.tolerance,
        metadata={**metadata_of(generator, form, changes), "precision": compute_type.name},
        reference=form.module,
    )
    report = runtime.write(make, form.inputs, path, kind, options)
    measured = quality[0] if quality else None
    return replace(report, rewrites=changes, precision=compute_type.name, quality=measured, float_layers=mixed.layers)


_INSTEAD = "export fp32, or bf16 where there is one"
_EMULATED_IMAGES = 8
"""Number of images on which half precision is emulated, before the file is compared on all of them."""


def _float_operators(network: nn.Module, form: FileForm, compute_type: ComputeType, precision: Precision) -> Mixed:
    """Return the operators of a rewritten network that must stay in float32 for it to be close in half precision.

    Raises:
        BudgetError: It is too far in any case.
    """
    example = tuple(each[:1] if each.dim() else each for each in form.inputs)
    images = _singly(precision.images)[:_EMULATED_IMAGES]

    def refusal(run: Run) -> str | None:
        try:
            compare(form.module, run, example, compute_type.tolerance, compute_type.name)
        except ExportError as error:
            return str(error).removeprefix(f"{compute_type.name}: ")
        return _too_far(_quality(run, form.module, images, None), precision) if images else None

    with evaluation_mode(network), evaluation_mode(form.module), torch.no_grad():
        try:
            return float_operators(network, images[:2] or [example], refusal, mixes=compute_type.convert is not None)
        except TooFar as error:
            layer = f", and '{error.layer}' loses most in half precision" if error.layer else ""
            raise BudgetError(f"{compute_type.name}: {error.reason}{layer}; {_INSTEAD}") from None


def _too_far(quality: Quality, precision: Precision) -> str | None:
    """Return the reason that a file's images are not as close as required; None if they are."""
    if quality.psnr_db >= precision.min_psnr_db:
        return None
    return (  # NaN is far, too
        f"got {quality.psnr_db:.1f} dB to the float network on {quality.num_images} images, "
        f"expected {precision.min_psnr_db:g}"
    )


def _export_integers(
    generator: Generator,
    form: FileForm,
    path: Path,
    format: str,
    kind: Format,
    rewrites: Sequence[str] | None,
    precision: Precision,
    options: FileOptions,
) -> ExportReport:
    assert kind.integers is not None  # `register_runtime` sees to it
    names = suitable(generator, kind.integers.rewrites) if rewrites is None else rewrites
    extremes = on_parts(generator, form, _extremes(generator, form))
    locality = _locality(generator, form)
    at_once = None if locality is None else part_side(locality) ** 2
    precision = replace(precision, images=on_parts(generator, form, precision.images))
    made = in_integers(form.module, kind.integers, precision, names, extremes, at_once)
    metadata = {**metadata_of(generator, form, made.changes), "precision": precision.name}
    options = replace(options, metadata=metadata, integers=kind.integers.moves)
    report = export_quantized(made.network, form.inputs, path, format, options).file
    return replace(
        report,
        rewrites=made.changes,
        precision=precision.name,
        float_layers=made.float_layers,
    )


def _extremes(generator: Generator, form: FileForm) -> list[Inputs]:
    """Return a white and a black image for a network of images that is local.

    It may see a patch of either in any picture, and ranges of pictures without one would make white grey. For a network
    with statistics of the whole image, such as instance norms, an even image is unlike all others.
    """
    contract = generator.architecture.input_contract()
    if "range" not in contract or "encoding" in contract or _locality(generator, form) is None:
        return []
    even = torch.ones_like(form.inputs[0][:1])
    return [(torch.cat([value * even for value in contract["range"]]),)]


def parts_note(generator: Generator, form: FileForm, images: Sequence[Inputs]) -> str | None:
    """Return the line that images are cut to parts, by which memory stays bounded; None if they are not."""
    locality = _locality(generator, form)
    if locality is None:
        return None
    side = part_side(locality)
    large = next((size for (each, *_) in images for size in [each.shape[-2:]] if max(size) > side), None)
    if large is None:
        return None
    return (
        f"calibration, and comparison of files of any size, run on parts of {side}x{side} of images of "
        f"{large[0]}x{large[1]}, so that memory stays bounded: pixels depend on their neighbourhood alone"
    )


def _locality(generator: Generator, form: FileForm) -> Locality | None:
    """Return the locality of a network from one image to images; None if it is not local, or unknown."""
    description = tiles_of(generator, form).get("tiles")
    return None if description is None else Locality.from_description(description)


def takes_parts(kind: Format, form: FileForm) -> bool:
    """Return whether a file runs on parts of the images that it is meant for: its sizes are free."""
    return kind.free_sizes and (form.axes is None or all({2, 3} <= set(axes) for axes in form.axes))


def on_parts(generator: Generator, form: FileForm, images: Sequence[Inputs]) -> Sequence[Inputs]:
    """Return parts of images whose memory is bounded, if the network is local, or else the images.

    Args:
        generator: The generator.
        form: Form in which a file takes its inputs.
        images: Inputs, a few images in each.
    """
    locality = _locality(generator, form) if images else None
    return images if locality is None else parts_of(images, locality)


def quality_of(
    path: Path,
    network: nn.Module,
    images: Sequence[Inputs],
    precision: str | None = None,
    perceptual: PerceptualDistance | None = None,
) -> Quality:
    """Measure the distance of a file's images from a network's, by running it on its runtime.

    Args:
        path: The file.
        network: The network, whose layers compute in float here.
        images: Inputs of both.
        precision: Precision of float layers; by default the one that the file was exported for.
        perceptual: Perceptual distance to report with PSNR.
    """
    return _quality(open_file(path, precision=precision).run, network, images, perceptual)


def _quality(run: Run, network: nn.Module, images: Sequence[Inputs], perceptual: PerceptualDistance | None) -> Quality:
    network = remove_quantization(copy_module(network)).eval()
    singly, sums, far = _singly(images), DistanceSums(), 0.0
    with torch.no_grad():
        for inputs in singly:
            expected, got = image_of(network(*inputs)), image_of(run(inputs))
            sums.add([got], [expected])
            far += 0.0 if perceptual is None else float(perceptual(got, expected))
    distance = sums.distance()
    return Quality(distance.psnr_db, distance.l1, len(singly), None if perceptual is None else far / len(singly))


def _singly(images: Sequence[Inputs]) -> list[Inputs]:
    """Return inputs with one image each."""
    return [tuple(each[i : i + 1] for each in inputs) for inputs in images for i in range(len(inputs[0]))]


def _export_as_trained(
    generator: Generator,
    form: FileForm,
    path: Path,
    format: str,
    kind: Format,
    rewrites: Sequence[str] | None,
    options: FileOptions,
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
    metadata = {**metadata_of(generator, form), "precision": INT8.name}
    report = export_quantized(form.module, form.inputs, path, format, replace(options, metadata=metadata)).file
    return replace(report, precision=INT8.name)


def _free_axes(generator: Generator, form: FileForm) -> list[Axes] | None:
    """Return the batch axis alone for images from noise, whose size the family fixes; else None, the default."""
    return [{0: "batch"} for _ in form.inputs] if generator.architecture.is_latent else None


def default_rewrites(generator: Generator, format: str) -> tuple[str, ...]:
    """Return the rewrites that help in a format and that the generator can take at any image size."""
    return suitable(generator, find_format(format)[1].rewrites)


def suitable(generator: Generator, rewrites: Sequence[str]) -> tuple[str, ...]:
    """Return those of some rewrites that a generator can take at any image size."""
    even = generator.architecture.size_multiple % 2 == 0
    return tuple(name for name in rewrites if even or REWRITES.find(name).any_size)


def _listed(names: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
