"""Drafting of a recipe: recognise the network, read the folder, try both on this machine, and choose a method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from gancompress.deploy import find_format, find_mode, missing_package
from gancompress.deploy.benchmark import timed_formats
from gancompress.errors import CheckpointError
from gancompress.io.source import split_key
from gancompress.jobs.drafting.image_folder import ImageFolder
from gancompress.jobs.drafting.material import Material
from gancompress.jobs.drafting.method import Draft, Narrowed, draft, material_of, refit_images, terms_of
from gancompress.jobs.drafting.own_items import data_of_text, read_items
from gancompress.jobs.drafting.recipe_file import recipe_text, write_recipe
from gancompress.jobs.drafting.recognition import recognise, with_range
from gancompress.jobs.drafting.request import Request
from gancompress.jobs.drafting.sizes import batch_size_for, check_time, choose_size
from gancompress.jobs.drafting.trial import (
    check_metrics,
    families_like,
    narrowed,
    seconds_of_pass,
    student_like,
    training_pace,
)
from gancompress.jobs.export_options import ExportOptions
from gancompress.jobs.packages import check_exports
from gancompress.jobs.recipe import Job
from gancompress.networks.fold_branches import fold_generator
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given
from gancompress.networks.image_format import Images
from gancompress.networks.importers import load_generator

Say = Callable[[str], None]
_FIRST_LOOK_PX = 48
_SLOW_S = 0.5
_MANY_CROPS, _FEW_CROPS = 8, 2


@dataclass(frozen=True)
class Drafted:
    """A drafted recipe.

    Attributes:
        request: The request.
        draft: The recipe and its reasons.
    """

    request: Request
    draft: Draft

    @property
    def text(self) -> str:
        """The recipe as YAML, with what was found above it."""
        again = f"Run it again, edited or not: gancompress compress {self.request.directory / 'recipe.yaml'}"
        out = "" if self.request.out is None else f" --out {self.request.out}"
        lines = [f"Written by: {self.request.command}", f"{again}{out}", *self.draft.reasons]
        return recipe_text(self.draft.recipe, lines)

    def job(self) -> Job:
        """Return the job. Raises ConfigError if an option, such as a metric, does not fit."""
        return Job(**self.draft.recipe)

    def write(self) -> Path:
        """Write the recipe into the run directory; return its path."""
        return write_recipe(self.request, self.text)


def draft_recipe(request: Request, say: Say, *, trust: bool = False) -> Drafted:
    """Draft a recipe for a checkpoint and a folder of images.

    Every mistake that a run would find is found here: the files are read, every image is decoded, the network runs on
    some of them, is cut to the budget, and is trained for a few steps.

    Args:
        request: The request.
        say: Prints a line on what is found.
        trust: Consent to build a class that the checkpoint's directory names and the request does not.

    Raises:
        GanCompressError: An error that the user can fix; the subclass tells which.
    """
    check_exports((ExportOptions(),), say)
    generator = _load(request, say, trust)
    if request.images is None:
        known = _of_items(request, generator, say)
    else:
        known = _of_images(request, request.images, generator, say)
    known = _folded(known, say)
    example = known.inputs[:1]
    other = student_like(request, known.generator, example)
    num_refit = refit_images(request, known.pass_s, known.material.counts["train"])
    student, first_cut = narrowed(known.generator, example, request, other, num_refit)
    batch_size, terms = batch_size_for(request, known.pass_s), terms_of(known.material, first_cut)
    trial = student, known.generator, known.inputs, batch_size, terms, first_cut.taps, known.pass_s
    kept = known.material.counts["train"] if known.material.repeats else None
    pace = training_pace(*trial, kept, try_bf16=known.material.holds_images)
    formats = fastest_formats(request.runtime)
    drafted = Drafted(request, draft(known.material, request, first_cut, pace, formats, other))
    check_metrics(drafted.job(), known.made)
    for line in drafted.draft.reasons:
        say(line)
    hint = hint_of_other_families(first_cut, families_like(known.generator, example, known.material.output))
    if hint is not None:
        say(hint)
    return drafted


def hint_of_other_families(first_cut: Narrowed, families: Sequence[str]) -> str | None:
    """Return a hint for a network of which the budget leaves at most one block at full width; None for others.

    Args:
        first_cut: The first cut of the network.
        families: Names of the families that may replace it.
    """
    left = first_cut.num_blocks - first_cut.num_left_out
    if not families or not first_cut.num_left_out or left > 1:
        return None
    others = " or ".join(f"--like {name}" for name in families)
    return f"hint: of its {first_cut.num_blocks} blocks the budget leaves {left} at full width; try {others}"


@dataclass(frozen=True)
class _Known:
    """A network and its inputs, before a method is chosen.

    Attributes:
        generator: The network, with the range of its images.
        material: The data.
        inputs: Some inputs, [b, ...], or several by name.
        made: Outputs for some inputs.
        pass_s: Seconds of the network for one input.
    """

    generator: Generator
    material: Material
    inputs: Given
    made: Tensor
    pass_s: float


def _of_items(request: Request, generator: Generator, say: Say) -> _Known:
    assert request.data is not None
    items = read_items(data_of_text(request.data), generator, say)
    pass_s = seconds_of_pass(generator.build(), items.inputs[:1])
    check_time(request, generator.family, items.material.items, pass_s)
    return _Known(generator, items.material, items.inputs, items.made, pass_s)


def _of_images(request: Request, path: str, generator: Generator, say: Say) -> _Known:
    network = recognise(generator)
    folder = ImageFolder.read(path, network.channels)
    step = network.fixed_side or network.multiple
    side = max(step, min(_FIRST_LOOK_PX, *folder.smallest) // step * step)
    crops = folder.crops(_MANY_CROPS, (side, side), network.channels)
    seconds = seconds_of_pass(generator.build(), crops[:1])
    few = crops[: _FEW_CROPS if seconds > _SLOW_S else _MANY_CROPS]
    network, made = with_range(network, generator, request.image_range, few)
    for line in (*network.lines(), *folder.lines()):
        say(line)
    size = choose_size(network, folder, request, seconds / side**2)
    crops = folder.crops(_MANY_CROPS, size, network.channels)
    generator = replace(generator, architecture=generator.architecture.with_images(network.images))
    generator.architecture.check_input(crops[:1])
    pass_s = seconds / side**2 * size[0] * size[1]
    return _Known(generator, material_of(network, folder, size), crops, made, pass_s)


def _folded(known: _Known, say: Say) -> _Known:
    """Return the network with its re-parameterised blocks folded, as the job folds them; say so."""
    example = known.inputs[:1]
    generator = fold_generator(known.generator, example, say)
    if generator is known.generator:
        return known
    pass_s = seconds_of_pass(generator.build(), example)
    return replace(known, generator=generator, material=replace(known.material, folds=True), pass_s=pass_s)


def fastest_formats(runtime: str | None) -> list[str]:
    """Return the formats of which the fastest file can be found here, those of a runtime or the usual two.

    Args:
        runtime: Runtime of the user's choice.
    """
    timed = timed_formats()
    if runtime is not None:
        wanted = find_mode(runtime, "--runtime")[0]
        return [name for name in timed if find_format(name)[0] is wanted]
    return [name for name in ("openvino", "onnx") if name in timed and missing_package(name) is None]


def _load(request: Request, say: Say, trust: bool) -> Generator:
    path, _ = split_key(request.checkpoint)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or directory, expected the weights of a network")
    images = None if request.image_range is None else Images.parse(request.image_range)
    config = request.config or None
    return load_generator(request.checkpoint, request.network, config, images=images, say=say, trust=trust)
