from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from gancompress.errors import ConfigError
from gancompress.losses import (
    ChannelDistillation,
    FeatureDistillation,
    angle_relation,
    distance_relation,
    fsp_loss,
    fsp_matrix,
    image_items,
    kernel_alignment,
    kernel_alignment_loss,
    relation_loss,
)

STUDENT = {"model.9": torch.rand(4, 5, 6, 7), "model.12": torch.rand(4, 3, 6, 7)}
TEACHER = {"model.9": torch.rand(4, 8, 6, 7), "model.12": torch.rand(4, 8, 6, 7)}


def value(scalar: torch.Tensor) -> float:
    return scalar.detach().item()


def channels(maps: dict[str, torch.Tensor]) -> dict[str, int]:
    return {name: each.shape[1] for name, each in maps.items()}


def narrowed(maps: dict[str, torch.Tensor], width: int) -> dict[str, torch.Tensor]:
    return {name: each[:, :width] for name, each in maps.items()}


ADAPTED = {"features": FeatureDistillation, "channels": ChannelDistillation}


def test_feature_distillation():
    loss = FeatureDistillation(channels(STUDENT), channels(TEACHER))
    expected = 0.0
    for conv, name in zip(loss.adaptors, STUDENT, strict=True):
        adapted = torch.einsum("bchw,dc->bdhw", STUDENT[name], conv.weight[..., 0, 0]) + conv.bias.view(1, -1, 1, 1)
        expected += value((adapted - TEACHER[name]).pow(2).mean())
    assert value(loss(STUDENT, TEACHER)) == pytest.approx(expected, rel=1e-5)


def test_feature_distillation_of_a_narrow_student_uses_leading_columns():
    loss = FeatureDistillation(channels(STUDENT), channels(TEACHER))
    narrow = FeatureDistillation(dict.fromkeys(STUDENT, 2), channels(TEACHER))
    for small, conv in zip(narrow.adaptors, loss.adaptors, strict=True):
        small.weight.data, small.bias.data = conv.weight.data[:, :2], conv.bias.data
    assert torch.allclose(loss(narrowed(STUDENT, 2), TEACHER), narrow(narrowed(STUDENT, 2), TEACHER))
    loss(narrowed(STUDENT, 2), TEACHER).backward()
    for conv in loss.adaptors:
        assert conv.weight.grad[:, :2].abs().sum() > 0
        assert conv.weight.grad[:, 2:].abs().sum() == 0


def test_feature_distillation_of_a_batch_is_the_mean_of_its_parts():
    loss = FeatureDistillation(channels(STUDENT), channels(TEACHER))
    halves = [
        loss({name: each[part] for name, each in STUDENT.items()}, {name: each[part] for name, each in TEACHER.items()})
        for part in (slice(0, 2), slice(2, 4))
    ]
    assert torch.allclose(loss(STUDENT, TEACHER), torch.stack(halves).mean())


@pytest.mark.parametrize("kind", ADAPTED)
def test_no_gradient_reaches_the_teacher(kind):
    teacher = {name: each.clone().requires_grad_(True) for name, each in TEACHER.items()}
    student = {name: each.clone().requires_grad_(True) for name, each in STUDENT.items()}
    ADAPTED[kind](channels(STUDENT), channels(TEACHER))(student, teacher).backward()
    assert all(each.grad is None for each in teacher.values())
    assert all(each.grad is not None for each in student.values())


@pytest.mark.parametrize("kind", ADAPTED)
def test_taps_and_widths_are_checked(kind):
    loss = ADAPTED[kind](channels(STUDENT), channels(TEACHER))
    with pytest.raises(ConfigError, match=r"got student maps of model\.9, expected those of model\.9, model\.12"):
        loss({"model.9": STUDENT["model.9"]}, TEACHER)
    with pytest.raises(
        ConfigError, match=r"distillation of model\.9: got a student's map with 8 channels, .* at most 5"
    ):
        loss(TEACHER, TEACHER)
    with pytest.raises(ConfigError, match="at least one layer"):
        ADAPTED[kind]({}, {})


def test_sizes_are_checked():
    loss = FeatureDistillation(channels(STUDENT), channels(TEACHER))
    with pytest.raises(ConfigError, match="expected equal ones"):
        loss({name: each[..., :3] for name, each in STUDENT.items()}, TEACHER)


def test_channel_distillation():
    loss = ChannelDistillation(channels(STUDENT), channels(TEACHER))
    expected = 0.0
    for conv, norm, name in zip(loss.convs, loss.norms, STUDENT, strict=True):
        x = F.conv2d(STUDENT[name], conv.weight, conv.bias)
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
        adapted = ((x - mean) / (var + norm.eps).sqrt()).clamp_min(0)
        expected += value((adapted.mean((2, 3)) - TEACHER[name].mean((2, 3))).pow(2).mean())
    assert value(loss(STUDENT, TEACHER)) == pytest.approx(expected, rel=1e-4)
    other_size = {name: F.interpolate(each, scale_factor=2) for name, each in TEACHER.items()}
    assert value(loss(STUDENT, other_size)) == pytest.approx(expected, rel=1e-4)


