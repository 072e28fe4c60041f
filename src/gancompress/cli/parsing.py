"""Parsing of command-line arguments into networks, inputs, sizes and plans."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from gancompress.channels import ChannelGraph, ChannelPlan
from gancompress.cli.options import notices
from gancompress.cost import CONVENTIONS, Convention
from gancompress.data import make_ordered_loader, parse_data
from gancompress.errors import ConfigError, PlanError, nearest
from gancompress.importance import Probe
from gancompress.io.pictures import mode_of
from gancompress.io.source import split_key
from gancompress.io.yaml_text import read_yaml
from gancompress.networks.generator import Generator
from gancompress.networks.image_format import Images
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import FAMILIES, architecture_of


def open_generator(
    source: str, family: str | None, options: Sequence[str], image_range: str | None = None, *, trust: bool = False
) -> Generator:
    """Return the generator that a command-line argument names; ``image_range`` replaces the range of its images."""
    config, images = parse_options(options), None if image_range is None else Images.parse(image_range)
    if split_key(source)[0].exists():
        return load_generator(source, family, config or None, images=images, say=_say, trust=trust)
    if source not in FAMILIES and ":" not in source:
        known = ", ".join(FAMILIES)
        raise ConfigError(
            f"'{source}': no such file, and no family of this name; "
            f"expected a path, one of {known}, or package.module:Class"
        )
    notices.print(f"{source} names an architecture: its weights are random, from seed 0", style="yellow")
    torch.manual_seed(0)
    return Generator.of(architecture_of(source, config, images))


def _say(line: str) -> None:
    notices.print(line, markup=False, highlight=False, soft_wrap=True)


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Parse each ``OPTION=VALUE``; values are YAML."""
    config: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise ConfigError(f"--set: got '{option}', expected OPTION=VALUE, such as ngf=32")
        try:
            config[name] = read_yaml(value)
        except ConfigError as error:
            raise ConfigError(f"--set: got '{name}={value}', expected a YAML value behind '=': {error}") from None
    return config


def example_inputs(generator: Generator, size: str, inputs: Sequence[str]) -> tuple[Tensor, ...]:
    """Return inputs to trace and measure a generator with."""
    sides = parse_sizes("--size", size, 2)
    shapes = [parse_sizes("--input", shape, None) for shape in inputs]
    return generator.architecture.example_inputs((sides[0], sides[1]), shapes)


def parse_score_text(text: str) -> Any:
    """Parse a score: its name, or its kind and options as YAML."""
    try:
        return read_yaml(text)
    except ConfigError:
        raise ConfigError(
            f"--score: got '{text}', expected a name, or '{{kind: NAME, OPTION: VALUE}}' as YAML"
        ) from None


def probe_of(generator: Generator, shapes: Sequence[Tensor], images: str | None) -> Probe | None:
    """Return a generator with noise, or with the images of a folder at the examples' size; None without either."""

    def noise(num_images: int, batch_size: int) -> Iterator[Mapping[str, Any]]:
        draw = torch.Generator().manual_seed(0)
        for start in range(0, num_images, batch_size):
            size = min(batch_size, num_images - start)
            yield {"input": generator.architecture.draw_latents(size, draw)}

    def pictures(num_images: int, batch_size: int) -> Iterator[Mapping[str, Any]]:
        yield from folder_images(str(images), shapes[0], num_images, batch_size)

    if generator.architecture.is_latent:
        return Probe(generator.build(), noise)
    return None if images is None else Probe(generator.build(), pictures)


def folder_images(folder: str, like: Tensor, num_images: int, batch_size: int) -> Iterator[Mapping[str, Any]]:
    """Yield the first images of a folder, with the size and channels of an example, as batches of ``input``."""
    channels = like.shape[1] if like.dim() == 4 else 3
    mode_of(channels, folder)
    size = {"load_size": list(like.shape[2:]), "flip": False}
    data = {"kind": "images", "root": folder, "images": ".", "splits": {"train": {}}, "transform": size}
    data["decoding"] = {"channels": channels}
    yield from make_ordered_loader(parse_data(data).open("train"), batch_size, max_images=num_images)


def parse_sizes(option: str, text: str, count: int | None) -> tuple[int, ...]:
    """Parse whole numbers joined by ``x``: ``count`` of them, or any number if it is None."""
    parts = text.lower().split("x")
    if not all(part.isdigit() and int(part) > 0 for part in parts) or (count is not None and len(parts) != count):
        raise ConfigError(
            f"{option}: got '{text}', expected whole numbers joined by 'x', such as {'256x256' if count else '1x80x64'}"
        )
    return tuple(map(int, parts))


def parse_count(text: str) -> float:
    """Parse a number with an optional suffix K, M, G or T."""
    unit = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1:].upper(), 1.0)
    try:
        count = float(text[:-1] if unit > 1 else text) * unit
    except ValueError:
        count = math.nan
    if not 0 < count < math.inf:
        raise PlanError(f"--macs: got '{text}', expected a number above 0, with K, M, G or T behind it where wanted")
    return count


def parse_convention(text: str) -> Convention:
    """Parse the name of a convention for counting MACs."""
    if text not in CONVENTIONS:
        raise ConfigError(f"--convention: got '{text}', expected a known one; {nearest(text, CONVENTIONS)}")
    return cast(Convention, text)


def parse_plan(generator: Generator, graph: ChannelGraph, text: str) -> ChannelPlan:
    """Parse a plan in the notation of the papers, or as a JSON object by channel group."""
    if text.lstrip().startswith("{"):
        plan = ChannelPlan.from_json(text)
        return graph.plan(plan.widths, plan.left_out)
    return graph.plan(generator.architecture.widths_from_string(text))
