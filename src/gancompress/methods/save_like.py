"""Writing of a narrow network as a file that opens where the original did: its keys, names and types."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gancompress.channels import left_out_of
from gancompress.deploy.files import draft_of
from gancompress.errors import CheckpointError, ConfigError
from gancompress.io.source import split_key
from gancompress.networks.branches import folded_of
from gancompress.networks.checkpoint_file import Candidate, CheckpointFile
from gancompress.networks.family import Family, FamilyArchitecture
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator
from gancompress.networks.importers.reading import module_architecture
from gancompress.networks.loadable import loadable, without_gaps
from gancompress.networks.registry import layouts_of
from gancompress.networks.state import shapes_of

_COUNTER = "num_batches_tracked"  # files of older programs lack it


def save_like(
    network: nn.Module | Generator, original: Path | str, path: Path | str, arguments: Mapping[str, Any] | None = None
) -> list[str]:
    """Write a loadable network with the keys, tensor names and number types of its original file, and open it again.

    The file is opened by this package, which infers its widths, and by spandrel if that is installed and knows the
    original, before it gets its name.

    Args:
        network: The narrow network, as `gancompress.prune` with ``loadable`` returns it.
        original: The file that the network was read from; ``FILE#KEY`` for one of several networks in it.
        path: The file to write, with the ending of the original: ``.pth``, ``.pt``, ``.safetensors``, ...
        arguments: Constructor arguments of a class of your own, as for `gancompress.prune`.

    Returns:
        One line for each program that opened the file.

    Raises:
        ConfigError: The constructor cannot express the widths, or a program does not open the file.
        CheckpointError: The original cannot be read, or does not hold this network.
        ExportError: The file cannot be written.
    """
    generator = loadable(as_generator(network, arguments) if isinstance(network, nn.Module) else network)
    source, key = split_key(original)
    file = CheckpointFile.open(source)
    candidate, names = _original_names(file, key, generator)
    tensors = OrderedDict(
        (".".join((*candidate.prefix, name)), _as_in_file(generator.state[ours], candidate, name))
        for name, ours in names.items()
    )
    path = Path(path)
    with draft_of(path, "loadable") as draft:
        if path.suffix == ".safetensors":
            save_file(tensors, draft)
        else:
            torch.save(_nested(candidate.keys, tensors), draft)
        lines = [_opened_again(draft, candidate, generator, path)]
        lines += _opened_by_spandrel(draft, source, path)
    return lines


def save_beside(generator: Generator, original: Path | str, directory: Path, say: Callable[[str], None]) -> Path | None:
    """Write a loadable network into its directory by `save_like`; nothing if the original is no file.

    Args:
        generator: The narrow network.
        original: The source that the network was read from.
        directory: The directory of the narrow network.
        say: Receives a message about the file.

    Returns:
        The file; None without one.

    Raises:
        GanCompressError: As `save_like`.
    """
    source, _ = split_key(original)
    if not source.is_file():
        return None
    path = directory / f"loadable{source.suffix}"
    say(f"written to {path}: {'; '.join(save_like(generator, original, path))}")
    return path


def as_generator(network: nn.Module, arguments: Mapping[str, Any] | None = None) -> Generator:
    """Return a module as a generator whose constructor is known.

    Args:
        network: A network of a family, or of a class that records its arguments as ``hyperparameters``.
        arguments: Arguments that the class was called with.

    Raises:
        ConfigError: They are not known.
    """
    closed = without_gaps(network)
    architecture = module_architecture(closed, arguments)
    if isinstance(architecture, FamilyArchitecture):
        return Generator(architecture, dict(closed.state_dict()))
    architecture = replace(architecture, left_out=left_out_of(network), folded=folded_of(network))
    return Generator(architecture, dict(network.state_dict()))


def _original_names(file: CheckpointFile, key: str | None, generator: Generator) -> tuple[Candidate, dict[str, str]]:
    """Return the network of the file, and our name of each of its tensors, in the order of the file."""
    family = _family_of(generator)
    converted = ""
    for candidate in file.candidates("generator", key):
        tables: list[Mapping[str, str]] = [{name: name for name in candidate.stored}] if family is None else []
        for layout in () if family is None else layouts_of([family]):
            table = layout.names(candidate.stored.keys())
            if table and layout.prepare is dict:
                tables.append(table)
            elif table and layout.name != "gancompress":
                converted = f"; files of {layout.name} are converted when they are read, so none is written"
        for table in tables:
            names = {name: table.get(name, name) for name in candidate.stored}
            names = {name: ours for name, ours in names.items() if ours in generator.state}
            lacking = generator.state.keys() - set(names.values())
            if all(name.endswith(_COUNTER) for name in lacking):
                return candidate, names
    raise CheckpointError(
        f"loadable: {file.path}: got a file whose tensors are not those of this {generator.family}{converted}; "
        "expected the file that the network was read from"
    )


def _family_of(generator: Generator) -> Family | None:
    """Return the family of a generator; None for a class without one."""
    architecture = generator.architecture
    return architecture.family if isinstance(architecture, FamilyArchitecture) else None


def _as_in_file(tensor: Tensor, candidate: Candidate, name: str) -> Tensor:
    wanted = candidate.stored[name].dtype
    return tensor.detach().cpu().to(wanted if tensor.is_floating_point() else tensor.dtype).contiguous()


def _nested(keys: tuple[str, ...], tensors: Any) -> Any:
    for key in reversed(keys):
        tensors = {key: tensors}
    return tensors


def _opened_again(draft: Path, candidate: Candidate, generator: Generator, path: Path) -> str:
    """Open the file as the original would be opened, and compare it with the network."""
    architecture = generator.architecture
    config = None if _family_of(generator) is not None else architecture.config
    source = f"{draft}#{candidate.key}" if candidate.key else draft
    found = load_generator(source, generator.family, config, images=architecture.images)
    values = ", ".join(f"{name} {value}" for name, value in loadable(found).architecture.width_arguments.items())
    if shapes_of(found.state) != shapes_of(generator.state):
        raise ConfigError(
            f"loadable: {path}: got other widths when the file was opened again ({values}), "
            "expected those of the network; use gancompress.save instead"
        )
    for name, tensor in generator.state.items():
        if not name.endswith(_COUNTER) and not torch.allclose(found.state[name], tensor.float(), rtol=1e-3, atol=1e-5):
            raise ConfigError(
                f"loadable: {path}: got another '{name}' when the file was opened again, expected the "
                "values that were written; use gancompress.save instead"
            )
    return f"opens as {generator.family} with {values}"


def _opened_by_spandrel(draft: Path, original: Path, path: Path) -> list[str]:
    """Open the file with spandrel, if that is installed and knows the original."""
    try:
        import spandrel  # pyright: ignore[reportMissingImports]
    except ImportError:
        return []
    loader = spandrel.ModelLoader()
    try:
        name = loader.load_from_file(original).architecture.name
    except Exception:  # its loaders fail in any way on files of other networks
        return []
    try:
        found = loader.load_from_file(draft)
    except Exception as error:
        reason = str(error).partition("\n")[0]  # the rest lists every tensor
        raise ConfigError(
            f"loadable: {path}: spandrel opens the original as {name}, but not this file: {reason}"
        ) from error
    if found.architecture.name != name:
        raise ConfigError(f"loadable: {path}: spandrel takes this file for {found.architecture.name}, not for {name}")
    return [f"opens in spandrel as {name}, {found.scale}x, {', '.join(found.tags)}"]
