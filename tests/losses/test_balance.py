from __future__ import annotations

import pytest
import torch

from gancompress.losses import balance_gradients

IMAGE = torch.linspace(-1, 1, 24).view(2, 3, 2, 2).requires_grad_()


@pytest.mark.parametrize(("scale", "bound"), [(8.0, 0.25), (0.01, 0.25), (3.0, 2.0)])
def test_the_adversarial_gradient_is_bounded_and_never_raised(scale, bound):
    image = IMAGE * 1
    others, adversarial = image.square().sum(), scale * image.sum()
    balance = balance_gradients(adversarial, others, image, bound)
    other_norm, norm = 2 * IMAGE.norm().item(), scale * IMAGE.numel() ** 0.5
    assert balance is not None
    assert balance.ratio.item() == pytest.approx(norm / other_norm)
    assert balance.factor.item() == pytest.approx(min(1.0, bound * other_norm / norm))
    assert not balance.factor.requires_grad
    assert balance.term.item() == pytest.approx((balance.factor * adversarial).item(), rel=1e-5)
    (bounded,) = torch.autograd.grad(balance.term, image, retain_graph=True)
    (gradient,) = torch.autograd.grad(adversarial, image)
    torch.testing.assert_close(bounded, balance.factor * gradient)


def test_no_gradient_at_all_leaves_the_weight():
    image = IMAGE * 1
    balance = balance_gradients((0 * image).sum(), image.sum(), image, 0.1)
    assert balance is not None
    assert balance.factor.item() == 1.0


def test_without_other_terms_on_the_image_there_is_no_balance():
    image, features = IMAGE * 1, (IMAGE * 2).sum()
    assert balance_gradients(image.sum(), features, image, 0.1) is None
    assert balance_gradients(image.sum(), torch.zeros(()), image, 0.1) is None
