"""Networks of several inputs and outputs, with batches of inputs by name."""

from __future__ import annotations

import pytest
import torch

import gancompress as gc
from gancompress.errors import ConfigError, DataError
from gancompress.losses import L1
from gancompress.networks.given import NamedInputs, arguments, call
from tests.outside.several import Speaking, batches


def teacher():
    torch.manual_seed(0)
    return Speaking().eval()


def test_inputs_are_passed_by_name():
    network, batch = teacher(), batches(1)[0]
    given = NamedInputs(batch)
    assert [each is batch[name] for each, name in zip(arguments(network, given), ("mel", "speaker"), strict=True)]
    made = call(network, given)
    assert torch.equal(made["wave"], network(batch["mel"], batch["speaker"])["wave"])
    assert len(given[1:3]) == 2
    assert torch.equal(given[1:3].tensors["speaker"], batch["speaker"][1:3])


def test_a_student_learns_all_outputs():
    network, data = teacher(), batches()
    student = gc.prune(network, data[0], keep=0.5, multiple=1)
    before = gc.evaluate(student, data, teacher=network)["psnr"]
    result = gc.distill(student, network, data, images=320, terms=[L1(1)], lr=1e-2, progress=False)
    assert gc.evaluate(result.module, data, teacher=network)["psnr"] > before + 3
    with torch.no_grad():
        far = [
            (call(net, NamedInputs(data[0]))["voiced"] - call(network, NamedInputs(data[0]))["voiced"]).abs().mean()
            for net in (gc.prune(network, data[0], keep=0.5, multiple=1), result.module)
        ]
    assert far[1] < far[0] / 2


def test_resume_is_exact(tmp_path):
    def train(out, images):
        student = gc.prune(teacher(), batches()[0], keep=0.5, multiple=1)
        run = gc.distill(student, teacher(), batches(), images=images, terms=[L1(1)], out=out, progress=False)
        return run.module.state_dict()

    whole = train(tmp_path / "whole", 48)
    train(tmp_path / "parts", 24)
    parts = train(tmp_path / "parts", 48)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_outputs_that_are_none():
    message = "l1: outputs: got 'voice', expected an output beside the main one; known: voiced"
    with pytest.raises(ConfigError, match=message):
        gc.distill(teacher(), teacher(), batches(), images=4, terms=[L1(1, outputs={"voice": 2.0})], progress=False)


def test_all_in_one_call_and_files_of_it(tmp_path):
    pytest.importorskip("onnxruntime", reason="exports to ONNX, which is not installed")
    found = gc.compress(teacher(), batches(), smaller=2, images=16, multiple=1, progress=False)
    assert "MACs" in found.report()
    report = gc.export(found.module, batches()[0], tmp_path / "a.onnx", precision="int8", calibration=batches(12))
    assert report.quality.psnr_db > 20
    made = gc.load(tmp_path / "a.onnx").outputs(batches()[0]["mel"], batches()[0]["speaker"])
    assert list(made) == ["wave", "voiced"]


def weighted(voiced):
    student = Speaking()
    student.load_state_dict(teacher().state_dict())
    with torch.no_grad():
        student.voiced.bias += 1
    run = gc.distill(student, teacher(), batches(1), images=4, terms=[L1(1, outputs=voiced)], lr=1e-9, progress=False)
    return sum(value for name, value in run.losses[-1].items() if name.endswith("l1"))


def test_outputs_have_weights():
    assert weighted({"voiced": 3.0}) == pytest.approx(weighted({}) + 2, rel=0.2)
    assert weighted({"voiced": 0.0}) < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spaeker": "speaker"}, "got 'spaeker' of the data, expected arguments .*did you mean 'speaker'"),
        ({"mel": None}, "got speaker of the data, expected mel too"),
    ],
)
def test_names_that_do_not_fit(change, message):
    batch = batches(1)[0]
    for new, old in change.items():
        batch = {name: each for name, each in batch.items() if name not in (new, old)} | (
            {new: batch[old]} if old else {}
        )
    with pytest.raises(ConfigError, match=message):
        call(teacher(), NamedInputs(batch))


def test_parts_of_different_lengths():
    batch = batches(1)[0]
    with pytest.raises(DataError, match="batch 1 has parts of different lengths"):
        gc.evaluate(teacher(), [{**batch, "mel": batch["mel"][:2]}], teacher=teacher())