def test_fsp():
    a, b = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4)
    expected = torch.einsum("bchw,bdhw->bcd", a, b) / 16
    assert torch.allclose(fsp_matrix(a, b), expected)
    pooled = torch.einsum("bchw,bdhw->bcd", a, F.max_pool2d(torch.cat([b, b], 3), (1, 2))) / 16
    assert torch.allclose(fsp_matrix(a, torch.cat([b, b], 3)), pooled)
    c, d = torch.rand(2, 3, 8, 8), torch.rand(2, 5, 8, 8)
    difference = expected - torch.einsum("bchw,bdhw->bcd", c, d) / 64
    assert torch.allclose(fsp_loss([(a, b), (a, b)], [(c, d), (a, b)]), difference.pow(2).sum((1, 2)).mean())
    with pytest.raises(ConfigError, match="fsp: got 1 pairs of layers of the student and 2 of the teacher"):
        fsp_loss([(a, b)], [(a, b), (c, d)])
    with pytest.raises(ConfigError, match="fsp: got shapes"):
        fsp_loss([(a, b)], [(a, a)])


def test_kernel_alignment():
    x, y = torch.rand(4, 6), torch.rand(4, 9)
    kernels = [torch.stack([torch.stack([a @ b for b in rows]) for a in rows]) for rows in (x, y)]
    expected = (kernels[0] * kernels[1]).sum() / math.sqrt(value(kernels[0].pow(2).sum() * kernels[1].pow(2).sum()))
    assert torch.allclose(kernel_alignment(x, y), expected)
    rotation = torch.linalg.qr(torch.rand(6, 6)).Q
    assert torch.allclose(kernel_alignment(x, 3 * x @ rotation), torch.ones(()))
    alignments = [kernel_alignment(STUDENT[name].flatten(1), TEACHER[name].flatten(1)) for name in STUDENT]
    assert torch.allclose(kernel_alignment_loss(STUDENT, TEACHER), 2 - torch.stack(alignments).sum(), atol=1e-5)
    assert value(kernel_alignment_loss(TEACHER, TEACHER)) == pytest.approx(0, abs=1e-5)
    with pytest.raises(ConfigError, match=r"features of 1 and 1 images.*raise the batch size"):
        kernel_alignment(x[:1], y[:1])


def plain_relations(items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    n = len(items)
    distances = torch.tensor([[value((items[i] - items[j]).norm()) for j in range(n)] for i in range(n)])
    cosines = torch.zeros(n, n, n)
    for i in range(n):
        for j in range(n):
            for k in range(n):
                a, b = items[i] - items[j], items[k] - items[j]
                if i != j != k:
                    cosines[j, i, k] = value(a @ b / (a.norm() * b.norm()))
    return distances / distances[distances > 0].mean(), cosines


def test_relations():
    student, teacher = torch.rand(2, 5, 4), torch.rand(2, 5, 7)
    plain = [(plain_relations(x), plain_relations(y)) for x, y in zip(student, teacher, strict=True)]
    distance = torch.stack([F.smooth_l1_loss(x[0], y[0]) for x, y in plain]).mean()
    angle = torch.stack([F.smooth_l1_loss(x[1], y[1]) for x, y in plain]).mean()
    assert torch.allclose(distance_relation(student, teacher), distance, atol=1e-6)
    assert torch.allclose(angle_relation(student, teacher), angle, atol=1e-6)


def test_relation_loss():
    x, y = torch.rand(2, 2, 3, 8, 4)
    x.requires_grad_(True)
    assert [image_items(x, kind, 4).shape for kind in ("rows", "columns", "patches")] == [
        (2, 8, 12),
        (2, 4, 24),
        (2, 2, 48),
    ]
    assert image_items(x, "patches", 4)[1, 1].equal(x[1, :, 4:, :].flatten())
    items = [(image_items(x, kind, 4), image_items(y, kind, 4)) for kind in ("rows", "columns", "patches")]
    expected = sum(value(distance_relation(a, b) + 2 * angle_relation(a, b)) for a, b in items)
    loss = relation_loss(x, y, patch_px=4)
    assert value(loss) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert value(relation_loss(x, x, patch_px=4)) == 0


def test_relation_of_equal_items_has_a_finite_gradient():
    x = torch.ones(1, 3, 4, 4, requires_grad=True)
    relation_loss(x, torch.rand(1, 3, 4, 4), items=("rows",)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_relation_errors():
    with pytest.raises(ConfigError, match="images of 8x4 for patches of 3 px"):
        relation_loss(torch.rand(1, 3, 8, 4), torch.rand(1, 3, 8, 4), patch_px=3)
    with pytest.raises(ConfigError, match="got items 'blocks'"):
        image_items(torch.rand(1, 3, 8, 4), "blocks")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="relation: got shapes"):
        relation_loss(torch.rand(1, 3, 8, 4), torch.rand(1, 3, 4, 4))
