"""Noise maps inside generators: a student gets those of its teacher, wherever the two are compared."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gancompress.architecture_search import SearchSpace
from gancompress.channels import trace
from gancompress.data import parse_data
from gancompress.evaluation.options import MetricOptions
from gancompress.evaluation.split_evaluation import Evaluation
from gancompress.networks.families.stylegan2 import StyleGan2Generator
from gancompress.networks.noise import drawn_noise, kept_noise
from gancompress.networks.registry import FAMILIES, build
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.students import FixedStudent, Student, SupernetStudent
from gancompress.objectives.supervision import Supervision
from gancompress.tasks import LatentTask
from gancompress.tasks.inputs import Inputs
from gancompress.training import Checkpoints, TrainingOptions, fit
from tests.jobs.steps.small_work import Lines, distillation

TASK = LatentTask(latent_size=6)
CONFIG = {"resolution": 16, "channel_max": 4, "latent_size": 6, "num_mapping_layers": 2}
TAPS = FAMILIES.find("stylegan2").parse(CONFIG).distillation_taps
COMPARING = {
    "l1": 1,
    "features": 1,
    "ssim": {"weight": 1},
    "relation": {"weight": 1, "patch_px": 8},
    "fsp": {"weight": 1},
}


def generator(seed: int = 0) -> StyleGan2Generator:
    torch.manual_seed(seed)
    network = build("stylegan2", CONFIG)
    assert isinstance(network, StyleGan2Generator)
    with torch.no_grad():
        for layer in network.layers:
            layer.get_parameter("noise_strength").fill_(0.5)
    return network


def batch(start: int = 0, size: int = 2) -> dict:
    images = torch.zeros(size, 3, 16, 16)
    return dict(TASK.prepare({"input": images, "name": [""] * size}, "train", range(start, start + size)))


def game(student: Student, teacher: nn.Module, **options) -> Distillation:
    judge = build("stylegan2_discriminator", {"resolution": 16, "channel_max": 4})
    weights = distillation(**options)
    return Distillation(TASK, student, Supervision(teacher.eval(), judge, weights, TAPS), torch.zeros(1, 6))


def losses(objective: Distillation, position: int = 0) -> dict[str, Tensor]:
    objective.modules["student"].train()
    (phase,) = objective.phases
    return phase.loss(batch(), objective.forward(batch(), position))


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it():
    """Where learned convolutions leave the maps as they are, every term that compares with the teacher is 0."""
    teacher = generator()
    objective = game(FixedStudent(copy.deepcopy(teacher)), teacher, **COMPARING)
    for adaptor in objective.modules["features"].modules():
        if isinstance(adaptor, nn.Conv2d):
            nn.init.dirac_(adaptor.weight)
            nn.init.zeros_(adaptor.get_parameter("bias"))
    assert {name: value.item() for name, value in losses(objective).items()} == dict.fromkeys(
        ("l1", "features", "ssim", "relation", "fsp"), 0.0
    )


def test_noise_is_drawn_for_each_batch_and_each_image():
    teacher = generator()
    objective = game(FixedStudent(copy.deepcopy(teacher)), teacher, l1=1)
    first, second = (objective.forward(batch(), 0) for _ in range(2))
    assert torch.equal(first.student.image, first.target)
    assert not torch.equal(first.target, second.target)
    maps = drawn_noise(teacher, teacher, 2)["noise"]
    assert [tuple(each.shape) for each in maps] == [(2, 1, s, s) for s in (4, 8, 8, 16, 16)]
    assert not torch.equal(maps[-1][0], maps[-1][1])


def test_every_network_of_a_supernet_gets_the_noise_of_the_teacher():
    teacher = generator()
    wide = copy.deepcopy(teacher)
    graph = trace(build("stylegan2", CONFIG), (torch.zeros(1, 6),), multiple=1, minimum=1)
    student = SupernetStudent(wide, graph, SearchSpace.from_graph(graph, 2), 0, "sandwich", num_random=1)
    objective = game(student, teacher, l1=1)
    state = torch.get_rng_state()
    made = [each.student.image for each in objective.passes(batch(), 0)]
    torch.set_rng_state(state)
    maps = teacher.new_noise(2)
    with torch.no_grad():
        expected = [running.network(batch()["input"], noise=maps) for running in student.draw(0)]
    assert len(made) == 3
    assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))
    assert torch.equal(made[0], teacher(batch()["input"], noise=maps))


def test_networks_without_noise_are_given_none():
    stylegan, sngan = generator(), build("sngan_32", {"ngf": 4})
    for first, second in ((stylegan, sngan), (sngan, stylegan), (sngan, sngan)):
        state = torch.get_rng_state()
        assert drawn_noise(first, second, 2) == kept_noise(first, second) == {}
        assert torch.equal(torch.get_rng_state(), state)


def test_evaluation_and_previews_give_both_the_noise_that_the_teacher_holds(tmp_path):
    teacher = generator()
    student = copy.deepcopy(teacher)
    for layer in student.layers:
        layer.get_buffer("noise").normal_()  # as that of a network with fresh weights
    given = batch()["input"]
    assert not torch.equal(student.eval()(given), teacher.eval()(given))
    data = {"kind": "procedural", "image_size": 16, "num_images": {"train": 4, "search": 4, "test": 4}}
    options = MetricOptions(batch_size=4)
    (psnr,) = Evaluation(options, ("psnr",), Inputs(TASK, parse_data(data)), "test", teacher).of(student)
    assert psnr.value == 100.0  # what equal images get
    shown = game(FixedStudent(student), teacher, l1=1).preview(batch(), {"student": student.eval()})
    assert torch.equal(shown["student"], shown["teacher"])


def train(directory: Path, **others) -> dict[str, Tensor]:
    teacher = generator()
    student = generator(1)
    objective = game(FixedStudent(student), teacher, gan=1, **COMPARING)
    options = TrainingOptions(num_images=16, batch_size=2, ema_half_life=8, checkpoint_every=2)

    def loader(start: int, size: int):
        while True:
            yield batch(start, size)
            start += size

    fit(objective, options, loader, Checkpoints(directory), Accelerator(cpu=True), Lines(), seed=3, **others)
    return {name: value.clone() for name, value in student.state_dict().items()}


def test_stopping_and_resuming_changes_no_bit(tmp_path):
    straight = train(tmp_path / "a")
    steps = iter(range(1, 100))
    stopped = train(tmp_path / "b", stop=lambda: next(steps) == 3)
    resumed = train(tmp_path / "b")
    assert all(torch.equal(resumed[name], straight[name]) for name in straight)
    assert any(not torch.equal(stopped[name], straight[name]) for name in straight)


@pytest.mark.parametrize("kind", ["new_noise", "own_noise"])
def test_maps_of_narrow_networks_have_the_same_shapes(kind):
    wide = generator()
    narrow = build("stylegan2", {**CONFIG, "channel_max": 2})
    assert isinstance(narrow, StyleGan2Generator)
    arguments = (2,) if kind == "new_noise" else ()
    shapes = [[each.shape for each in getattr(network, kind)(*arguments)] for network in (wide, narrow)]
    assert shapes[0] == shapes[1]
