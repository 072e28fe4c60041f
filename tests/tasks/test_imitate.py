"""Imitation: inputs are enough, and real outputs are used where they are there."""

from __future__ import annotations

import pytest
import torch

from gancompress.errors import ConfigError
from gancompress.jobs.recipe import Job
from gancompress.tasks import find_task


def test_the_teachers_images_are_real_where_there_are_no_others():
    task = find_task("imitate")
    photo, made, style = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)
    assert task.real({"input": photo}, made) is made
    assert task.real({"input": photo, "target": style}, made) is style
    assert task.real({"input": photo, "target": style}) is style
    with pytest.raises(ConfigError, match="imitate: got neither real outputs nor the teacher's, expected one"):
        task.real({"input": photo})


def test_the_student_does_what_the_teacher_does():
    task = find_task("imitate")
    photo, made = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    batch = task.prepare({"input": photo, "name": ["a"]}, "train", [7])
    assert task.answer(batch, made) is made
    assert task.seen(batch, made) is made
    assert task.discriminator_channels(3, 3) == 3
    assert task.columns(batch, {"teacher": made}) == {"input": photo, "teacher": made}


def test_several_inputs_by_name():
    batch = {"mel": torch.zeros(2, 3), "speaker": torch.ones(2), "target": torch.ones(2, 5), "name": ["a", "b"]}
    prepared = find_task("imitate").prepare({**batch, "index": torch.arange(2)}, "train", [0, 1])
    assert list(prepared["input"].tensors) == ["mel", "speaker"]
    assert prepared.keys() == {"input", "target", "name", "index"}
    assert find_task("imitate").columns(prepared, {"teacher": batch["target"]}).keys() == {"teacher"}


def test_pairs_are_learned_where_they_are_there():
    task, made, truth = find_task({"kind": "imitate", "pairs": True}), torch.ones(1, 1, 4), torch.zeros(1, 1, 4)
    batch = {"input": torch.zeros(1, 3, 4), "target": truth}
    assert task.answer(batch, made) is truth
    assert find_task("imitate").answer(batch, made) is made
    assert task.seen(batch, made) is made
    assert task.discriminator_channels(3, 1) == 1
    assert task.columns(batch, {"student": made}).keys() == {"input", "student", "truth"}
    with pytest.raises(ConfigError, match="task: pairs: got data without 'target', expected the truth of every input"):
        task.answer({"input": batch["input"]}, made)


@pytest.mark.parametrize("pairs", [False, True])
def test_metrics_that_fit_tensors_are_the_default(pairs):
    job = Job(
        name="a",
        task={"kind": "imitate", "pairs": pairs},
        data={"kind": "noise", "shape": [3]},
        teacher={"checkpoint": "a.pt"},
        steps=[{"kind": "prune", "keep": 0.5}],
    )
    assert job.metrics.against_teacher == ("snr", "relative_error")
    assert job.metrics.against_real == (("snr", "relative_error") if pairs else ())
    assert Job(**job.model_dump(mode="json")) == job
