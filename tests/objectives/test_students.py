"""What a supernet trains on each batch: its plans, the gradients of a sandwich, and what is exact about them."""

from __future__ import annotations

import shutil

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F

from gancompress.architecture_search import SearchSpace
from gancompress.channels import SubNetwork, trace
from gancompress.errors import ConfigError, Interrupted
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.jobs.steps import Supernet
from gancompress.networks.registry import build
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.objectives.students import SupernetStudent, tapped
from gancompress.objectives.supervision import Supervision
from gancompress.tasks import find_task
from gancompress.training import Checkpoints, TrainingOptions, fit
from tests.jobs.steps.small_work import distillation

TAPS = ("down.1", "blocks.1")
OPTIONS = distillation(l1=10, features=3, gan={"weight": 2, "balance": None})


def images(seed: int, size: int = 2) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn(size, 3, 16, 16, generator=rng).tanh() for name in ("input", "target")}


@pytest.fixture(scope="module")
def graph():
    return trace(build("resnet", {"ngf": 4, "num_blocks": 2}), (torch.zeros(1, 3, 16, 16),), multiple=1, minimum=2)


def networks() -> tuple[nn.Module, nn.Module, nn.Module]:
    torch.manual_seed(0)
    return (
        build("resnet", {"ngf": 6, "num_blocks": 2}).eval(),
        build("resnet", {"ngf": 4, "num_blocks": 2}),
        build("patchgan", {"ndf": 4, "n_layers": 1, "in_channels": 6}),
    )


def supernet(module: nn.Module, graph, **options) -> SupernetStudent:
    return SupernetStudent(module, graph, SearchSpace.from_graph(graph, 3), seed=5, **options)


def game(graph, options: DistillationOptions = OPTIONS, **sampling) -> Distillation:
    teacher, wide, judge = networks()
    example = torch.zeros(1, 3, 16, 16)
    supervision = Supervision(teacher, judge, options, TAPS)
    return Distillation(find_task("paired"), supernet(wide, graph, **sampling), supervision, example)


def test_the_position_alone_decides_the_plans(graph):
    one, other = (supernet(networks()[1], graph, sampling=sampling) for sampling in ("random", "random"))
    space = SearchSpace.from_graph(graph, 3)
    for position in (0, 8, 16):
        plans = one.plans(position)
        torch.rand(7)  # what a process drew before does not matter
        assert other.plans(position) == plans
        assert plans == (space.plan(space.sample(torch.Generator().manual_seed(5 * 1_000_003 + position))),)
    assert len({one.plans(position) for position in range(0, 80, 8)}) > 5


def test_a_sandwich_is_the_widest_the_narrowest_and_some_at_random(graph):
    space = SearchSpace.from_graph(graph, 3)
    student = supernet(networks()[1], graph, sampling="sandwich", num_random=3)
    plans = student.plans(8)
    assert plans == supernet(networks()[1], graph, sampling="sandwich", num_random=3).plans(8)
    assert plans[:2] == (space.plan(space.largest), space.plan(space.smallest))
    assert len(plans) == 5
    assert len(set(plans)) == 5
    assert plans[2:] != student.plans(16)[2:]
    assert len(supernet(networks()[1], graph, sampling="sandwich", num_random=0).plans(8)) == 2


def test_the_shown_networks_are_the_ends_of_the_space(graph):
    wide, x = networks()[1], images(0)["input"]
    space = SearchSpace.from_graph(graph, 3, min_keep=0.5)
    shown = SupernetStudent(wide, graph, space, seed=5).shown(wide)
    assert list(shown) == ["widest", "narrowest"]
    assert torch.equal(shown["widest"](x), wide(x))
    assert torch.equal(shown["narrowest"](x), SubNetwork(wide, graph, space.plan(space.smallest))(x))


def test_gradients_stop_at_the_width_of_the_plan(graph):
    objective = game(graph)
    (plan,) = objective._student.plans(8)
    width = plan.widths["stem.conv"]
    objective.phases[1].loss(images(1), objective.forward(images(1), 8))["features"].backward()
    gradient = objective.modules["student"].stem.conv.weight.grad
    assert gradient[:width].abs().sum() > 0
    assert gradient[width:].abs().sum() == 0


