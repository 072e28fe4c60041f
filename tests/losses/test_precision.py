from __future__ import annotations

import pytest
import torch

from gancompress.losses import AdversarialLoss, fsp_matrix, kernel_alignment, relation_loss, ssim_loss, total_variation
from gancompress.losses.perceptual import gram
from gancompress.losses.reconstruction import l1, l2, smooth_l1

X, Y = torch.rand(2, 2, 3, 16, 16) * 2 - 1
LOSSES = {
    "ssim": lambda: ssim_loss(X, X + 0.01 * Y),
    "gram": lambda: gram(X) - gram(X + 0.01 * Y),
    "fsp": lambda: fsp_matrix(X, Y),
    "kernel_alignment": lambda: kernel_alignment(X.flatten(1), Y.flatten(1)),
    "relation": lambda: relation_loss(X, Y, patch_px=8),
}


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_changes_nothing(name):
    with torch.autocast("cpu", torch.bfloat16):
        got = LOSSES[name]()
    assert got.dtype == torch.float32
    assert got.equal(LOSSES[name]())


@pytest.mark.parametrize("loss", [l1, l2, smooth_l1, total_variation, AdversarialLoss("hinge").generator])
def test_half_precision_is_averaged_in_full(loss):
    images = [X.bfloat16(), Y.bfloat16()] if loss in (l1, l2, smooth_l1) else [X.bfloat16()]
    assert loss(*images).dtype == torch.float32
    assert torch.allclose(loss(*images), loss(*(each.float() for each in images)))
