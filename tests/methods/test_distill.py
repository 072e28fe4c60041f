"""Distilling, slimming and compressing instances of any module on own data."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gancompress as gc
from gancompress.channels import left_out_of
from gancompress.errors import BudgetError, ConfigError, DataError
from tests.methods.networks import image_network, images, mels, vocoder
from tests.methods.test_depth import residual_network

QUIET = {"progress": False}


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def squared(output, target):
    return (output - target).square().mean()


def distilled(out=None, stop=None, num_images=96, shuffled=True, **others):
    network, data = image_network(), images(6)
    loader = torch.utils.data.DataLoader(torch.cat(data), batch_size=4, shuffle=shuffled)
    student = gc.prune(network, data[0][:1], keep=0.5)
    how = {"terms": [gc.losses.L1(10), gc.losses.Features(1), squared], "lr": 2e-3, "ema_half_life": 16}
    return gc.distill(student, network, loader, images=num_images, out=out, stop=stop, **QUIET, **{**how, **others})


def test_stopped_and_resumed_equals_uninterrupted(tmp_path):
    steps = iter(range(100))
    first = distilled(tmp_path / "a", stop=lambda: next(steps) == 9)
    assert (first.finished, first.images < 96) == (False, True)
    torch.rand(5)
    resumed, whole = distilled(tmp_path / "a"), distilled()
    assert (resumed.finished, resumed.images, whole.taps) == (True, 96, ("norm", "blocks.0", "blocks.1"))
    assert same(resumed.module, whole.module)
    assert same(distilled(tmp_path / "a").module, whole.module)  # a finished run is read back
    assert {"num_images", "generator", "generator/l1", "generator/features", "generator/squared"} == set(
        whole.losses[-1]
    )
    assert whole.losses[-1]["generator"] < 0.8 * whole.losses[0]["generator"]


def test_the_teacher_is_left_as_it_was():
    network, data = image_network().train(), images(2)
    network.enter.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    student = gc.prune(network, data[0][:1], keep=0.5)
    gc.distill(student, network, data, images=8, **QUIET)
    assert network.training
    assert [p.requires_grad for p in network.parameters()] == [False, False] + [True] * 8
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not student.training


def test_truths_are_learned_where_batches_have_them():
    network, data = image_network(), images(4)
    pairs = [{"input": x, "target": torch.zeros_like(x)} for x in data]
    student = gc.prune(network, data[0][:1], keep=0.5)
    gc.distill(student, network, pairs, images=160, lr=5e-3, terms=[gc.losses.L1(1)], **QUIET)
    assert student(data[0]).abs().mean() < 0.6 * network(data[0]).abs().mean()
    again = gc.prune(network, data[0][:1], keep=0.5)
    gc.distill(again, network, pairs, images=160, lr=5e-3, terms=[gc.losses.L1(1)], target="teacher", **QUIET)
    assert (
        gc.compare(network, again, data[0])["student"].psnr_db
        > gc.compare(network, student, data[0])["student"].psnr_db
    )


def test_a_discriminator_only_where_it_is_asked_for():
    network, data = vocoder(), mels(2)
    critic = nn.Sequential(nn.Conv1d(1, 4, 5), nn.LeakyReLU(0.2), nn.Conv1d(4, 1, 5))
    before = [p.clone() for p in critic.parameters()]
    terms = [gc.losses.L1(1), gc.losses.Adversarial(0.1)]
    gc.distill(
        gc.prune(network, data[0][:1], keep=0.5), network, data, images=8, terms=terms, discriminator=critic, **QUIET
    )
    assert not torch.equal(before[0], next(critic.parameters()))
    with pytest.raises(ConfigError, match="got an adversarial term without a discriminator"):
        gc.distill(network, network, data, images=8, terms=terms, **QUIET)
    with pytest.raises(ConfigError, match="discriminator: got one without an adversarial term"):
        gc.distill(network, network, data, images=8, discriminator=critic, **QUIET)


def test_a_vocoder_from_prune_to_export_by_its_own_metric(tmp_path):
    network, data = vocoder(), mels(8)
    reports = []

    def spectral(output, target):
        return (torch.fft.rfft(output).abs() - torch.fft.rfft(target).abs()).abs().mean()

    def distance(student, batches):
        return sum(float(spectral(student(b["input"]), network(b["input"]))) for b in batches) / len(batches)

    student = gc.prune(network, data[0][:1], keep=0.5, refit=data)
    before = gc.evaluate(student, data, {"spectral": distance})["spectral"]
    result = gc.distill(
        student,
        network,
        lambda: iter(data),
        images=320,
        lr=2e-3,
        terms=[gc.losses.L1(1), spectral],
        progress=reports.append,
    )
    assert gc.evaluate(result.module, data, {"spectral": distance})["spectral"] < 0.9 * before
    assert (reports[0].done, reports[-1].done, reports[-1].total) == (0, 320, 320)
    file = gc.export(result.module, data[0][:1], tmp_path / "vocoder.onnx").path
    with torch.no_grad():
        torch.testing.assert_close(gc.load(file)(data[1]), result.module(data[1]), atol=1e-5, rtol=0)


def test_a_supernet_learns_and_its_plans_share_the_weights():
    network, data = vocoder(), mels(4)
    elastic = gc.Supernet(network, data[0][:1], choices=3)
    narrow = elastic.network(0.5)
    before = gc.compare(network, narrow, data[0])["student"].psnr_db
    gc.distill(elastic, network, data, images=160, lr=2e-3, sampling="sandwich", num_random=1, **QUIET)
    assert gc.compare(network, elastic.network(0.5), data[0])["student"].psnr_db > before + 0.5


def test_slimming_leaves_out_branches_of_a_network_of_my_own(tmp_path):
    network, data = residual_network(looped=True), images(4)
    how = {"budget": gc.Budget(reduction=3), "images": 80, "depth": True, "penalty": 0.1, "scale_lr": 1e-2, **QUIET}
    whole = gc.slim(network, data, **how)
    left_out = left_out_of(whole.module)
    assert left_out
    assert set(left_out) <= {f"+blocks.{number}" for number in range(4)}
    assert whole.cost == gc.compare(network, whole.module, data[0][:1])["student"].macs
    steps = iter(range(100))
    gc.slim(network, data, out=tmp_path, stop=lambda: next(steps) == 15, **how)
    assert same(gc.slim(network, data, out=tmp_path, **how).module, whole.module)


def test_slimming_meets_the_budget_and_resumes(tmp_path):
    network, data = image_network(), images(4)
    how = {"budget": gc.Budget(reduction=2), "images": 160, "minimum": 3, **QUIET}
    whole = gc.slim(network, data, **how)
    row = gc.compare(network, whole.module, data[0][:1])
    assert whole.cost == row["student"].macs <= row["teacher"].macs / 2
    steps = iter(range(100))
    stopped = gc.slim(network, data, out=tmp_path, stop=lambda: next(steps) == 11, **how)
    assert (stopped.module, stopped.finished) == (None, False)
    assert same(gc.slim(network, data, out=tmp_path, **how).module, whole.module)
    with pytest.raises(ConfigError, match=r"slim: depth: found no residual block .*; leave depth out"):
        gc.slim(network, data, depth=True, **how)
    with pytest.raises(ConfigError, match=r"slim: got the term 'features', expected none on feature maps"):
        gc.slim(network, data, terms=[gc.losses.Features(1)], **how)
    with pytest.raises(BudgetError, match="smallest reachable cost"):
        gc.slim(network, data, **{**how, "budget": gc.Budget(macs=10)})


def test_compressing_in_one_call(tmp_path):
    network, data = image_network(), images(6)
    job = gc.compress(
        network, data, smaller=3, images=96, metric={"psnr": "psnr"}, validation=images(1, seed=9), **QUIET
    )
    assert job.table.smaller >= 3
    assert job.metrics["psnr"].keys() == {"pruned", "student"}
    assert job.metrics["psnr"]["student"] > job.metrics["psnr"]["pruned"]
    assert "trained on 96 images" in job.report()
    assert "refitted" in job.report()
    assert "<table>" in job._repr_html_()
    assert job.save(tmp_path / "small") == f'network = gancompress.load_into(original, "{tmp_path / "small"}")'
    assert job.export(tmp_path / "small.onnx").path.is_file()
    with pytest.raises(ConfigError, match="expected exactly one of smaller and budget"):
        gc.compress(network, data, images=8)
    with pytest.raises(ConfigError, match="expected exactly one of minutes and images"):
        gc.compress(network, data, smaller=2)
    with pytest.raises(DataError, match="got an iterator, which can be read only once"):
        gc.compress(network, iter(data), smaller=2, images=8)


def brightness(outputs):
    """A metric of outputs."""
    return outputs.mean((1, 2, 3))


def test_minutes_decide_the_number_of_images_once(tmp_path):
    network, data = image_network(), images(2)
    how = {"smaller": 2, "minutes": 0.01, "out": tmp_path, "metric": brightness, **QUIET}
    job = gc.compress(network, data, **how)
    assert job.images >= 4
    assert job.metrics["brightness"]["student"] == pytest.approx(float(job.module(data[0]).detach().mean()), abs=1e-6)
    again = gc.compress(network, data, **how)
    assert again.images == job.images
    assert same(again.module, job.module)


def test_mistakes_have_one_line(tmp_path):
    network, data = image_network(), images(2)
    distilled(tmp_path / "run", num_images=8)
    mistakes = [
        (
            lambda: gc.distill(nn.Sequential(network, nn.AvgPool2d(2)), network, data, images=8),
            ConfigError,
            r"distill: the student returns \(1, 3, 8, 8\) and the teacher \(1, 3, 16, 16\)",
        ),
        (lambda: gc.distill(network, network, [], images=8), DataError, "loader: got no batch, expected at least one"),
        (lambda: gc.distill(network, network, ["a"], images=8), DataError, "loader: batch 1 is str, expected a tensor"),
        (lambda: gc.distill(network, network, data, images=0), ConfigError, "num_images"),
        (lambda: gc.distill(network, network, data, images=8, taps=["nothing"]), ConfigError, "taps: got 'nothing'"),
        (
            lambda: distilled(tmp_path / "run", num_images=8, lr=1e-3),
            ConfigError,
            r"out: .*run holds another run \(training: ",
        ),
        (
            lambda: distilled(tmp_path / "run", num_images=8, seed=3),
            ConfigError,
            r"another run \(seed: 0, now 3\); give",
        ),
    ]
    for call, error, message in mistakes:
        with pytest.raises(error, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
