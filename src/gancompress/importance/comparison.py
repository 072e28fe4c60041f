"""Baselines of the content-aware score, and sensitivity to latent directions.

Source: Liu et al., Content-Aware GAN Compression, CVPR 2021, section 4.2 (random, norms of effective weights,
activation maps); Chung et al., Diversity-aware Channel Pruning for StyleGAN Compression, CVPR 2024 (latent directions).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.channels import ChannelGraph
from gancompress.errors import ConfigError
from gancompress.importance.probe import OutgoingGradients, Probe, inputs_of, readers
from gancompress.importance.scores import Scores, sum_by_channel
from gancompress.networks.given import call
from gancompress.networks.styles import StyledGenerator, StyledLayer


def random_scores(graph: ChannelGraph, seed: int) -> Scores:
    """Return a uniform random score in [0, 1) for every channel."""
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.rand(group.size, generator=draw) for name, group in graph.groups.items()}


@torch.no_grad()
def l1_outgoing_effective(
    probe: Probe, graph: ChannelGraph, *, num_images: int = 400, batch_size: int = 10, image_layers: bool = False
) -> Scores:
    """Return the sum of ``|w|`` over the filters that read a channel, with modulated weights averaged over styles.

    Layers without styles use their plain weights.
    """
    modulated = {
        f"{path}.conv.weight": module
        for path, module in probe.network.named_modules()
        if isinstance(module, StyledLayer)
    }
    sums: dict[str, Tensor] = {}
    seen = 0
    if isinstance(probe.network, StyledGenerator):
        for given, _ in inputs_of(probe, num_images, batch_size):
            styles = probe.network.styles(given)
            seen += len(styles)
            for i, (tensor, layer) in enumerate(modulated.items()):
                sums[tensor] = sums.get(tensor, torch.zeros(())) + layer.effective_norms(styles[:, i]).sum((0, 1)).cpu()
    state, scores = probe.network.state_dict(), {}
    for name, group in graph.groups.items():
        total = torch.zeros(group.size)
        for tensor, number, axis in readers(graph, name, image_layers):
            plain = state[tensor].abs().float().cpu().movedim(number, 0).flatten(1).sum(1)
            total += sum_by_channel(sums[tensor] / max(1, seen) if tensor in sums else plain, axis, name)
        scores[name] = total
    return scores


@torch.no_grad()
def activation_map(probe: Probe, graph: ChannelGraph, *, num_images: int = 400, batch_size: int = 10) -> Scores:
    """Return the mean ``|x|`` of a channel at the input of each layer that reads it, summed over those layers.

    Raises:
        ConfigError: No layer reads a group as its input.
    """
    scores: Scores = {name: torch.zeros(group.size) for name, group in graph.groups.items()}
    modules, handles, read = dict(probe.network.named_modules()), [], set()
    for name in graph.groups:
        for tensor, _, axis in readers(graph, name, image_layers=True):
            layer = modules.get(tensor.removesuffix(".weight").partition(".parametrizations")[0])
            if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                continue
            read.add(name)

            def keep(_: nn.Module, given: tuple[Tensor, ...], group: str = name, axis=axis) -> None:
                channels = given[0] if given[0].dim() == 2 else given[0].transpose(0, 1).flatten(1).t()
                scores[group] += sum_by_channel(channels.abs().float().mean(0).cpu(), axis, group)

            handles.append(layer.register_forward_pre_hook(keep))
    if missing := [name for name in graph.groups if name not in read]:
        raise ConfigError(f"score: no layer receives channel group '{missing[0]}' as its input; choose another score")
    try:
        for given, _ in inputs_of(probe, num_images, batch_size):
            call(probe.network, given)
    finally:
        for handle in handles:
            handle.remove()
    return scores


def direction_sensitivity(
    probe: Probe,
    graph: ChannelGraph,
    *,
    num_images: int = 1000,
    batch_size: int = 10,
    num_directions: int = 10,
    strength: float = 5.0,
    image_layers: bool = False,
) -> Scores:
    """Return gradients of ``|G(w) - G(w + strength d)|`` for the filters that read a channel.

    d is a random unit direction, w the style of a StyleGAN2 and the input of every other network.
    """
    gradients = OutgoingGradients(probe.network, graph, image_layers)
    draw = torch.Generator().manual_seed(probe.seed)
    for given, _ in inputs_of(probe, num_images, batch_size):
        if isinstance(probe.network, StyledGenerator):
            given = probe.network.mapping(given)[:, None].detach()
        for _ in range(num_directions):
            drawn = torch.randn(given.shape, generator=draw).to(given)
            direction = F.normalize(drawn.flatten(1), dim=1).view_as(given)
            gradients.add((probe.network(given) - probe.network(given + strength * direction)).abs().sum())
    return gradients.scores
