"""Pace of training: the teacher's time counts where the teacher runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gancompress.methods.pace import seconds_per_step, steps_in

IMAGES = torch.rand(2, 3, 8, 8)


class Counted(nn.Module):
    """A network that counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.passes = nn.Conv2d(3, 3, 1), [0]

    def forward(self, x):
        self.passes[0] += not torch.is_grad_enabled()
        return self.conv(x)


@pytest.mark.parametrize(
    ("num_kept", "options", "runs"),
    [
        (None, {}, True),
        (2, {}, False),
        (1_000_000, {}, False),  # 768 bytes each
        (2_000_000, {}, True),
        (1_000_000, {"teacher_cache": {"memory_gib": 0.5}}, True),
        (2, {"teacher_cache": {"memory_gib": 0, "disk_gib": 0}}, True),
    ],
)
def test_a_trial_runs_the_teacher_where_training_will(num_kept, options, runs, monkeypatch):
    monkeypatch.setattr("gancompress.methods.pace._LEAST_TRIAL_S", 0.0)

    def passes(steps: int) -> int:
        teacher = Counted()
        terms = ({"kind": "l1", "weight": 1},)
        options_ = {"target": "teacher", "terms": terms, **options}
        assert seconds_per_step(nn.Conv2d(3, 3, 1), teacher, {"input": IMAGES}, 2, options_, steps, num_kept) > 0
        return teacher.passes[0]

    assert passes(4) - passes(1) == (3 if runs else 0)


@pytest.mark.parametrize(
    ("least_s", "steps", "timed"), [(-1.0, 4, [2, 5]), (1e9, 4, [2, 5, 17]), (1e9, 3, [2, 4, 13, 17])]
)
def test_quick_steps_are_timed_again_in_larger_numbers(least_s, steps, timed, monkeypatch):
    numbers, now = [], [0.0]

    def distill(*_, images, stop, **__):
        numbers.append(images // 2)
        now[0] += 100  # a start that takes long, and a machine that is busy during one of the steps
        for step in range(images // 2):
            now[0] += 50 if step == 1 else 0.5
            assert not stop()

    monkeypatch.setattr("gancompress.methods.pace._LEAST_TRIAL_S", least_s)
    monkeypatch.setattr("gancompress.methods.pace.distill", distill)
    monkeypatch.setattr("gancompress.methods.pace.time.perf_counter", lambda: now[0])
    assert seconds_per_step(nn.Conv2d(3, 3, 1), Counted(), {"input": IMAGES}, 2, {}, steps) == 0.5
    assert numbers == timed


@pytest.mark.parametrize(
    ("times", "expected"),
    [((10, 2.0), 5), ((1, 2.0), 1), ((10, 2.0, 0.5, 3), 11), ((10, 2.0, 0.5, 8), 5), ((10, 2.0, 2.0, 3), 5)],
)
def test_steps_that_fit_into_a_time(times, expected):
    assert steps_in(*times) == expected
