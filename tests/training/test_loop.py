"""The loop: exact resume, the order of updates, averages, schedules, and what stops it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils import parametrizations

from gancompress.errors import ConfigError, TrainingError
from gancompress.training import Checkpoints, OptimizerOptions, Run, TrainingOptions, fit

from .toy import Log, Narrowing, ToyGan, batches


def options(num_images: int = 32, **others) -> TrainingOptions:
    usual = {"batch_size": 4, "checkpoint_every": 8, "log_every": 8, "preview_every": 16, "ema_half_life": 16}
    return TrainingOptions(num_images=num_images, **usual | others)


def train(gan: ToyGan, directory: Path, how: TrainingOptions, log: Log | None = None, **others) -> bool:
    accelerator = Accelerator(cpu=True)
    return fit(gan, how, batches, Checkpoints(directory), accelerator, log or Log(), seed=3, **others)


def state(gan: ToyGan) -> dict[str, Tensor]:
    tensors = {"seen": gan.seen}
    for name, module in gan.modules.items():
        tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    return tensors


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("stop_at", [4, 12, 28])
def test_stopping_and_resuming_changes_no_bit(tmp_path, stop_at, together):
    straight = ToyGan(together)
    assert train(straight, tmp_path / "a", options(num_decay_images=16))

    count = iter(range(1000))
    stopped = ToyGan(together)
    assert not train(
        stopped, tmp_path / "b", options(num_decay_images=16), stop=lambda: 4 * (next(count) + 1) == stop_at
    )
    resumed = ToyGan(together)
    assert train(resumed, tmp_path / "b", options(num_decay_images=16))
    assert same(state(resumed), state(straight))
    assert not same(state(stopped), state(straight))


class Curve(Log):
    """Keeps what a validation measured, and counts its measurements."""

    def __init__(self) -> None:
        super().__init__()
        self.measured: dict[int, float] = {}
        self.said_lines: list[str] = []

    def losses(self, num_images, values, images_per_second):
        if "search/mean" in values:
            self.measured[num_images] = values["search/mean"]
        assert set(values) == {"search/mean"} if num_images == 0 else "generator/distance" in values

    def said(self, line):
        self.said_lines.append(line)

    def validate(self, network):
        assert not any(module.training for module in network.modules())
        torch.rand(3)
        return {"search/mean": float(network(next(iter(batches(0, 4)))["input"]).mean())}


def test_a_generator_is_measured_while_it_trains_and_no_bit_changes(tmp_path):
    straight, measured, log = ToyGan(), ToyGan(), Curve()
    train(straight, tmp_path / "a", options(num_decay_images=8))
    train(measured, tmp_path / "b", options(num_decay_images=8, validate_every=12), log, validate=log.validate)
    assert same(state(measured), state(straight))
    assert list(log.measured) == [0, 12, 24, 36, 40]
    last = measured.modules["generator"].eval()(next(iter(batches(0, 4)))["input"]).mean()
    assert log.measured[40] == pytest.approx(last.item(), rel=1e-6)  # of the averaged weights, which it then has
    assert len(set(log.measured.values())) == 5
    assert log.said_lines[1] == f"12 images: search/mean {log.measured[12]:.4g}"


def test_a_run_without_a_split_refuses_to_measure(tmp_path):
    run = Run(tmp_path, Log(), Accelerator(cpu=True))
    with pytest.raises(ConfigError, match="validate_every: got 8, expected 0: only the run of a recipe has a split"):
        run.fit(ToyGan(), options(validate_every=8), batches)
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_training_is_measured_at_the_same_places(tmp_path):
    count, first, second = iter(range(100)), Curve(), Curve()
    how = options(validate_every=12)
    assert not train(ToyGan(), tmp_path, how, first, validate=first.validate, stop=lambda: next(count) == 3)
    assert train(ToyGan(), tmp_path, how, second, validate=second.validate)
    assert (list(first.measured), list(second.measured)) == ([0, 12], [24, 32])


@pytest.mark.parametrize("stop_at", [8, 16, 20])
def test_a_network_that_loses_channels_is_resumed_to_the_bit(tmp_path, stop_at):
    straight, stopped, resumed = Narrowing(), Narrowing(), Narrowing()
    assert train(straight, tmp_path / "a", options())
    count = iter(range(1000))
    assert not train(stopped, tmp_path / "b", options(), stop=lambda: 4 * (next(count) + 1) == stop_at)
    assert train(resumed, tmp_path / "b", options())
    assert straight.modules["generator"][0].out_channels == 5
    assert same(state(straight), state(resumed))


def test_optimizers_go_on_with_what_is_left_of_their_state(tmp_path):
    gans = {"narrow": Narrowing(), "whole": Narrowing()}
    gans["whole"].after_step = lambda *_: {}
    for name, gan in gans.items():
        train(gan, tmp_path / name, options(16))
    narrow, whole = (Checkpoints(tmp_path / name).latest() for name in gans)
    assert narrow is not None
    assert whole is not None
    moments = [key for key in whole.tensors if key.startswith("optimizer/generator")]
    assert {key.rsplit("/", 1)[1] for key in moments} == {"step", "exp_avg", "exp_avg_sq", "momentum_buffer"}
    for key in moments:
        kept = narrow.tensors[key]
        assert kept.equal(whole.tensors[key][tuple(map(slice, kept.shape))]), key


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path):
    straight = ToyGan()
    train(straight, tmp_path / "a", options())

    def kill() -> bool:
        raise KeyboardInterrupt

    killed, count = ToyGan(), iter(range(1000))
    with pytest.raises(KeyboardInterrupt):
        train(killed, tmp_path / "b", options(), stop=lambda: next(count) == 4 and kill())
    resumed = ToyGan()
    assert train(resumed, tmp_path / "b", options())
    assert same(state(resumed), state(straight))


def test_progress_is_told_from_where_training_goes_on(tmp_path):
    assert not train(ToyGan(), tmp_path, options(), stop=lambda: True)
    log = Log()
    train(ToyGan(), tmp_path, options(), log)
    assert log.positions == [(images, 32) for images in range(4, 33, 4)]


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = ToyGan()
    train(first, tmp_path, options())
    again, log = ToyGan(), Log()
    assert train(again, tmp_path, options(), log)
    assert log.lines == []
    assert {n: t for n, t in state(again).items() if n.startswith("generator")}.keys()
    assert same(state(again), state(first))


def test_averages_take_the_place_of_the_last_weights(tmp_path):
    averaged, last = ToyGan(), ToyGan()
    train(averaged, tmp_path / "a", options())
    plain = options().model_copy(update={"ema_half_life": 0})
    train(last, tmp_path / "b", plain)
    assert not torch.equal(averaged.modules["generator"][0].weight, last.modules["generator"][0].weight)
    assert torch.equal(averaged.modules["discriminator"].weight, last.modules["discriminator"].weight)


def test_averages_keep_the_unit_vectors_of_spectral_norms(tmp_path):
    gan = ToyGan()
    norm = parametrizations.spectral_norm(gan.modules["generator"][0]).parametrizations.weight[0]
    train(gan, tmp_path, options())
    assert norm._u.norm().item() == pytest.approx(1, abs=1e-5)


def test_one_step_against_the_updates_written_out(tmp_path):
    gan, reference = ToyGan(update_together=True), ToyGan(update_together=True)
    how = TrainingOptions(num_images=4, batch_size=4, optimizer=OptimizerOptions(learning_rate=0.1))
    batch = next(iter(batches(0, 4)))
    torch.manual_seed(3 * 1_000_003)
    reference.frozen["teacher"].requires_grad_(False)
    shared = reference.forward(batch, 0)
    for phase, module in ((0, "discriminator"), (1, "generator")):
        parameters = list(reference.modules[module].parameters())
        total = sum(reference.phases[phase].loss(batch, shared).values())
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(total, parameters, retain_graph=True), strict=True
        ):
            parameter.grad = gradient
    for module in reference.modules.values():
        torch.optim.Adam(module.parameters(), lr=0.1, betas=(0.5, 0.999), fused=True).step()
    train(gan, tmp_path, how)
    assert same(state(gan), state(reference))


def test_phases_in_turn_see_the_updated_discriminator(tmp_path):
    one, other = ToyGan(update_together=False), ToyGan(update_together=True)
    for gan, name in ((one, "a"), (other, "b")):
        train(gan, tmp_path / name, TrainingOptions(num_images=16, batch_size=4))
    assert not torch.equal(one.modules["generator"][3].weight, other.modules["generator"][3].weight)


def test_learning_rate_schedule():
    how = TrainingOptions(num_images=100, num_decay_images=50)
    assert [how.learning_rate_factor(n) for n in (0, 99, 100, 125, 150)] == [1, 1, 1, 0.5, 0]
    how = TrainingOptions(num_images=100, num_decay_images=50, decay="cosine")
    factors = [how.learning_rate_factor(n) for n in (99, 100, 112.5, 125, 150)]
    assert factors == pytest.approx([1, 1, (2 + 2**0.5) / 4, 0.5, 0])
    how = TrainingOptions(num_images=100, num_warmup_images=40, batch_size=4)
    assert [how.learning_rate_factor(n) for n in (0, 16, 36, 40, 99)] == [0.1, 0.5, 1, 1, 1]
    with pytest.raises(ConfigError, match="num_warmup_images: got 40, expected at most num_images: 20"):
        TrainingOptions(num_images=20, num_warmup_images=40)


def test_logs_and_previews_come_at_their_images(tmp_path):
    log = Log()
    train(ToyGan(), tmp_path, options(), log, preview_batch=next(iter(batches(0, 2))))
    assert [num_images for num_images, _ in log.lines] == [8, 16, 24, 32]
    names = {"discriminator", "discriminator/gan", "generator", "generator/gan", "generator/distance"}
    assert all(set(values) == names for _, values in log.lines)
    values = log.lines[0][1]
    assert values["generator"] == pytest.approx(values["generator/gan"] + values["generator/distance"])
    assert log.previews == [16, 32]


@pytest.mark.parametrize("together", [False, True])
def test_a_loss_that_is_not_finite_stops_before_the_weights(tmp_path, together):
    gan, sound = ToyGan(together), ToyGan(together)
    gan.broken_at = 12
    with pytest.raises(
        TrainingError, match=r"loss 'generator/gan' is not finite after 12 images; nothing of this step"
    ):
        train(gan, tmp_path / "a", options())
    train(sound, tmp_path / "b", options(num_images=12).model_copy(update={"ema_half_life": 0}))
    assert torch.equal(gan.modules["generator"][0].weight, sound.modules["generator"][0].weight)


def test_micro_batches_sum_to_the_same_gradient(tmp_path):
    """Without dropout and batch statistics, two halves are one whole."""
    whole, halves = ToyGan(update_together=True), ToyGan(update_together=True)
    for gan, parts, name in ((whole, 1, "a"), (halves, 2, "b")):
        gan.modules["generator"] = torch.nn.Sequential(gan.modules["generator"][0], gan.modules["generator"][3])
        train(gan, tmp_path / name, TrainingOptions(num_images=8, batch_size=4, micro_batches=parts))
    torch.testing.assert_close(whole.modules["generator"][0].weight, halves.modules["generator"][0].weight)


def test_the_options_decide_the_precision_and_weights_stay_full(tmp_path):
    seen: list[torch.dtype] = []
    for precision in ("fp32", "bf16"):
        gan = ToyGan()
        gan.modules["generator"].register_forward_hook(lambda _, __, image: seen.append(image.dtype))
        train(gan, tmp_path / precision, options(4, precision=precision))
        assert all(p.dtype == torch.float32 for p in gan.modules["generator"].parameters())
    assert seen == [torch.float32, torch.bfloat16]


def test_a_batch_that_does_not_divide_is_refused(tmp_path):
    with pytest.raises(
        TrainingError, match="batch_size: got 4, expected a multiple of 3, for 1 processes with 3 micro"
    ):
        train(ToyGan(), tmp_path, options(micro_batches=3))


def test_a_process_that_lost_another_one_says_so(tmp_path, monkeypatch):
    def lost(*_, **__):
        raise RuntimeError("[/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1")

    monkeypatch.setattr(Accelerator, "num_processes", 2)
    monkeypatch.setattr(Accelerator, "reduce", lost)
    with pytest.raises(TrainingError, match="process 0 of 2 lost another one after 0 images, expected all to run; see"):
        train(ToyGan(), tmp_path, options())
