"""A user's own data, or arrays of a folder: items that go into the network as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.data import parse_data
from gancompress.errors import ConfigError, DataError
from gancompress.io.yaml_text import read_yaml
from gancompress.jobs.drafting.material import Material
from gancompress.jobs.drafting.method import TASK
from gancompress.jobs.drafting.outputs import comparable_output
from gancompress.networks.generator import Generator
from gancompress.networks.given import Given, NamedInputs
from gancompress.tasks import find_task
from gancompress.tasks.inputs import Inputs

_MOST_READ = 5_000
"""Number of items of a split that are read before training."""
_BATCH = 4


@dataclass(frozen=True)
class OwnItems:
    """Items of a user's data.

    Attributes:
        material: Facts for the recipe.
        inputs: Some training inputs, [b, ...], or several by name.
        made: Outputs of the network for them.
    """

    material: Material
    inputs: Given
    made: Tensor


def data_of_text(text: str) -> dict[str, Any]:
    """Return data of a recipe from ``--data``: an import path, a mapping in YAML, or a folder of arrays.

    Raises:
        ConfigError: It is none of them.
    """
    if text.lstrip().startswith("{"):
        try:
            return read_yaml(text)
        except ConfigError as error:
            raise ConfigError(
                f"--data: got '{text}', which is no YAML: {error}; expected such as '{{kind: audio, root: sounds}}'"
            ) from None
    if Path(text).is_dir():
        return {"kind": "arrays", "root": text}
    if ":" in text:
        return {"kind": text}
    raise ConfigError(
        f"--data: got '{text}', expected module:dataset, a folder of arrays, or data of a recipe such as "
        "'{kind: audio, root: sounds, sample_rate: 22050, seconds: 1}'"
    )


@torch.no_grad()
def read_items(data: Mapping[str, Any], generator: Generator, say: Callable[[str], None]) -> OwnItems:
    """Read the data and run the network on some of it.

    Raises:
        ConfigError: The data does not exist, or the network does not take its items.
        DataError: It cannot be read, or items differ in shape.
    """
    config = parse_data(data)
    inputs = Inputs(find_task(TASK, config), config)
    config.check_splits()
    counts, shapes = {}, {}
    for split in config.split_names():
        counts[split] = len(config.open(split))
        for batch in inputs.images(split, 1, _MOST_READ):
            shapes.setdefault(_sizes(batch["input"]), str(next(iter(batch.get("name", ["an item"])))))
    if len(shapes) > 1:
        listed = " and ".join(f"{name} of {sizes}" for sizes, name in list(shapes.items())[:2])
        raise DataError(
            f"--data: got {listed}, expected items of one shape; crop them, see 'crop' in docs/how-to/data.md"
        )
    (size,) = shapes
    given = inputs.first_images("train", _BATCH)["input"]
    made = _run(generator.build(), given, generator.family)
    say(f"network: {generator.family}, {generator.num_parameters:,} parameters")
    say(f"  {size} to {'x'.join(map(str, made.shape[1:]))}")
    say(f"data: {', '.join(f'{split} {count:,}' for split, count in counts.items())}")
    output, repeats = tuple(made.shape[1:]), config.num_views() == 1
    return OwnItems(Material(data, counts, f"items of {size}", output, config.holds_images, repeats), given, made)


def _run(network: nn.Module, given: Given, name: str) -> Tensor:
    made = comparable_output(network, given, name)
    if not made.isfinite().all():
        raise ConfigError(
            f"{name}: got outputs that are not finite for the data, expected finite ones; check the weights"
        )
    if made.numel() and float((made - made.flatten()[0]).abs().max()) == 0:
        raise ConfigError(
            f"{name}: got outputs of one value for the data, expected some that depend on it; check the "
            "weights and the data"
        )
    return made


def _sizes(given: Given) -> str:
    """Return the shapes of inputs without the batch, as text; with their names if there are several."""
    if isinstance(given, NamedInputs):
        return ", ".join(f"{name} {'x'.join(map(str, each.shape[1:]))}" for name, each in given.tensors.items())
    return "x".join(map(str, given.shape[1:]))
