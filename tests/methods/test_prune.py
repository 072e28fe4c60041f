"""Pruning, refitting, quantizing, saving and comparing instances of any module."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn

import gancompress as gc
from gancompress.errors import BudgetError, CheckpointError, ConfigError, DataError, RefitError
from gancompress.quantization import quantized_layers
from tests.methods.networks import image_network, images, mels, vocoder

NETWORKS = {"images": (image_network, images), "mels": (vocoder, mels)}


@pytest.mark.parametrize("kind", NETWORKS)
def test_an_instance_is_pruned_saved_and_read_back(kind, tmp_path):
    make, data = NETWORKS[kind]
    network, x = make(), data()[0]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    student = gc.prune(network, x[:1], keep=0.5)

    assert type(student).__name__ == type(network).__name__
    assert student(x).shape == network(x).shape
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    how = gc.save(student, tmp_path / "student")
    assert how == f'network = gancompress.load_into(original, "{tmp_path / "student"}")'
    again = gc.load_into(make(seed=5), tmp_path / "student")
    assert torch.equal(again(x), student(x))
    assert gc.trace(again, x[:1]).groups.keys() == gc.trace(student, x[:1]).groups.keys()


def test_refit_finds_the_channels_that_a_pruned_network_kept():
    network, data = image_network(), images(8)
    at_once = gc.prune(network, data[0][:1], keep=0.5, refit=data)
    cut = gc.prune(network, data[0][:1], keep=0.5)
    first = gc.compare(network, cut, data[0])["student"].psnr_db
    report = gc.refit(cut, network, data)
    assert len(report.layers) == 4
    torch.testing.assert_close(cut(data[0]), at_once(data[0]), atol=1e-5, rtol=0)
    assert gc.compare(network, cut, data[0])["student"].psnr_db > first + 3
    with torch.no_grad():
        cut.enter.weight.mul_(1.01)  # as training does
    with pytest.raises(RefitError, match="expected a student that was pruned from this network and not trained since"):
        gc.refit(cut, network, data)


def test_scores_are_names_options_or_functions():
    network, data = image_network(), images()
    graph = gc.trace(network, data[0][:1])

    def mine(state, graph):
        return {name: torch.arange(group.size, dtype=torch.float) for name, group in graph.groups.items()}

    student = gc.prune(network, data[0][:1], keep=0.5, score=mine)
    assert torch.equal(student.enter.weight, network.enter.weight.flip(0)[:8])
    running = gc.prune(network, data[0][:1], keep=0.5, score="activation_map", batches=data)
    assert running.enter.weight.shape == (8, 3, 3, 3)
    assert list(graph.groups) == ["enter"]
    with pytest.raises(ConfigError, match="'activation_map', which runs the generator, expected images"):
        gc.prune(network, data[0][:1], keep=0.5, score="activation_map")


def test_statistics_of_batch_norms_are_those_of_the_batches():
    network, data = image_network(), images()
    student = gc.prune(network, data[0][:1], keep=0.5, batches=data)
    entered = student.enter(torch.cat(data)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(student.norm.running_mean, entered.mean(1), atol=1e-5, rtol=1e-5)


def test_budgets_and_widths():
    network, x = image_network(), images()[0][:1]
    full = gc.compare(network, network, x)["teacher"]
    for budget in (gc.Budget(reduction=2), gc.Budget(macs=full.macs / 2), gc.Budget(parameters=full.parameters / 2)):
        student = gc.prune(network, x, budget=budget, multiple=1)
        row = gc.compare(network, student, x)["student"]
        within = row.parameters / full.parameters if budget.parameters else row.macs / full.macs
        assert 0.4 < within <= 0.5
    assert gc.prune(network, x, widths={"enter": 5}).enter.out_channels == 5
    with pytest.raises(BudgetError, match=r"budget: got 10 true MACs, but the smallest reachable cost is"):
        gc.prune(network, x, budget=gc.Budget(macs=10))
    with pytest.raises(ConfigError, match="prune: expected exactly one of keep, budget and widths"):
        gc.prune(network, x)


def test_quantizing_leaves_the_network_alone():
    network, data = image_network(), images()
    rounded = gc.quantize(network, data)
    assert quantized_layers(rounded)
    assert not quantized_layers(network)
    assert 30 < gc.compare(network, rounded, data[0])["student"].psnr_db < 100
    with pytest.raises(CheckpointError, match="got a quantized network, expected a float one"):
        gc.save(rounded, "nowhere")


def test_a_comparison_is_a_table_in_terminal_and_notebook():
    network, data = image_network(), images()
    table = gc.compare(network, {"half": gc.prune(network, data[0][:1], keep=0.5), "same": network}, data[0][:1])
    lines = str(table).splitlines()
    assert lines[0].split() == ["MACs", "parameters", "ms", "PSNR", "dB"]
    assert re.fullmatch(r"half +\d+k \(3\.\dx\) +1\.63k \(3\.4x\) +\d+\.\d\d( \(\d+\.\dx\))? +\d+\.\d", lines[2])
    assert lines[3].endswith("equal")
    assert table._repr_html_().count("<tr>") == 4
    assert table["half"].macs == sum(
        math.prod(layer.weight.shape) * 256
        for layer in gc.prune(network, data[0][:1], keep=0.5).modules()
        if isinstance(layer, nn.Conv2d)
    )
    with pytest.raises(ConfigError, match=r"compare: 'student' returns \(1, 3, 8, 8\), but the teacher returns"):
        gc.compare(network, nn.Sequential(network, nn.AvgPool2d(2)), data[0][:1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: (d / "plan.json").unlink(), "found no plan.json, expected a directory written by gancompress.save"),
        (lambda d: (d / "plan.json").write_text("{"), r"plan.json: got invalid JSON"),
        (lambda d: (d / "plan.json").write_text("{}"), "expected what gancompress.save wrote"),
    ],
)
def test_files_that_are_none_are_refused(change, message, tmp_path):
    gc.save(image_network(), tmp_path)
    change(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        gc.load_into(image_network(), tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    gc.save(image_network(), tmp_path)
    with pytest.raises(CheckpointError, match="expected the network that the saved one was made from"):
        gc.load_into(vocoder(), tmp_path)


def test_export_and_load(tmp_path):
    network, data = vocoder(), mels(16)
    report = gc.export(network, data[0][:1], tmp_path / "a.onnx")
    assert report.path == tmp_path / "a.onnx"
    with torch.no_grad():
        torch.testing.assert_close(gc.load(report.path)(data[1]), network(data[1]), atol=1e-5, rtol=0)
    rounded = gc.export(network, data[0][:1], tmp_path / "b.onnx", precision="int8", calibration=data, min_psnr_db=20)
    assert rounded.quality is not None
    assert rounded.quality.psnr_db > 20
    with pytest.raises(DataError, match="got precision 'int8' without calibration"):
        gc.export(network, data[0][:1], tmp_path / "c.onnx", precision="int8")
