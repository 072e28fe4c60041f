"""Quantization as a part of jobs: while a network is slimmed, fine-tuned or distilled, and after training."""

from __future__ import annotations

import onnxruntime
import pytest
import torch

from gancompress.errors import ConfigError, DataError, Interrupted
from gancompress.jobs.finished import FinishedRun
from gancompress.jobs.outcome import Outcome
from gancompress.jobs.steps import Quantize
from gancompress.jobs.steps.quantize import calibrated
from gancompress.jobs.summary import summarise
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.quantization import (
    FLOAT,
    Quantization,
    QuantizationOptions,
    QuantizedSize,
    quantize,
    quantized_layers,
)
from gancompress.training import TrainingOptions
from tests.deploy.benchmark.in_process import workers_as_threads
from tests.jobs.steps.small_work import make_surroundings, make_work
from tests.jobs.steps.test_slim import IMAGES, NETWORKS, SLIM, SMALL, job, run

LEARNED = {"weight_bits": 8, "activation_bits": 8, "ranges": "learned"}
OBSERVED = {"weight_bits": 4, "ranges": "minmax"}
FINETUNE = {
    "kind": "finetune",
    "distillation": IMAGES,
    "discriminator": SLIM["discriminator"],
    "training": {"num_images": 16, "batch_size": 4, "optimizer": {"learning_rate": 1e-3}},
}


def parts(outcome: Outcome) -> tuple[Generator, Quantization]:
    quantization = Quantization.load(outcome.directory)
    assert quantization is not None
    return outcome.compressed.generator, quantization


@pytest.mark.parametrize(("network", "options"), list(zip(NETWORKS, (LEARNED, OBSERVED), strict=True)))
def test_slimming_in_few_bits_reaches_a_budget_in_bytes(tmp_path, network, options):
    given = job(
        tmp_path,
        NETWORKS[network],
        {**SLIM, "quantization": options, "streams": True},
        budget={"reduction": 6, "unit": "bytes"} if options is LEARNED else {"reduction": 10, "unit": "bytes"},
    )
    outcome = run(given, tmp_path / "run")
    limit = outcome.teacher.weight_bytes / (6 if options is LEARNED else 10)
    assert outcome.teacher.weight_bytes == outcome.teacher.cost.parameter_bytes
    assert 0.9 * limit < outcome.compressed.weight_bytes <= limit
    assert len(outcome.records[-1]["removals"]) > 0


@pytest.mark.parametrize(
    "last", [{"kind": "quantize", "num_images": 8}, {**FINETUNE, "quantization": LEARNED}], ids=["after", "while"]
)
def test_a_budget_in_bytes_counts_the_bits_of_a_later_step(tmp_path, last):
    pruning = {"kind": "prune", "multiple": 1}
    given = job(tmp_path, SMALL["affine norms"], pruning, last, budget={"reduction": 8, "unit": "bytes"})
    outcome = run(given, tmp_path / "run")
    limit = outcome.teacher.weight_bytes / 8
    assert 0.8 * limit < outcome.compressed.weight_bytes <= limit
    assert outcome.compressed.cost.parameter_bytes > 1.5 * limit


def test_stopping_and_going_on_changes_no_bit(tmp_path):
    given = job(tmp_path, SMALL["affine norms"], {**SLIM, "quantization": LEARNED})
    straight = parts(run(given, tmp_path / "straight"))
    asked = iter(range(1000))
    with pytest.raises(Interrupted):
        run(given, tmp_path / "other", lambda: next(asked) + 1 >= 17)
    resumed = parts(run(given, tmp_path / "other"))
    for before, after in ((straight[0].state, resumed[0].state), (straight[1].ranges, resumed[1].ranges)):
        assert before.keys() == after.keys() != set()
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_what_is_measured_and_exported_is_the_quantized_network(tmp_path):
    given = job(
        tmp_path,
        SMALL["affine norms"],
        {**SLIM, "quantization": LEARNED},
        FINETUNE,
        exports=["onnx"],
        metrics={"against_teacher": ["psnr"]},
    )
    outcome = run(given, tmp_path / "run")
    generator, quantization = parts(outcome)
    assert quantization.options == QuantizationOptions(**LEARNED)

    example = given.inputs().example()
    network = quantization.attach(generator.build()).eval()
    assert len(quantized_layers(network)) >= 10
    session = onnxruntime.InferenceSession(outcome.files.reports[0].path, providers=["CPUExecutionProvider"])
    (image,) = session.run(None, {session.get_inputs()[0].name: example.numpy()})
    eager = network(example)
    to_file = (torch.from_numpy(image) - eager).abs().mean()
    assert to_file < 0.2 * (eager - generator.build()(example)).abs().mean()

    again = FinishedRun(given, tmp_path / "run").evaluate("test")
    assert again.metrics["psnr_to_teacher"].value == outcome.compressed.metrics["psnr_to_teacher"].value
    with workers_as_threads():
        report = summarise(outcome, example, rounds=2)
    assert report.networks[1].precision == "weights 8 bits, activations 8 bits"
    assert report.networks[1].file_bytes == outcome.files.reports[0].path.stat().st_size
    assert report.networks[1].weight_bytes == outcome.compressed.weight_bytes < 0.4 * outcome.teacher.weight_bytes


