"""Distillation on the content: what the masked terms see, and masks that cannot be used."""

from __future__ import annotations

import warnings

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ConfigError, DataError
from gancompress.jobs.steps import Finetune, Work
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.students import FixedStudent
from gancompress.objectives.supervision import Supervision
from gancompress.tasks import LatentTask, find_task
from gancompress.training import TrainingOptions
from tests.jobs.steps.small_work import distillation, make_surroundings, make_work

ELLIPSE = {"kind": "ellipse", "height": 0.5, "width": 0.8}


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return tuple(build("resnet", {"ngf": ngf, "num_blocks": 1}).eval() for ngf in (6, 4))


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return {name: torch.randn(2, 3, 16, 16).tanh() for name in ("input", "target")}


class Pyramid(nn.Module):
    def forward(self, images: Tensor) -> list[Tensor]:
        return [images * 2, images[:, :2, ::2, ::2] ** 2]


def saved(module: nn.Module, path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return str(path)


def game(networks, task: str = "paired", **options) -> Distillation:
    teacher, student = networks
    weights = distillation(**{"reconstruct": "teacher", **options})
    example = torch.zeros(1, 3, 16, 16)
    return Distillation(find_task(task), FixedStudent(student), Supervision(teacher, nn.Identity(), weights), example)


def losses(objective: Distillation, batch) -> dict[str, Tensor]:
    return objective.phases[0].loss(batch, objective.forward(batch, 0))


def inside() -> Tensor:
    """The ellipse, by its equation at the middle of each pixel."""
    mask = torch.zeros(16, 16)
    for i in range(16):
        for j in range(16):
            y, x = (i + 0.5) / 8 - 1, (j + 0.5) / 8 - 1
            mask[i, j] = float((y / 0.5) ** 2 + (x / 0.8) ** 2 <= 1)
    return mask


def unit(features: Tensor) -> Tensor:
    return features / features.square().sum(1, keepdim=True).sqrt().clamp_min(1e-10)


def distance(x: Tensor, y: Tensor) -> Tensor:
    """LPIPS without learned weights over the pyramid, image by image."""
    pairs = zip(Pyramid()((x + 1) / 2), Pyramid()((y + 1) / 2), strict=True)
    return torch.stack([(unit(a) - unit(b)).square().sum(1).mean((1, 2)) for a, b in pairs]).sum(0)


@pytest.mark.parametrize("reconstruct", ["teacher", "auto"])
def test_pixels_and_perceptual_distances_see_the_content_alone(networks, batch, tmp_path, reconstruct):
    path = saved(Pyramid(), tmp_path / "pyramid.pt")
    objective = game(
        networks,
        reconstruct=reconstruct,
        l1=3,
        lpips={"weight": 5, "network": path},
        perceptual={"weight": 2, "network": path, "content": [1, 0], "style": [0, 0]},
        ssim={"weight": 1},
        content=ELLIPSE,
    )
    made = losses(objective, batch)
    teacher, student = (network(batch["input"]).detach() for network in networks)
    target, mask = teacher if reconstruct == "teacher" else batch["target"], inside()
    gap = ((student - target) * mask).abs().mean()  # over all pixels
    assert made["l1"].item() == pytest.approx(3 * gap.item(), rel=1e-5)
    assert made["perceptual"].item() == pytest.approx(2 * gap.item(), rel=1e-5)
    expected = 5 * distance(student * mask, target * mask).mean()
    assert made["lpips"].item() == pytest.approx(expected.item(), rel=1e-4)
    plain = losses(game(networks, reconstruct=reconstruct, ssim={"weight": 1}), batch)
    assert made["ssim"].item() == pytest.approx(plain["ssim"].item(), rel=1e-6)


def test_the_mask_is_found_in_the_teachers_image(networks, batch, tmp_path):
    """Two classes: brighter than mid grey, or not."""

    class Bright(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            light = images.mean(1, keepdim=True) - 0.5
            return torch.cat([-light, light], 1)

    path = saved(Bright(), tmp_path / "bright.pt")
    content = {"kind": "network", "path": path, "classes": [1]}
    made = losses(game(networks, l1=1, content=content), batch)
    teacher, student = (network(batch["input"]).detach() for network in networks)
    mask = (teacher.mean(1, keepdim=True) > 0).float()
    assert 0 < mask.mean() < 1
    assert made["l1"].item() == pytest.approx(((student - teacher) * mask).abs().mean().item(), rel=1e-5)


def test_an_image_without_content_is_worth_nothing(networks, batch):
    objective = game(networks, l1=1, content={"kind": "function", "function": f"{__name__}:dark"})
    (loss,) = losses(objective, batch).values()
    assert loss.item() == 0.0


def dark(images: Tensor) -> Tensor:
    return torch.zeros_like(images[:, :1])


def test_no_gradient_reaches_the_student_through_what_is_no_content(networks, batch):
    objective = game(networks, l1=1, content=ELLIPSE)
    made = objective.forward(batch, 0)
    image = made.student.image
    (slope,) = torch.autograd.grad(objective.phases[0].loss(batch, made)["l1"], image)
    assert torch.equal((slope != 0).any(1), inside().bool().expand(2, -1, -1))


def test_lpips_of_large_images_is_taken_of_shrunk_ones(networks, tmp_path):
    path = saved(Pyramid(), tmp_path / "pyramid.pt")
    torch.manual_seed(2)
    x = {"input": torch.randn(1, 3, 64, 96).tanh()}
    made = losses(game(networks, "unpaired", lpips={"weight": 1, "network": path, "max_px": 48}), x)
    shrunk = [
        F.interpolate(network(x["input"]), (32, 48), mode="bilinear", align_corners=False) for network in networks
    ]
    assert made["lpips"].item() == pytest.approx(distance(*reversed(shrunk)).mean().item(), rel=1e-4)


def test_options_of_lpips_that_exclude_one_another():
    with pytest.raises(ConfigError, match=r"terms\.0: got 'weights' or 'heads' beside 'network', expected one or the"):
        distillation(lpips={"network": "a.pt", "heads": "b.pth"})


def finetune(content: dict) -> Finetune:
    options = distillation(l1=1, content=content, reconstruct="teacher")
    return Finetune(distillation=options, training=TrainingOptions(num_images=2, batch_size=1))


def test_masks_that_find_nothing_anywhere_are_refused_before_training(tmp_path):
    step = finetune({"kind": "function", "function": f"{__name__}:dark"})
    with pytest.raises(ConfigError, match=r"content: found none in any of the teacher's first 8 images, expected some"):
        step.run(make_work(), *make_surroundings(tmp_path, None))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_network_that_tells_other_classes_apart(tmp_path):
    class Two(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, :2]

    content = {"kind": "bisenet", "path": saved(Two(), tmp_path / "two.pt"), "input_px": 16}
    with pytest.raises(ConfigError, match=r"mask: .*two\.pt tells 2 classes apart, expected 19 for the content"):
        finetune(content).run(make_work(), *make_surroundings(tmp_path / "run", None))


def test_masks_of_another_size_than_the_images(tmp_path):
    around = make_surroundings(tmp_path / "run", None)
    for name in next(iter(around.inputs.images("train", 8)))["name"]:
        path = tmp_path / "masks" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 255).save(path)
    with pytest.raises(DataError, match=r"mask: .*\.png is 8x8 \(height x width\), expected 16x16 as its image"):
        finetune({"kind": "folder", "root": str(tmp_path / "masks")}).run(make_work(), *around)


def test_images_from_noise_have_no_masks_of_their_own(tmp_path):
    config = {"ngf": 4, "latent_size": 8}
    generator = Generator.from_module(build("sngan_32", config), "sngan_32", config)
    around = make_surroundings(tmp_path, None, task=LatentTask(latent_size=8))
    with pytest.raises(DataError, match="mask: got images without names, expected those of the folder's masks; images"):
        finetune({"kind": "folder", "root": str(tmp_path)}).run(Work(generator, generator), *around)
