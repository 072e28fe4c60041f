"""The distillation objective and its terms against their formulas, for one student."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import CheckpointError, ConfigError
from gancompress.losses import (
    PERCEPTUAL,
    ChannelDistillation,
    FlowDistillation,
    feature_matching,
    fsp_loss,
    kernel_alignment_loss,
    load_perceptual_loss,
    relation_loss,
    ssim_loss,
    total_variation,
)
from gancompress.networks.registry import FAMILIES, build
from gancompress.objectives.distillation import Distillation
from gancompress.objectives.distillation_options import DistillationOptions
from gancompress.objectives.students import FixedStudent, tapped
from gancompress.objectives.supervision import Supervision
from gancompress.perception.load import TRUNKS
from gancompress.perception.trunk import FeatureTrunk
from gancompress.tasks import find_task
from gancompress.training import Checkpoints, TrainingOptions, fit
from tests.jobs.steps.small_work import distillation

TAPS = ("down.1", "blocks.1")


@pytest.fixture
def networks():
    torch.manual_seed(0)
    teacher = build("resnet", {"ngf": 6, "num_blocks": 3}).eval()
    student = build("resnet", {"ngf": 4, "num_blocks": 3})
    discriminator = build("patchgan", {"ndf": 4, "n_layers": 1, "in_channels": 6})
    return teacher, student, discriminator


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return {"input": torch.randn(2, 3, 16, 16).tanh(), "target": torch.randn(2, 3, 16, 16).tanh()}


def objective(networks, options: DistillationOptions, task: str = "paired") -> Distillation:
    teacher, student, discriminator = networks
    example = torch.zeros(1, 3, 16, 16)
    supervision = Supervision(teacher, discriminator, options, TAPS)
    return Distillation(find_task(task), FixedStudent(student), supervision, example)


def test_terms(networks, batch):
    teacher, student, discriminator = networks
    game = objective(networks, distillation(l1=10, features=3, gan={"weight": 2, "balance": None}))
    made = game.forward(batch, 0)
    terms = game.phases[1].loss(batch, made)
    image = student(batch["input"])
    logits = discriminator(torch.cat([batch["input"], image], 1))
    assert terms["gan"].item() == pytest.approx(-2 * logits.mean().item(), rel=1e-5)
    assert terms["l1"].item() == pytest.approx(10 * (image - batch["target"]).abs().mean().item(), rel=1e-5)
    with tapped(teacher, TAPS) as wanted, tapped(student, TAPS) as got:
        teacher(batch["input"])
        student(batch["input"])
    adaptors = game.modules["features"].adaptors
    distance = sum(F.mse_loss(a(got[tap]), wanted[tap]) for a, tap in zip(adaptors, TAPS, strict=True))
    assert terms["features"].item() == pytest.approx(3 * distance.item(), rel=1e-5)


def test_pseudo_pairs(networks, batch):
    teacher, student, _ = networks
    for task, options in (
        ("unpaired", distillation(l1=100)),
        ("paired", distillation(l1=100, reconstruct="teacher")),
    ):
        game = objective(networks, options, task)
        (phase,) = game.phases
        terms = phase.loss(batch, game.forward(batch, 0))
        expected = 100 * (student(batch["input"]) - teacher(batch["input"])).abs().mean()
        assert set(terms) == {"l1"}
        assert terms["l1"].item() == pytest.approx(expected.item(), rel=1e-5)
        assert set(game.modules) == {"student"}


def test_feature_matching_against_the_real_image(networks, batch):
    """Generated and real images go through the discriminator together; both phases share that pass."""
    teacher, student, _ = networks
    discriminator = build("multiscale_patchgan", {"ndf": 4, "n_layers": 1, "in_channels": 6, "spectral_norm": False})
    options = distillation(feature_matching=10, gan={"balance": None})
    game = objective((teacher, student, discriminator), options)
    made = game.forward(batch, 0)
    judged, learned = (phase.loss(batch, made) for phase in game.phases)
    fake = discriminator(torch.cat([batch["input"], student(batch["input"])], 1))
    real = discriminator(torch.cat([batch["input"], batch["target"]], 1))
    torch.testing.assert_close(learned["feature_matching"], 10 * feature_matching(fake, real))
    torch.testing.assert_close(learned["gan"], -torch.stack([scale[-1].mean() for scale in fake]).mean())
    hinge = [(1 + f[-1]).relu().mean() + (1 - r[-1]).relu().mean() for f, r in zip(fake, real, strict=True)]
    torch.testing.assert_close(judged["gan"], torch.stack(hinge).mean() / 2)
    assert set(learned) == {"gan", "feature_matching"}


def test_feature_matching_wants_a_discriminator_with_maps(networks, batch):
    options = distillation(feature_matching=1, gan=1)
    game = objective(networks, options)
    with pytest.raises(ConfigError, match="feature matching: got a discriminator that returns logits alone, expected"):
        game.phases[1].loss(batch, game.forward(batch, 0))
    with pytest.raises(ConfigError, match=r"got feature_matching without an adversarial term, expected \{kind: gan"):
        distillation(l1=1, feature_matching=1)


def test_taps_that_do_not_exist_name_the_nearest(networks):
    with pytest.raises(ConfigError, match=r"taps: got 'down.7', expected a module of the student; did you mean 'down"):
        objective(networks, DistillationOptions(taps=("down.7",)))


def maps(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    with tapped(network, TAPS) as collected:
        network(images)
    return dict(collected)


def flow(game: Distillation, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> Tensor:
    adapted = {tap: conv(student[tap]) for tap, conv in zip(TAPS, game.modules["fsp"].adaptors, strict=True)}
    return fsp_loss([tuple(adapted.values())], [tuple(teacher.values())])


TERMS = {
    "ssim": ({}, lambda _, x, y, *__: ssim_loss(x, y)),
    "total_variation": ({}, lambda _, x, *__: total_variation(x)),
    "relation": (
        {"items": ["rows", "patches"], "patch_px": 8},
        lambda _, x, y, *__: relation_loss(x, y, ("rows", "patches"), 8),
    ),
    "channels": ({}, lambda game, x, y, s, t: game.modules["channels"](s, t)),
    "kernel_alignment": ({}, lambda _, x, y, s, t: kernel_alignment_loss(s, t)),
    "fsp": ({}, lambda game, x, y, s, t: flow(game, s, t)),
}


@pytest.mark.parametrize("reconstruct", ["auto", "teacher"])
@pytest.mark.parametrize("name", TERMS)
def test_each_term_is_its_weight_times_its_loss(networks, batch, name, reconstruct):
    teacher, student, _ = networks
    own, formula = TERMS[name]
    options = distillation(**{name: {"weight": 7, **own}}, reconstruct=reconstruct)
    game = objective(networks, options)
    (phase,) = game.phases
    terms = phase.loss(batch, game.forward(batch, 0))
    x = batch["input"]
    with torch.no_grad():
        target = teacher(x) if reconstruct == "teacher" else batch["target"]
        expected = formula(game, student(x), target, maps(student, x), maps(teacher, x))
    assert set(terms) == {name}
    assert terms[name].item() == pytest.approx(7 * expected.item(), rel=1e-5)
    terms[name].backward()
    assert student.stem.conv.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in teacher.parameters())


def test_what_adapts_maps_trains_with_the_student_and_is_saved(networks):
    options = distillation(l1=100, features=1, channels=1, fsp=1, gan=1)
    game = objective(networks, options)
    assert list(game.modules) == ["student", "features", "channels", "fsp", "discriminator"]
    assert game.phases[1].modules == ("student", "features", "channels", "fsp")
    assert isinstance(game.modules["channels"], ChannelDistillation)
    assert set(game.frozen) == {"teacher"}


def test_the_flow_needs_no_convolution_between_equal_widths(batch):
    narrow, equal = ({"a": 3, "b": 5}, {"a": 3, "b": 4})
    teacher = {"a": 3, "b": 4}
    kinds = [type(each) for each in FlowDistillation(narrow, teacher, [("a", "b")]).adaptors]
    assert kinds == [nn.Identity, nn.Conv2d]
    assert not list(FlowDistillation(equal, teacher, [("a", "b")]).parameters())
    elastic = FlowDistillation(equal, teacher, [("a", "b")], elastic=True)
    early, late = torch.rand(2, 2, 6, 6), torch.rand(2, 3, 3, 3)  # narrower than built, of two resolutions
    wanted = {"a": torch.rand(2, 3, 6, 6), "b": torch.rand(2, 4, 3, 3)}
    adapted = [
        torch.einsum("bchw,dc->bdhw", x, conv.weight[:, : x.shape[1], 0, 0]) + conv.bias.view(1, -1, 1, 1)
        for x, conv in zip((early, late), elastic.adaptors, strict=True)
    ]
    flows = [torch.einsum("bchw,bdhw->bcd", F.max_pool2d(a, 2), b) / 9 for a, b in (adapted, wanted.values())]
    loss = elastic({"a": early, "b": late}, wanted)
    assert loss.item() == pytest.approx((flows[0] - flows[1]).square().sum((1, 2)).mean().item(), rel=1e-5)


def test_pairs_of_the_flow_bring_their_own_taps(networks, batch):
    pairs = [["stem", "down.0"], ["down.1", "blocks.0"]]
    game = objective(networks, distillation(fsp={"weight": 1, "pairs": pairs}))
    assert game.modules["fsp"].taps == ("stem", "down.0", "down.1", "blocks.0")
    (phase,) = game.phases
    assert phase.loss(batch, game.forward(batch, 0))["fsp"].item() > 0
    with pytest.raises(ConfigError, match=r"taps: got 'stm', expected a module of the student; did you mean 'stem'"):
        objective(networks, distillation(fsp={"weight": 1, "pairs": [["stm", "down.0"]]}))


class Pyramid(nn.Module):
    def forward(self, images: Tensor) -> list[Tensor]:
        return [images * 2, images[:, :2, ::2, ::2] ** 2]


@pytest.fixture
def pyramid(tmp_path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(Pyramid()), tmp_path / "pyramid.pt")
    return str(tmp_path / "pyramid.pt")


def test_a_perceptual_term_over_any_network(networks, batch, pyramid):
    _, student, _ = networks
    term = {"weight": 2, "network": pyramid, "content": [3, 0], "style": [0, 5]}
    game = objective(networks, distillation(perceptual=term))
    assert set(game.modules) == {"student"}
    assert set(game.frozen) == {"teacher", "perceptual"}
    (phase,) = game.phases
    loss = phase.loss(batch, game.forward(batch, 0))["perceptual"]
    x, y = ((each + 1) / 2 for each in (student(batch["input"]), batch["target"]))
    grams = [torch.einsum("bchw,bdhw->bcd", m, m) / m[0].numel() for m in (Pyramid()(x)[1], Pyramid()(y)[1])]
    expected = 2 * (3 * (2 * x - 2 * y).abs().mean() + 5 * (grams[0] - grams[1]).abs().mean())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert student.stem.conv.weight.grad.abs().sum() > 0


def test_a_perceptual_term_with_published_weights(networks, batch, tmp_path):
    teacher, student, _ = networks
    trunk = FeatureTrunk(*TRUNKS["vgg16"](), taps=PERCEPTUAL["omgd"].taps)
    torch.save(trunk.state_dict(), tmp_path / "vgg.pth")
    term = {"weight": 2, "weights": str(tmp_path / "vgg.pth")}
    game = objective(networks, distillation(perceptual=term, reconstruct="teacher"))
    (phase,) = game.phases
    loss = phase.loss(batch, game.forward(batch, 0))["perceptual"]
    expected = load_perceptual_loss("omgd", tmp_path / "vgg.pth")(student(batch["input"]), teacher(batch["input"]))
    assert loss.item() == pytest.approx(2 * expected.item(), rel=1e-5)


def test_a_perceptual_term_that_cannot_work_says_so_before_training(networks, pyramid, tmp_path):
    def perceptual(**term):
        return objective(networks, distillation(perceptual={"weight": 1, **term}))

    with pytest.raises(CheckpointError, match=r"gone\.pt: found no such file, expected a TorchScript or ONNX network"):
        perceptual(network=str(tmp_path / "gone.pt"), content=[1])
    with pytest.raises(CheckpointError, match=r"gone\.pth"):
        perceptual(weights=str(tmp_path / "gone.pth"))
    with pytest.raises(ConfigError, match=r"got 2 feature maps from .* for 3 weights"):
        perceptual(network=pyramid, content=[1, 1, 1])
    with pytest.raises(ConfigError, match=r"terms\.0: got 'network' without weights of its maps"):
        perceptual(network=pyramid)
    with pytest.raises(ConfigError, match=r"terms\.0: got weights of maps without 'network'"):
        perceptual(content=[1])
    with pytest.raises(ConfigError, match=r"terms\.0: got 'weights' beside 'network'"):
        perceptual(network=pyramid, content=[1], weights="vgg.pth")


def test_an_objective_without_any_term_is_refused(networks):
    with pytest.raises(ConfigError, match="terms: got none with a weight above 0, expected one, such as") as error:
        distillation(l1=0, gan=0)
    assert "\n" not in str(error.value)
    assert distillation(ssim=1, l1=0).weighted.keys() == {"ssim"}


def test_terms_on_maps_are_never_left_out_silently(networks):

    def untapped(options: DistillationOptions) -> Distillation:
        teacher, student, discriminator = networks
        example = torch.zeros(1, 3, 16, 16)
        supervision = Supervision(teacher, discriminator, options)
        return Distillation(find_task("paired"), FixedStudent(student), supervision, example)

    for name in ("features", "fsp"):
        with pytest.raises(ConfigError, match=f"distillation: {name} got no feature maps, expected some; name modules"):
            untapped(distillation(**{name: 1}, l1=1))
    by_default = untapped(DistillationOptions())
    assert list(by_default.modules) == ["student", "discriminator"]
    (line,) = by_default.notes
    assert line == "the default term features is left out: no modules are known whose feature maps can be compared"
    assert objective(networks, DistillationOptions()).notes == ()


def count_calls(network: nn.Module) -> list[int]:
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize(
    ("options", "is_needed"),
    [
        ({"l1": 1}, False),
        ({"l1": 1, "reconstruct": "teacher"}, True),
        ({"kernel_alignment": {"weight": 1}}, True),
        ({"total_variation": {"weight": 1}, "reconstruct": "teacher"}, False),
        ({"gan": 1}, False),
    ],
)
def test_the_teacher_runs_only_where_something_asks_for_it(networks, batch, options, is_needed):
    game = objective(networks, distillation(**options))
    calls = count_calls(networks[0])
    game.phases[0].loss(batch, game.forward(batch, 0))
    assert len(calls) == is_needed


def test_without_other_images_the_teachers_are_what_the_discriminator_takes_for_real(networks, batch):
    teacher, student, _ = networks
    discriminator = build("patchgan", {"ndf": 4, "n_layers": 1, "in_channels": 3})
    game = objective((teacher, student, discriminator), distillation(gan=1), "imitate")
    del batch["target"]
    loss = game.phases[0].loss(batch, game.forward(batch, 0))["gan"]
    real, fake = discriminator(teacher(batch["input"])), discriminator(student(batch["input"]))
    assert loss.item() == pytest.approx(0.5 * ((1 - real).relu().mean() + (1 + fake).relu().mean()).item(), rel=1e-5)


@pytest.mark.parametrize("real", ["target", "teacher", "both"])
@pytest.mark.parametrize("task", ["paired", "imitate"])
def test_what_the_discriminator_takes_for_real(networks, batch, real, task):
    teacher, student, _ = networks
    discriminator = build("patchgan", {"ndf": 4, "n_layers": 1, "in_channels": 6 if task == "paired" else 3})
    game = objective((teacher, student, discriminator), distillation(gan={"real": real}), task)
    loss = game.phases[0].loss(batch, game.forward(batch, 0))["gan"].item()

    def judged(image: Tensor) -> Tensor:
        return discriminator(torch.cat([batch["input"], image], 1) if task == "paired" else image)

    shown = {"target": [batch["target"]], "teacher": [teacher(batch["input"])]}
    shown["both"] = shown["target"] + shown["teacher"]
    on_real = sum((1 - judged(image)).relu().mean() for image in shown[real]) / len(shown[real])
    on_fake = (1 + judged(student(batch["input"]))).relu().mean()
    assert loss == pytest.approx(0.5 * (on_real + on_fake).item(), rel=1e-5)


@pytest.mark.parametrize("real", ["target", "both"])
def test_real_images_that_are_not_there_are_missed(networks, batch, real):
    teacher, student, _ = networks
    discriminator = build("patchgan", {"ndf": 4, "n_layers": 1, "in_channels": 3})
    options = distillation(gan={"real": real})
    game = objective((teacher, student, discriminator), options, "imitate")
    del batch["target"]
    with pytest.raises(ConfigError, match=f"real: got '{real}', but the data has no real images"):
        game.phases[0].loss(batch, game.forward(batch, 0))


def train(game: Distillation, batch, directory: Path, num_images: int, **how) -> dict[str, float]:
    class Log:
        def progress(self, num_images, total_images):
            pass

        def losses(self, num_images, values, images_per_second):
            self.values = values

        def preview(self, num_images, images):
            raise AssertionError

    def batches(start: int, size: int):
        while True:
            yield batch

    log, options = Log(), TrainingOptions(num_images=num_images, batch_size=2, log_every=2, **how)
    assert fit(game, options, batches, Checkpoints(directory), Accelerator(cpu=True), log)
    return log.values


def test_both_phases_share_the_discriminators_pass(networks, batch, tmp_path):
    calls = count_calls(networks[2])
    train(objective(networks, DistillationOptions()), batch, tmp_path, num_images=6)
    assert len(calls) == 3 * 2


def test_a_student_learns_from_the_teachers_images_alone(networks, batch, tmp_path):
    teacher, student, discriminator = networks
    before = {name: tensor.clone() for name, tensor in discriminator.state_dict().items()}
    options = distillation(l1=1, reconstruct="teacher")
    del batch["target"]
    game = objective(networks, options, "unpaired")

    def distance() -> float:
        with torch.no_grad():
            return (student(batch["input"]) - teacher(batch["input"])).abs().mean().item()

    at_first = distance()
    train(game, batch, tmp_path, num_images=60, optimizer={"learning_rate": 2e-3})
    assert distance() < 0.7 * at_first
    assert all(torch.equal(tensor, before[name]) for name, tensor in discriminator.state_dict().items())


def test_all_terms_together_in_half_precision(networks, batch, pyramid, tmp_path):
    options = distillation(
        **{name: {"weight": 1, **own} for name, (own, _) in TERMS.items()},
        **{"l1": 100, "features": 1, "gan": 1},
        perceptual={"network": pyramid, "content": [1, 1]},
    )
    values = train(objective(networks, options), batch, tmp_path, num_images=4, precision="bf16")
    assert {f"generator/{name}" for name in (*TERMS, "perceptual", "gan", "l1", "features")} < set(values)


def test_looking_at_the_widths_of_maps_changes_no_running_statistics():
    config = {"ngf": 4, "num_downs": 5, "norm": "batch"}
    student, teacher = (build("unet", config) for _ in range(2))
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    taps, example = FAMILIES.find("unet").parse(config).distillation_taps, torch.rand(1, 3, 32, 32)
    options = distillation(l1=100, features=1)
    supervision = Supervision(teacher, nn.Identity(), options, taps)
    Distillation(find_task("paired"), FixedStudent(student), supervision, example)
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())
    assert student.training


def test_the_documented_sets_are_options():
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "losses.md").read_text()
    documented = {
        name: DistillationOptions(**yaml.safe_load(block)["distillation"])
        for name, block in re.findall(r"```yaml\n# ([^\n:]+)[^\n]*\n(.*?)```", text, re.DOTALL)
    }
    omgd = documented["OMGD"]
    assert {name: term.weight for name, term in omgd.weighted.items()} == {
        "ssim": 10,
        "perceptual": 1,
        "total_variation": 2,
        "channels": 50,
    }
    assert omgd.adversarial is None
    assert omgd.reconstruct == "teacher"
    output = documented["Output distillation"]
    assert list(output.weighted) == ["l1"]
    assert output.reconstruct == "teacher"


def test_the_adversarial_weight_is_lowered_where_the_discriminator_wins(networks, batch):
    _, student, discriminator = networks
    balanced = objective(networks, distillation(l1=10, gan={"weight": 1e3, "balance": 0.25}))
    made = balanced.forward(batch, 0)
    terms = balanced.phases[1].loss(batch, made)
    gradients = {
        name: torch.autograd.grad(term, made.student.image, retain_graph=True)[0].norm() for name, term in terms.items()
    }
    assert gradients["gan"].item() == pytest.approx(0.25 * gradients["l1"].item(), rel=1e-4)
    published = objective(networks, distillation(l1=10, gan={"weight": 1e3, "balance": None}))
    made = published.forward(batch, 0)
    logits = discriminator(torch.cat([batch["input"], student(batch["input"])], 1))
    torch.testing.assert_close(published.phases[1].loss(batch, made)["gan"], -1e3 * logits.mean())


def test_a_winning_discriminator_is_reported_once(networks, batch):
    class Wins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, pair: Tensor) -> Tensor:
            is_real = (pair[:, 3:] == batch["target"]).all().float() * 2 - 1
            return self.scale * (is_real * 5 + 0 * pair.mean() + 40 * pair[:, 3:].mean() * (is_real < 0))

    for balance, ending in ((0.1, r"so its balance multiplies its weight by 0\.\d+"), (None, "undo the other terms")):
        game = objective((*networks[:2], Wins()), distillation(l1=10, gan={"balance": balance}))
        game.modules["student"].head.conv.bias.data.fill_(-5)
        for phase in game.phases:
            phase.loss(batch, game.forward(batch, 0))
        assert game.statistics()["adversarial/accuracy"] == 1.0
        (line,) = game.remarks()
        assert re.search(r"the discriminator wins: it is right about 100 % of its logits; .*" + ending, line)
        for phase in game.phases:
            phase.loss(batch, game.forward(batch, 0))
        game.statistics()
        assert game.remarks() == []


def test_a_discriminator_that_does_not_win_is_not_mentioned(networks, batch):
    game = objective(networks, distillation(l1=10, gan=1))
    for phase in game.phases:
        phase.loss(batch, game.forward(batch, 0))
    assert 0 < game.statistics()["adversarial/accuracy"] < 0.95
    assert game.remarks() == []