def written_out(objective: Distillation, graph, batch, position: int, in_place: bool) -> dict[str, torch.Tensor]:
    """The losses of a sandwich by their formulas, all networks at once."""
    x, y = batch["input"], batch["target"]
    teacher, wide, judge = objective.frozen["teacher"], objective.modules["student"], objective.modules["discriminator"]
    with torch.no_grad(), tapped(teacher, TAPS) as wanted:
        teacher(x)
    plans = objective._student.plans(position)
    generator, fakes, target = [], [], y
    for number, plan in enumerate(plans):
        network = SubNetwork(wide, graph, plan)
        with tapped(network.structure, TAPS) as maps:
            image = network(x)
        features = sum(
            F.mse_loss(F.conv2d(maps[tap], adaptor.weight[:, : maps[tap].shape[1]], adaptor.bias), wanted[tap])
            for tap, adaptor in zip(TAPS, objective.modules["features"].adaptors, strict=True)
        )
        gan = -judge(torch.cat([x, image], 1)).mean()
        generator.append(2 * gan + 10 * (image - target).abs().mean() + 3 * features)
        fakes.append((1 + judge(torch.cat([x, image.detach()], 1))).relu().mean())
        if in_place and number == 0:
            target = image.detach()
    real = (1 - judge(torch.cat([x, y], 1))).relu().mean()
    return {
        "generator": torch.stack(generator).mean(),
        "discriminator": 0.5 * (real + torch.stack(fakes).mean()),
    }


@pytest.mark.parametrize("in_place", [False, True])
def test_the_gradients_of_a_sandwich_are_means_over_its_networks(graph, in_place):
    objective = game(graph, sampling="sandwich", num_random=2, in_place=in_place)
    batch = images(1)
    expected = written_out(objective, graph, batch, 8, in_place)
    trained = {
        phase.name: [p for name in phase.modules for p in objective.modules[name].parameters()]
        for phase in objective.phases
    }
    wanted = {name: torch.autograd.grad(loss, trained[name], retain_graph=True) for name, loss in expected.items()}
    got = {name: [torch.zeros_like(p) for p in parameters] for name, parameters in trained.items()}
    losses = dict.fromkeys(trained, 0.0)
    for made in objective.passes(batch, 8):
        for phase in objective.phases:
            total = torch.stack(list(phase.loss(batch, made).values())).sum()
            losses[phase.name] += total.item()
            gradients = torch.autograd.grad(total, trained[phase.name], allow_unused=True, retain_graph=True)
            for mean, gradient in zip(got[phase.name], gradients, strict=True):
                mean += 0 if gradient is None else gradient
    for name, loss in expected.items():
        assert losses[name] == pytest.approx(loss.item(), rel=1e-5)
        for mean, gradient in zip(got[name], wanted[name], strict=True):
            torch.testing.assert_close(mean, gradient, rtol=1e-4, atol=1e-6)


def test_in_place_the_widest_learns_from_the_truth_and_the_others_from_the_widest(graph):
    only = distillation(l1=1)
    objective = game(graph, only, sampling="sandwich", num_random=1, in_place=True)
    batch = images(1)
    widest, *others = objective.passes(batch, 8)
    assert torch.equal(widest.target, batch["target"])
    assert len(others) == 2
    for made in others:
        assert torch.equal(made.target, widest.student.image)
        assert not made.target.requires_grad


def train(objective: Distillation, directory, num_images: int = 8, stop=lambda: False, **options) -> list[dict]:
    """Train; returns what was logged."""

    def batches(start: int, size: int):
        while True:
            yield images(start, size)
            start += size

    class Log:
        def progress(self, num_images, total_images):
            pass

        def losses(self, num_images, values, images_per_second):
            logged.append(values)

        def preview(self, num_images, images):
            raise AssertionError

    logged: list[dict[str, float]] = []
    how = TrainingOptions(num_images=num_images, batch_size=2, checkpoint_every=2, log_every=2, **options)
    fit(objective, how, batches, Checkpoints(directory), Accelerator(cpu=True), Log(), seed=3, stop=stop)
    return logged


def same(a: Distillation, b: Distillation) -> bool:
    states = [{f"{n}.{k}": v for n, m in o.modules.items() for k, v in m.state_dict().items()} for o in (a, b)]
    return states[0].keys() == states[1].keys() and all(torch.equal(v, states[1][k]) for k, v in states[0].items())


