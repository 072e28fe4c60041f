"""Importer of weights of the architectures that spandrel recognises by their tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.networks.architecture import ClassArchitecture
from gancompress.networks.checkpoint_file import Candidate
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import STANDARD, Images, give_boundary
from gancompress.networks.importers.choice import first_that_fits
from gancompress.networks.importers.registry import Importer, register_importer
from gancompress.networks.importers.source import Source, Unrecognized
from gancompress.networks.importers.values import in_training_dtype
from gancompress.networks.input_rule import InputRule
from gancompress.networks.outputs import image_of
from gancompress.networks.weight_values import check_values
from gancompress.registry import import_path_of

_FORMATS = (Images.parse("0..1"), Images.parse("0..1 to -1..1"), STANDARD)
"""Formats that are compared with what spandrel makes of an image in [0, 1], until one agrees."""
_TRIED_PX = 32
_AGREEMENT = 1e-4


class SpandrelWeights(Importer):
    """Weights of an architecture of spandrel."""

    takes_any_file = True

    def accepts(self, source: Source) -> bool:
        """Return whether a generator is wanted whose family is not given."""
        return source.known is None and source.role == "generator"

    def load(self, source: Source) -> Generator:
        """Load the first network of the file that spandrel recognises."""
        spandrel = _spandrel(source.path)
        return first_that_fits(source, partial(_read, spandrel=spandrel, source=source))


def _spandrel(path: Path) -> Any:
    try:
        import spandrel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        missing = error.name or str(error)
        hint = f"spandrel recognises 40 more architectures: pip install 'gancompress[spandrel]' (missing: {missing})"
        raise Unrecognized(f"{path}: spandrel is not installed", hint=hint) from None
    return spandrel


def _read(candidate: Candidate, spandrel: Any, source: Source) -> Generator:
    path = candidate.file.path
    tensors = {name: in_training_dtype(tensor) for name, tensor in candidate.tensors().items()}
    support = next((each for each in spandrel.MAIN_REGISTRY.architectures("detection") if each.detect(tensors)), None)
    if support is None:
        raise Unrecognized(f"{path}: got tensors that spandrel does not recognise")
    try:
        descriptor = support.architecture.load(dict(tensors))
    except Exception as error:  # detection may be wrong, and loaders then fail in any way
        raise Unrecognized(f"{path}: got tensors that do not fit {support.architecture.name} of spandrel") from error
    network: nn.Module = descriptor.model.eval()
    config = {name: value for name, value in getattr(network, "hyperparameters", {}).items() if _is_plain(value)}
    rule = _rule(descriptor, masked=isinstance(descriptor, spandrel.MaskedImageModelDescriptor))
    name = support.architecture.name
    architecture = ClassArchitecture(import_path_of(type(network)), config, None, {}, rule, network=type(network))
    state = {key: tensor.detach() for key, tensor in network.state_dict().items()}
    check_values(path, state, network)
    images = source.images or _measured_formats(path, name, descriptor, architecture, state)
    if source.say is not None:
        tags = ", ".join((f"{rule.scale}x", *descriptor.tags))
        source.say(f"{path}: {name} by spandrel: {tags}, {rule.channels} channels, images {images}")
    return Generator(replace(architecture, images=images), state)


def _is_plain(value: Any) -> bool:
    """Return whether a value can be saved; spandrel keeps defaults, such as classes of norms, with the arguments."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str | None)


def _rule(descriptor: Any, masked: bool) -> InputRule:
    size, channels = descriptor.size_requirements, descriptor.input_channels
    shapes = ((None, channels, None, None), (None, 1, None, None)) if masked else ()
    return InputRule(channels, size.multiple_of, max(1, size.minimum), size.square, shapes, descriptor.scale)


@torch.no_grad()
def _measured_formats(
    path: Path, name: str, descriptor: Any, architecture: ClassArchitecture, state: dict[str, Tensor]
) -> Images:
    """Return the formats with which the plain network computes what spandrel computes in [0, 1].

    Raises:
        CheckpointError: None does, because spandrel gives the network more than the image.
    """
    rule = architecture.declared_inputs
    assert rule is not None
    side = rule.crop_side(max(_TRIED_PX, rule.minimum))
    draw = torch.Generator().manual_seed(0)
    shapes = rule.example_shapes(name, (side, side))
    given = [torch.rand(shape, generator=draw) for shape in shapes]
    given[1:] = [(mask > 0.5).float() for mask in given[1:]]
    wanted = _seeded(descriptor, given)
    standard = [2 * each - 1 for each in given]
    for images in _FORMATS:
        network = give_boundary(architecture.build_with(state), images)
        try:
            made = (image_of(_seeded(network, standard)) + 1) / 2
        except Exception:  # a network that is called with more than the image fails in any way
            break
        if made.shape == wanted.shape and (made.clamp(0, 1) - wanted).abs().max() < _AGREEMENT:
            return images
    raise CheckpointError(
        f"{path}: got {name}, which spandrel gives more than the image, such as a level of noise, expected a network "
        "of images alone; give a class of your own by import path that does the same"
    )


def _seeded(network: Callable[..., Any], inputs: Sequence[Tensor]) -> Any:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return network(*(each.clone() for each in inputs))


register_importer("spandrel")(SpandrelWeights())