def test_a_run_that_quantizes_no_more_leaves_a_float_network(tmp_path):
    quantize = {"kind": "quantize", "num_images": 16}
    run(job(tmp_path, SMALL["affine norms"], FINETUNE, quantize), tmp_path / "run")
    given = job(tmp_path, SMALL["affine norms"], FINETUNE)
    outcome = run(given, tmp_path / "run")
    assert Quantization.load(tmp_path / "run") is None
    again = FinishedRun(given, tmp_path / "run").evaluate("test")
    assert again.metrics["psnr_to_teacher"].value == outcome.compressed.metrics["psnr_to_teacher"].value


def test_ranges_do_not_decay():
    learned = QuantizationOptions(**LEARNED)
    network = quantize(build("resnet", {"ngf": 4, "num_blocks": 1}), learned)
    optimizer = TrainingOptions(optimizer={"weight_decay": 0.1}).adam(network.parameters())
    decays = {group["weight_decay"]: len(group["params"]) for group in optimizer.param_groups}
    ranges = [name for name, _ in network.named_parameters() if "quantizer" in name]
    assert decays == {0.1: len(list(network.parameters())) - len(ranges), 0.0: len(ranges)}


def test_finetuning_a_quantized_network_moves_weights_and_ranges(tmp_path):
    quantize = {"kind": "quantize", "num_images": 16, "quantization": LEARNED}
    given = job(tmp_path, SMALL["affine norms"], quantize, FINETUNE)
    outcome = run(given, tmp_path / "run")
    before = outcome.directory / "steps" / outcome.records[0]["directory"] / "generator"
    generator, quantization = parts(outcome)
    at_first = Quantization.load(before)
    assert at_first is not None
    assert at_first.ranges.keys() == quantization.ranges.keys()
    assert any(not torch.equal(at_first.ranges[name], tensor) for name, tensor in quantization.ranges.items())
    weights = outcome.teacher.generator.state
    assert any(not torch.equal(tensor, generator.state[name]) for name, tensor in weights.items())


def test_quantizing_changes_no_weight_and_finds_ranges_on_training_images(tmp_path):
    work, around = make_work(), make_surroundings(tmp_path, None)
    result = Quantize(num_images=8).run(work, *around)
    assert result.generator is work.generator
    assert result.quantization is not None
    expected = calibrated(work.generator, QuantizationOptions(), 8, around.inputs, around.run.device)
    assert all(torch.equal(result.quantization.ranges[name], tensor) for name, tensor in expected.ranges.items())
    batch = around.inputs.first_images("train", 8)["input"]
    assert not torch.equal(result.build()(batch), work.build()(batch))
    assert (result.build()(batch) - work.build()(batch)).abs().mean() < 0.02


def test_a_float_budget_counts_four_bytes_for_each_number(tmp_path):
    work, around = make_work("batch"), make_surroundings(tmp_path, None)
    graph = around.inputs.graph(work.generator)
    numbers = sum(tensor.numel() for tensor in work.generator.state.values() if tensor.is_floating_point())
    assert QuantizedSize(graph, FLOAT).at(graph.full_plan()) == 4 * numbers


def test_too_few_images_are_reported_before_the_first_step(tmp_path):
    given = job(tmp_path, SMALL["affine norms"], SLIM, {"kind": "quantize", "num_images": 17})
    with pytest.raises(DataError, match=r"steps\.1\.num_images: got 17, but the training data has 16; lower it"):
        run(given, tmp_path / "run")
    assert not (tmp_path / "run" / "steps").exists()


def test_mistakes(tmp_path):
    with pytest.raises(ConfigError, match=r"quantization\.weight_bits: got 1, expected .*greater than or equal to 2"):
        job(tmp_path, SMALL["affine norms"], {**SLIM, "quantization": {"weight_bits": 1}})
    with pytest.raises(ConfigError, match=r"activation_bits: got 17, expected .*less than or equal to 16"):
        job(tmp_path, SMALL["affine norms"], {**SLIM, "quantization": {"activation_bits": 17}})
    with pytest.raises(ConfigError, match=r"exports\.0: got openvino .*, expected onnx without rewrites"):
        job(tmp_path, SMALL["affine norms"], {"kind": "quantize"}, exports=["openvino"])
    fastest = {"format": "onnx", "precision": "fastest"}
    with pytest.raises(
        ConfigError, match=r"exports\.0: got precision fastest behind a step that quantizes, expected a"
    ):
        job(tmp_path, SMALL["affine norms"], {"kind": "quantize"}, exports=[fastest])
    message = r"steps\.2: got 'prune' behind a step that quantizes, expected finetune or quantize"
    with pytest.raises(ConfigError, match=message):
        job(tmp_path, SMALL["affine norms"], {"kind": "quantize"}, FINETUNE, {"kind": "prune", "keep": 0.5})