def test_a_step_of_the_loop_is_one_update_by_the_mean_gradients(graph, tmp_path):
    how = {"sampling": "sandwich", "num_random": 1, "in_place": True}
    objective, reference = game(graph, **how), game(graph, **how)
    batch, initial = images(0), game(graph, **how)
    expected = written_out(reference, graph, batch, 0, in_place=True)
    trained = {
        phase.name: [p for name in phase.modules for p in reference.modules[name].parameters()]
        for phase in reference.phases
    }
    gradients = {name: torch.autograd.grad(expected[name], trained[name], retain_graph=True) for name in trained}
    for name, parameters in trained.items():
        for parameter, gradient in zip(parameters, gradients[name], strict=True):
            parameter.grad = gradient
        torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999)).step()
    (logged,) = train(objective, tmp_path, num_images=2)
    assert not same(objective, initial)
    for phase in objective.phases:
        updated = (p for name in phase.modules for p in objective.modules[name].parameters())
        for got, wanted, gradient in zip(updated, trained[phase.name], gradients[phase.name], strict=True):
            firm = gradient.abs() > 1e-4  # Adam's first step has the sign of the gradient, also of one that is rounding
            torch.testing.assert_close(got[firm], wanted[firm], rtol=0, atol=2e-6)
    assert logged["generator"] == pytest.approx(expected["generator"].item(), rel=1e-5)
    assert logged["discriminator"] == pytest.approx(expected["discriminator"].item(), rel=1e-5)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_sandwich_resumes_to_the_bit(graph, tmp_path, micro_batches):
    how = {"sampling": "sandwich", "num_random": 1, "in_place": True}
    straight, stopped, resumed = (game(graph, **how) for _ in range(3))
    asked = iter(range(9))
    assert len(train(straight, tmp_path / "a", micro_batches=micro_batches)) == 4
    assert len(train(stopped, tmp_path / "b", stop=lambda: next(asked) == 1, micro_batches=micro_batches)) == 2
    assert len(train(resumed, tmp_path / "b", micro_batches=micro_batches)) == 2
    assert same(straight, resumed)
    assert not same(straight, stopped)


def test_micro_batches_run_the_same_networks(graph, tmp_path):
    """Without batch statistics, two halves are one whole."""
    how = {"sampling": "sandwich", "num_random": 1}
    (whole,) = train(game(graph, **how), tmp_path / "a", num_images=2)
    (halves,) = train(game(graph, **how), tmp_path / "b", num_images=2, micro_batches=2)
    assert halves == pytest.approx(whole, rel=1e-4)


def test_options_that_have_no_widest_network_are_refused():
    with pytest.raises(ConfigError, match="in_place_distillation: got sampling random, expected sandwich"):
        Supernet(in_place_distillation=True)
    with pytest.raises(ConfigError, match="in_place_distillation: got no term that compares images, expected one"):
        Supernet(
            sampling="sandwich",
            in_place_distillation=True,
            distillation=distillation(features=1, gan=1),
        )
    assert Supernet().sampling == "random"


TRAINING = {"num_images": 8, "num_decay_images": 0, "batch_size": 4, "checkpoint_every": 4, "log_every": 4}
STEP = {
    "kind": "supernet",
    "sampling": "sandwich",
    "num_random": 1,
    "in_place_distillation": True,
    "space": {"multiple": 2},
    "training": TRAINING,
}
JOB = [
    "teacher.shipped=null",
    "data.image_size=16",
    "data.num_images={train: 12, search: 4, test: 4}",
    "teacher.train.network={family: resnet, config: {ngf: 4, num_blocks: 1}}",
    "teacher.train.discriminator={family: patchgan, config: {ndf: 4, n_layers: 1}}",
    f"teacher.train.training={TRAINING}",
    f"steps=[{STEP}]".replace("True", "true"),
    "exports=[]",
]


def test_jobs_train_sandwiches_and_resume_to_the_bit(tmp_path):
    def run(name: str, stop=lambda: False):
        return (
            Pipeline(load_job("quickstart-search", JOB), tmp_path / name, lambda _: None, stop)
            .run()
            .compressed.generator
        )

    straight = run("a").state
    asked = iter(range(99))
    with pytest.raises(Interrupted):
        run("b", stop=lambda: next(asked) == 2)
    stopped = run("b").state
    for step in (tmp_path / "a" / "steps").glob("1-supernet-*"):
        shutil.rmtree(step)
    torch.rand(5)  # another process would begin the step with other random numbers
    again = run("a").state
    for name, tensor in straight.items():
        assert torch.equal(stopped[name], tensor), name
        assert torch.equal(again[name], tensor), name
