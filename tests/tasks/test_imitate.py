"""Imitation: inputs are enough, and real outputs are used where they are there."""

from __future__ import annotations

import pytest
import torch

from gancompress.errors import ConfigError
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
