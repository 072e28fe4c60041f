"""What students that draw from noise learn from beside the image: images on the way, latents that move, the mapping."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.architecture_search import SearchSpace
from gancompress.channels import trace
from gancompress.errors import ConfigError
from gancompress.jobs.steps import Distill, Finetune, Work
from gancompress.losses import latent_direction_loss
from gancompress.methods.initial_weights import with_modules_of
from gancompress.networks.families.stylegan2 import StyleGan2Generator
from gancompress.networks.generator import Generator
from gancompress.networks.registry import FAMILIES, build
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.students import FixedStudent, Student, SupernetStudent, tapped
from gancompress.objectives.supervision import Supervision
from gancompress.tasks import LatentTask, find_task
from gancompress.training import TrainingOptions
from tests.jobs.steps.small_work import distillation, make_surroundings

TASK = LatentTask(latent_size=6)
CONFIG = {"resolution": 16, "channel_max": 4, "latent_size": 6, "num_mapping_layers": 2}
FAMILY = FAMILIES.find("stylegan2").parse(CONFIG)


def generator(seed: int) -> StyleGan2Generator:
    torch.manual_seed(seed)
    network = build("stylegan2", CONFIG)
    assert isinstance(network, StyleGan2Generator)
    return network


def batch(size: int = 3) -> dict:
    return dict(TASK.prepare({"input": torch.zeros(size, 3, 16, 16), "name": [""] * size}, "train", range(size)))


def game(student: Student | nn.Module, teacher: nn.Module, task=TASK, taps=FAMILY.distillation_taps, **options):
    chosen = student if isinstance(student, Student) else FixedStudent(student)
    weights = distillation(**options)
    example = torch.zeros(1, 6 + len(task.classes))
    supervision = Supervision(teacher.eval(), nn.Identity(), weights, taps, FAMILY.image_taps)
    return Distillation(task, chosen, supervision, example)


def loss_of(objective: Distillation, name: str) -> Tensor:
    torch.manual_seed(7)
    return objective.phases[0].loss(batch(), objective.forward(batch(), 0))[name]


@torch.no_grad()
def test_image_taps_return_what_is_drawn_up_to_each_resolution():
    network, latent = generator(0).eval(), batch()["input"]
    with tapped(network, FAMILY.image_taps) as collected:
        network(latent)
    images = network.images(latent)
    assert [image.shape[-1] for image in images] == [4, 8, 16]
    assert all(torch.equal(collected[tap], image) for tap, image in zip(FAMILY.image_taps, images, strict=True))


def test_images_on_the_way_are_compared_at_every_resolution():
    teacher, student = generator(0), generator(1)
    objective = game(student, teacher, multi_scale_rgb={"weight": 3})
    loss = loss_of(objective, "multi_scale_rgb")
    torch.manual_seed(7)
    maps, latent = teacher.new_noise(3), batch()["input"]
    pairs = zip(student.images(latent, maps), teacher.images(latent, maps), strict=True)
    assert loss.item() == pytest.approx(3 * sum((x - y).abs().mean().item() for x, y in pairs), rel=1e-5)
    loss.backward()
    assert student.to_rgb[0].get_submodule("conv").weight.grad.abs().sum() > 0
    own = game(student, teacher, multi_scale_rgb={"weight": 1, "taps": ["to_rgb.0"], "distance": "l2"})
    gap = (student.images(latent, maps)[0] - teacher.images(latent, maps)[0]).square().mean()
    assert loss_of(own, "multi_scale_rgb").item() == pytest.approx(gap.item(), rel=1e-5)


def test_networks_without_images_on_the_way_are_told_so():
    network = build("sngan_32", {"ngf": 4, "latent_size": 6})
    supervision = Supervision(network, nn.Identity(), distillation(multi_scale_rgb={"weight": 1}))
    with pytest.raises(ConfigError, match="multi_scale_rgb got no feature maps, expected some; name modules"):
        Distillation(TASK, FixedStudent(network), supervision, torch.zeros(1, 6))


def relations(maps: Tensor, moved: Tensor) -> Tensor:
    rows = [[F.cosine_similarity(a.flatten(), b.flatten(), dim=0) for b in moved] for a in maps]
    return torch.tensor(rows).softmax(1)


def divergence(before, after, teacher_before, teacher_after) -> float:
    total = 0.0
    for ours, theirs in zip(map(relations, before, after), map(relations, teacher_before, teacher_after), strict=True):
        total += (theirs * (theirs / ours).log()).sum(1).mean().item()
    return total


def test_latent_directions_by_their_formula():
    torch.manual_seed(0)
    maps = [[torch.randn(3, width, 4, 4) for width in (2, 5)] for _ in range(4)]
    named = [dict(zip("ab", each, strict=True)) for each in maps]
    assert latent_direction_loss(*named).item() == pytest.approx(divergence(*maps), rel=1e-4)
    assert latent_direction_loss(named[0], named[1], named[0], named[1]).item() == 0.0
    with pytest.raises(ConfigError, match="latent directions: got student maps of a, expected those of a, b"):
        latent_direction_loss({"a": maps[0][0]}, *named[1:])


def test_both_networks_move_in_the_same_directions():
    teacher, student = generator(0), generator(1)
    loss = loss_of(game(student, teacher, latent_directions={"weight": 30, "length": 5}), "latent_directions")
    torch.manual_seed(7)
    maps, latent = teacher.new_noise(3), batch()["input"]
    steps = torch.randn(3, 6)
    steps = 5 * steps / steps.norm(dim=1, keepdim=True)
    seen = []
    for network in (student, teacher):
        for offset in (torch.zeros(3, 6), steps):
            styles = network.mapping(latent) + offset
            with torch.no_grad(), tapped(network, FAMILY.distillation_taps) as collected:
                network(styles[:, None], maps)
            seen.append(list(collected.values()))
    assert loss.item() == pytest.approx(30 * divergence(*seen), rel=1e-4)
    loss.backward()
    assert student.input.weight.grad.abs().sum() > 0


def test_a_supernet_moves_too_and_its_widest_network_is_its_teacher():
    teacher = generator(0)
    graph = trace(build("stylegan2", CONFIG), (torch.zeros(1, 6),), multiple=1, minimum=1)
    student = SupernetStudent(
        copy.deepcopy(teacher), graph, SearchSpace.from_graph(graph, 2), 0, "sandwich", num_random=0
    )
    objective = game(student, teacher, latent_directions={"weight": 1}, multi_scale_rgb={"weight": 1})
    (phase,) = objective.phases
    widest, narrowest = (phase.loss(batch(), made) for made in objective.passes(batch(), 0))
    assert {name: value.item() for name, value in widest.items()} == {"latent_directions": 0.0, "multi_scale_rgb": 0.0}
    assert all(value.item() > 0 for value in narrowest.values())


def test_networks_without_styles_move_their_noise():
    task = LatentTask(latent_size=6, classes=("a", "b"))
    config = {"ngf": 4, "latent_size": 6, "num_classes": 2}
    teacher, taps = build("sngan_32", config), ("blocks.0",)
    objective = game(copy.deepcopy(teacher), teacher, task, taps, latent_directions={"weight": 1})
    given = torch.cat([torch.randn(3, 6), torch.eye(2)[[0, 1, 0]]], 1)
    steps = objective._directions.draw(given)
    torch.testing.assert_close(steps.norm(dim=1), torch.full((3,), 5.0))
    moved, keywords = objective._directions.moved(teacher, given, steps)
    assert keywords == {}
    torch.testing.assert_close(moved, torch.cat([given[:, :6] + steps, given[:, 6:]], 1))


def test_other_tasks_have_no_latents():
    network = build("resnet", {"ngf": 4, "num_blocks": 1})
    options = distillation(latent_directions={"weight": 1})
    supervision = Supervision(network, nn.Identity(), options, ("blocks.0",))
    with pytest.raises(ConfigError, match="latent_directions: got the task 'paired', expected 'latent'"):
        Distillation(find_task("paired"), FixedStudent(network), supervision, torch.zeros(1, 3, 16, 16))


def work() -> Work:
    teacher = Generator.from_module(generator(0), "stylegan2", CONFIG)
    return Work(teacher, teacher)


def training() -> TrainingOptions:
    return TrainingOptions(num_images=4, batch_size=2, ema_half_life=2)


def mapping_of(network: Generator) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in network.state.items() if name.startswith("mapping.")}


@pytest.mark.parametrize("fixed", [(), ("mapping",)])
def test_a_fresh_student_with_the_mapping_network_of_its_teacher(tmp_path, fixed):
    """Copied at the beginning; after training it is still the same only where it is fixed."""
    around = make_surroundings(tmp_path, None, task=TASK)
    options = distillation(l1=1, fixed=fixed)
    step = Distill(
        initial="random", inherit=("mapping",), keep=0.5, multiple=1, distillation=options, training=training()
    )
    given = work()
    student = step.run(given, *around).generator
    same = {name: torch.equal(tensor, given.teacher.state[name]) for name, tensor in mapping_of(student).items()}
    weights = [equal for name, equal in same.items() if not name.endswith("scale")]
    assert all(weights) if fixed else not any(weights)
    assert student.state["input.weight"].shape[1] == 2


def test_what_is_inherited_is_a_module_of_both():
    teacher = work().teacher
    fresh = teacher.fresh(5)
    whole = with_modules_of(teacher, fresh, ["mapping"])
    assert all(torch.equal(tensor, teacher.state[name]) for name, tensor in mapping_of(whole).items())
    assert torch.equal(whole.state["input.weight"], fresh.state["input.weight"])
    with pytest.raises(ConfigError, match="inherit: got 'maping', expected a module of the teacher; did you mean 'map"):
        with_modules_of(teacher, fresh, ["maping"])
    other = {**CONFIG, "channel_max": 2}
    narrow = Generator.from_module(build("stylegan2", other), "stylegan2", other)
    with pytest.raises(ConfigError, match=r"inherit: got 'input', but input\.weight is not the same size in the stud"):
        with_modules_of(teacher, narrow, ["input"])


def test_what_is_fixed_is_a_module_of_the_student(tmp_path):
    around = make_surroundings(tmp_path, None, task=TASK)
    options = distillation(l1=1, fixed=["maping"])
    with pytest.raises(ConfigError, match="fixed: got 'maping', expected a module of the student; did you mean 'mapp"):
        Finetune(distillation=options, training=training()).run(work(), *around)
