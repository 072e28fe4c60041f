"""StyleGAN2 in the layout of rosinality's files, written plainly from the paper's formulas: the weight is modulated and
demodulated for every image, and then convolves. Filters are convolutions with an outer product of [1, 3, 3, 1].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
TAPS = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def generator_state(shape: list[int], style: int, draw: torch.Generator, colours: int = 3) -> State:
    """All tensors of a generator of these widths; ``shape`` is the constant and every layer."""

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=draw)

    state: State = {}
    for i in range(8):
        state |= {f"style.{i + 1}.weight": normal(style, style) * 100, f"style.{i + 1}.bias": normal(style) * 10}
    state["input.input"] = normal(1, shape[0], 4, 4)
    for i in range(len(shape) - 1):
        name = f"convs.{i - 1}" if i else "conv1"
        state |= {
            f"{name}.conv.weight": normal(1, shape[i + 1], shape[i], 3, 3),
            f"{name}.conv.modulation.weight": normal(shape[i], style),
            f"{name}.conv.modulation.bias": 1 + 0.1 * normal(shape[i]),
            f"{name}.noise.weight": 0.1 * normal(1),
            f"{name}.activate.bias": 0.1 * normal(shape[i + 1]),
        }
        px = 4 * 2 ** ((i + 1) // 2)
        state[f"noises.noise_{i}"] = normal(1, 1, px, px)
        if i % 2:
            state[f"{name}.conv.blur.kernel"] = TAPS * 4
    for k, width in enumerate(shape[1::2]):
        name = f"to_rgbs.{k - 1}" if k else "to_rgb1"
        state |= {
            f"{name}.conv.weight": normal(1, colours, width, 1, 1),
            f"{name}.conv.modulation.weight": normal(width, style),
            f"{name}.conv.modulation.bias": 1 + 0.1 * normal(width),
            f"{name}.bias": 0.1 * normal(1, colours, 1, 1),
        }
        if k:
            state[f"{name}.upsample.kernel"] = TAPS * 4
    return state


def linear(state: State, name: str, x: Tensor, rate: float = 1.0) -> Tensor:
    weight = state[f"{name}.weight"]
    return x @ (weight * rate / math.sqrt(weight.shape[1])).T + state[f"{name}.bias"] * rate


def activation(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def filtered(x: Tensor, before: int, after: int, gain: float) -> Tensor:
    b, c, h, w = x.shape
    padded = F.pad(x, (before, after, before, after)).reshape(b * c, 1, h + before + after, w + before + after)
    out = F.conv2d(padded, (TAPS * gain).to(x)[None, None])
    return out.reshape(b, c, *out.shape[2:])


def doubled(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    spread = x.new_zeros(b, c, 2 * h, 2 * w)
    spread[:, :, ::2, ::2] = x
    return filtered(spread, 2, 1, 4)


def modulated(state: State, name: str, x: Tensor, style: Tensor, *, demodulate: bool, up: bool = False) -> Tensor:
    weight = state[f"{name}.weight"][0]
    scales = linear(state, f"{name}.modulation", style)
    images = []
    for image, scale in zip(x, scales, strict=True):
        own = weight / math.sqrt(weight[0].numel()) * scale[None, :, None, None]  # w' = s w
        if demodulate:
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()  # w'' = w' / |w'|
        if up:
            images.append(filtered(F.conv_transpose2d(image[None], own.transpose(0, 1), stride=2), 1, 1, 4))
        else:
            images.append(F.conv2d(image[None], own, padding=own.shape[-1] // 2))
    return torch.cat(images)


def generate(state: State, z: Tensor, noise: list[Tensor] | None = None) -> Tensor:
    """The image that the tensors draw from z [b, style], with their own noise maps or the given ones."""
    style = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for i in range(8):
        style = activation(linear(state, f"style.{i + 1}", style, rate=0.01))
    num_layers = sum(name.startswith("noises.") for name in state)
    x = state["input.input"].repeat(len(z), 1, 1, 1)
    image = None
    for i in range(num_layers):
        name = f"convs.{i - 1}" if i else "conv1"
        x = modulated(state, f"{name}.conv", x, style, demodulate=True, up=bool(i % 2))
        x = x + state[f"{name}.noise.weight"] * (noise[i] if noise else state[f"noises.noise_{i}"])
        x = activation(x + state[f"{name}.activate.bias"][:, None, None])
        if i % 2 == 0:
            name = f"to_rgbs.{i // 2 - 1}" if i else "to_rgb1"
            drawn = modulated(state, f"{name}.conv", x, style, demodulate=False) + state[f"{name}.bias"]
            image = drawn if image is None else drawn + doubled(image)
    assert image is not None
    return image


def discriminator_state(widths: list[int], draw: torch.Generator, colours: int = 3) -> State:
    """All tensors of a discriminator; ``widths`` are those of every resolution, the highest first, 4 pixels last."""

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=draw)

    state = {"convs.0.0.weight": normal(widths[0], colours, 1, 1), "convs.0.1.bias": 0.1 * normal(widths[0])}
    for i in range(len(widths) - 1):
        wide, name = widths[i], f"convs.{i + 1}"
        state |= {
            f"{name}.conv1.0.weight": normal(wide, wide, 3, 3),
            f"{name}.conv1.1.bias": 0.1 * normal(wide),
            f"{name}.conv2.0.kernel": TAPS,
            f"{name}.conv2.1.weight": normal(widths[i + 1], wide, 3, 3),
            f"{name}.conv2.2.bias": 0.1 * normal(widths[i + 1]),
            f"{name}.skip.0.kernel": TAPS,
            f"{name}.skip.1.weight": normal(widths[i + 1], wide, 1, 1),
        }
    last = widths[-1]
    return state | {
        "final_conv.0.weight": normal(last, last + 1, 3, 3),
        "final_conv.1.bias": 0.1 * normal(last),
        "final_linear.0.weight": normal(last, last * 16),
        "final_linear.0.bias": 0.1 * normal(last),
        "final_linear.1.weight": normal(1, last),
        "final_linear.1.bias": 0.1 * normal(1),
    }


def judge(state: State, image: Tensor) -> Tensor:
    """Logits of images [4, 3, h, w]: one group of four."""

    def conv(name: str, x: Tensor, **how: int) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight / math.sqrt(weight[0].numel()), **how)

    def biased(name: str, x: Tensor) -> Tensor:
        return activation(x + state[f"{name}.bias"][:, None, None])

    x = biased("convs.0.1", conv("convs.0.0", image))
    for i in range(sum(name.endswith("skip.1.weight") for name in state)):
        name = f"convs.{i + 1}"
        new = biased(f"{name}.conv1.1", conv(f"{name}.conv1.0", x, padding=1))
        new = biased(f"{name}.conv2.2", conv(f"{name}.conv2.1", filtered(new, 2, 2, 1), stride=2))
        x = (new + conv(f"{name}.skip.1", filtered(x, 1, 1, 1), stride=2)) / math.sqrt(2)
    mean = x.mean(0)
    spread = ((x - mean).square().mean(0) + 1e-8).sqrt().mean()
    x = torch.cat([x, spread.expand(len(x), 1, 4, 4)], 1)
    x = biased("final_conv.1", conv("final_conv.0", x, padding=1)).flatten(1)
    return linear(state, "final_linear.1", activation(linear(state, "final_linear.0", x)))
