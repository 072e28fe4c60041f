from __future__ import annotations

import torch
from torch import nn

from gancompress.networks.registry import build
from gancompress.training.layout import restore_image_convolutions, speed_up_image_convolutions

CPU = torch.device("cpu")


def test_only_convolutions_of_images_get_channels_last_inputs():
    seen: dict[str, bool] = {}
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 3, 3))
    )
    for name, module in network.named_children():
        module.register_forward_hook(lambda _, x, __, name=name: seen.update({name: not x[0].is_contiguous()}))
    image = torch.randn(2, 3, 16, 16)
    for _ in range(2):
        speed_up_image_convolutions(network, CPU)
    network(image)
    assert (seen["0"], seen["3"]) == (True, True)
    assert not seen["2"]
    restore_image_convolutions(network)
    network(image)
    assert seen == dict.fromkeys("0123", False)


def test_gradients_differ_by_rounding_alone():
    torch.manual_seed(0)
    network, image = build("resnet", {"ngf": 4, "num_blocks": 1}), torch.randn(2, 3, 16, 16)

    def gradients() -> list[torch.Tensor]:
        return list(torch.autograd.grad(network(image).square().mean(), list(network.parameters())))

    plain = gradients()
    speed_up_image_convolutions(network, CPU)
    fast = gradients()
    for one, other in zip(plain, fast, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_other_devices_are_left_alone():
    network = nn.Sequential(nn.Conv2d(3, 8, 3))
    speed_up_image_convolutions(network, torch.device("meta"))
    assert not network[0]._forward_pre_hooks
