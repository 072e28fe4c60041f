"""Refit of the remaining weights after pruning, by least squares on the activations of the original network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan, left_out_of, reordered
from gancompress.channels.skeleton import named_tensors
from gancompress.errors import RefitError
from gancompress.methods.data import Batches, Data
from gancompress.methods.trace import trace
from gancompress.networks.given import arguments, joined
from gancompress.reconstruction import RefitReport
from gancompress.reconstruction import refit as solve

NUM_IMAGES = 64


def refit(
    student: nn.Module,
    network: nn.Module,
    batches: Data,
    *,
    num_images: int = NUM_IMAGES,
    crop_px: int | None = None,
    seed: int = 0,
) -> RefitReport:
    """Refit the weights of a pruned network by least squares, in place, without training.

    Args:
        student: A network that was pruned from ``network`` and not trained since.
        network: The original network.
        batches: Inputs like those in deployment.
        num_images: Images to use; fewer if the batches have fewer. All are run at once.
        crop_px: Side of a random square crop of each image, which saves memory; None takes whole images.
        seed: Seed of the crops and of the positions that are sampled as equations.

    Returns:
        The layers that were refitted, and those that kept their weights with the reason.

    Raises:
        RefitError: The student was not pruned from the network or was trained since, the batches do not determine the
            weights, or an activation is not finite.
        DataError: The batches are missing or of an unknown kind.

    Source: He et al., Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017, equation 1.
    """
    given = Batches(batches, "batches")
    example = given.first["input"][:1]
    graph, narrow = (trace(each, example, multiple=1, minimum=1) for each in (network, student))
    widths = {name: group.size for name, group in narrow.groups.items()}
    plan = graph.plan(widths, set(left_out_of(student)).difference(left_out_of(network)))
    wide = _sorted_as(student, network, graph, narrow.groups)
    return refit_pair(student, wide, graph, plan, given, num_images=num_images, crop_px=crop_px, seed=seed)


def refit_pair(
    narrow: nn.Module,
    wide: nn.Module,
    graph: ChannelGraph,
    plan: ChannelPlan,
    batches: Batches,
    *,
    num_images: int = NUM_IMAGES,
    crop_px: int | None = None,
    seed: int = 0,
) -> RefitReport:
    """Refit a narrow network, in place, to the wide one whose leading channels it has. Raises the errors of `refit`."""
    device = next(narrow.parameters()).device
    inputs = joined([each.to(device) for each in batches.inputs(num_images)])
    if crop_px is not None and isinstance(inputs, Tensor):
        inputs = random_crops(inputs, crop_px, seed)
    return solve(wide, narrow, graph, plan, arguments(wide, inputs), seed=seed)


def random_crops(images: Tensor, side: int, seed: int = 0) -> Tensor:
    """Return a random square crop of each image [b, c, h, w], not larger than the images.

    Args:
        images: Inputs of a network; inputs of other dimensions are returned whole.
        side: Height and width in pixels.
        seed: Seed of the crops' positions.
    """
    if images.ndim != 4:
        return images
    height, width = (min(side, length) for length in images.shape[2:])
    draw = torch.Generator().manual_seed(seed)
    crops = []
    for image in images:
        y = int(torch.randint(image.shape[1] - height + 1, (), generator=draw))
        x = int(torch.randint(image.shape[2] - width + 1, (), generator=draw))
        crops.append(image[:, y : y + height, x : x + width])
    return torch.stack(crops)


def _sorted_as(student: nn.Module, network: nn.Module, graph: ChannelGraph, groups: Iterable[str]) -> nn.Module:
    """Return a copy of a network with the channels first that its pruned copy kept, in their order.

    Groups are visited in the order of the forward pass: if a layer reads groups whose kept channels are known already,
    the remaining filters are found by their values. Groups that the student lacks keep their order.

    Raises:
        RefitError: The weights of the student are not among those of the network.
    """
    narrow, tensors = named_tensors(student), named_tensors(network)
    kept: dict[str, np.ndarray] = {}
    for name in groups:
        found = _kept_channels(name, kept, narrow, tensors, graph)
        if found is None:
            raise RefitError(
                f"refit: found no layer of the network whose filters are those of '{name}' in the student, expected "
                "a student that was pruned from this network and not trained since"
            )
        kept[name] = found
    order = {}
    for name, channels in kept.items():
        rest = np.setdiff1d(np.arange(graph.groups[name].size), channels)
        order[name] = torch.from_numpy(np.concatenate([channels, rest]))
    return reordered(network, graph, order)


def _kept_channels(
    group: str,
    known: Mapping[str, np.ndarray],
    narrow: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    graph: ChannelGraph,
) -> np.ndarray | None:
    """Return the numbers of the channels that a group kept; None if no layer determines them."""
    for name, number, axis in graph.members(group, ("out", "scale", "in", "depthwise")):
        axes = graph.axes(name)
        others = {g for i, other in enumerate(axes) if i != number for g in other.groups}
        segments = axis.segments
        if len(segments) != 1 or segments[0].repeat != 1 or not others <= known.keys() or name not in narrow:
            continue
        wide = tensors[name].detach().cpu()
        for i, other in enumerate(axes):
            if i != number and other.groups:
                wide = wide.index_select(i, torch.from_numpy(other.kept(dict(known))))
        rows = wide.movedim(number, 0).flatten(1) if wide.ndim > 1 else wide[:, None]
        wanted = narrow[name].detach().cpu()
        wanted = wanted.movedim(number, 0).flatten(1) if wanted.ndim > 1 else wanted[:, None]
        found = _places(wanted, rows)
        if found is not None:
            return found
    return None


def _places(wanted: Tensor, rows: Tensor) -> np.ndarray | None:
    """Return the index of each wanted row among all rows; None if one is missing or not unique."""
    if wanted.shape[1:] != rows.shape[1:]:
        return None
    numbers: dict[bytes, Sequence[int]] = {}
    for i, row in enumerate(rows.numpy()):
        numbers[row.tobytes()] = [*numbers.get(row.tobytes(), ()), i]
    found = [numbers.get(row.tobytes(), ()) for row in wanted.numpy()]
    return np.array([each[0] for each in found]) if all(len(each) == 1 for each in found) else None
