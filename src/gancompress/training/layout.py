"""Memory layouts in which layers train faster."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FEW_CHANNELS = 4


def speed_up_image_convolutions(network: nn.Module, device: torch.device) -> None:
    """Give convolutions from or to images channels-last inputs, on the CPU, until `restore_image_convolutions`.

    oneDNN pads channels to its blocks of 8 or 16 and falls back to slow kernels for the gradients of a convolution
    with 3 channels on one side: on an AMD EPYC, forward and backward of 7x7 from 8 to 3 channels take 27 ms for 8
    images of 64x64 in bfloat16, 7 ms with channels last. Other layers stay as they are: norms would copy back.
    Values change only by rounding.

    Args:
        network: A network in training; may be sped up already.
        device: Its device.
    """
    if device.type != "cpu":
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _fits(module) and _channels_last not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_channels_last)


def restore_image_convolutions(network: nn.Module) -> None:
    """Undo `speed_up_image_convolutions`, in copies of a network too."""
    for module in network.modules():
        for key, hook in list(module._forward_pre_hooks.items()):
            if hook is _channels_last:
                del module._forward_pre_hooks[key]


def _fits(conv: nn.Conv2d) -> bool:
    return conv.groups == 1 and conv.kernel_size != (1, 1) and min(conv.in_channels, conv.out_channels) <= _FEW_CHANNELS


def _channels_last(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0].contiguous(memory_format=torch.channels_last), *inputs[1:])
