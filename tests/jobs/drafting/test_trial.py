"""Trials of small networks on this machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from gancompress.errors import BudgetError, ConfigError
from gancompress.jobs.drafting import Request
from gancompress.jobs.drafting.draft import hint_of_other_families
from gancompress.jobs.drafting.material import Material
from gancompress.jobs.drafting.method import Narrowed, terms_of
from gancompress.jobs.drafting.trial import (
    families_like,
    narrowed,
    seconds_of_pass,
    student_like,
    training_pace,
)
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from tests.methods.test_depth import residual_network

EXAMPLE = torch.zeros(1, 3, 32, 32)
TINY = {"nf": 4, "growth": 4, "num_blocks": 1}


def network(width: int = 16, norm: type[nn.Module] = nn.Identity) -> Generator:
    return Generator.from_module(
        nn.Sequential(nn.Conv2d(3, width, 3, padding=1), norm(), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1))
    )


@pytest.mark.parametrize(("smaller", "multiple"), [(4, 4), (8, 2), (16, 1)])
def test_widths_are_as_even_as_the_budget_allows(smaller, multiple):
    narrow, facts = narrowed(network(), EXAMPLE, Request("x", "y", smaller=smaller))
    assert facts.multiple == multiple
    assert facts.refit_images == 1  # 28 and at most 37 unknowns, 1,024 positions of each image
    assert facts.taps
    assert narrow.state["0.weight"].shape[0] == 16 // smaller


@pytest.mark.parametrize(("num_refit", "kept"), [(0, 4), (64, 1)])
def test_widths_meet_the_budget_without_leaving_blocks_out(num_refit, kept):
    """A network that is not refitted keeps its blocks."""
    whole = Generator.from_module(residual_network())
    narrow, facts = narrowed(whole, EXAMPLE, Request("x", "y", smaller=16), num_refit=num_refit)
    assert (facts.multiple, facts.num_blocks, facts.num_left_out) == (2, 4, 3)
    assert len({name.split(".")[1] for name in narrow.state if name.startswith("blocks")}) == kept


def test_other_families_are_known_for_upscalers_only():
    rrdbnet = Generator.from_module(build("rrdbnet", TINY), "rrdbnet", TINY)
    assert families_like(rrdbnet, EXAMPLE, (3, 128, 128)) == ("srvggnet_compact",)
    assert families_like(network(), EXAMPLE, (3, 32, 32)) == ()
    assert families_like(Generator.from_module(nn.Conv1d(3, 3, 1)), EXAMPLE[..., 0], (3, 32)) == ()


@pytest.mark.parametrize(("num_left_out", "left"), [(6, 0), (5, 1)])
def test_a_network_of_hardly_a_block_is_told_of_other_families(num_left_out, left):
    cut = Narrowed(8, None, (), num_blocks=6, num_left_out=num_left_out)
    hint = "hint: of its 6 blocks the budget leaves {} at full width; try --like srvggnet_compact"
    assert hint_of_other_families(cut, ("srvggnet_compact",)) == hint.format(left)
    both = hint_of_other_families(cut, ("srvggnet_compact", "rrdbnet"))
    assert both == hint.format(left) + " or --like rrdbnet"
    assert hint_of_other_families(cut, ()) is None
    assert hint_of_other_families(replace(cut, num_left_out=4), ("srvggnet_compact",)) is None
    assert hint_of_other_families(Narrowed(8, None, (), num_blocks=1), ("srvggnet_compact",)) is None


def test_a_refit_needs_more_small_images():
    _, facts = narrowed(network(64), torch.zeros(1, 3, 8, 8), Request("x", "y", smaller=2))
    assert facts.refit_images == 5  # 9 * 32 + 1 unknowns, 64 positions of each image


def test_a_budget_below_the_narrowest_network_is_refused():
    with pytest.raises(BudgetError, match="the smallest reachable cost is"):
        narrowed(network(), EXAMPLE, Request("x", "y", smaller=17))


def test_a_step_is_timed():
    teacher = network()
    narrow, facts = narrowed(teacher, EXAMPLE, Request("x", "y", smaller=4))
    terms = terms_of(Material({}, {}, "", (3, 32, 32)), facts)
    crops = torch.rand(2, 3, 32, 32)
    assert 0 < seconds_of_pass(teacher.build(), crops) < 5
    pace = training_pace(narrow, teacher, crops, 3, terms, facts.taps, 10.0)
    assert (pace.teacher_s, pace.precision) == (10.0, "fp32")
    assert 0 < pace.step_s < 20
    assert 0 < pace.kept_step_s < 20


@pytest.mark.parametrize(("in_half", "precision", "kept"), [(0.5, "bf16", 0.25), (0.9, "fp32", 0.5)])
def test_training_is_in_bf16_where_a_step_is_clearly_faster(in_half, precision, kept, monkeypatch):
    def seconds_per_step(student, teacher, batch, batch_size, options, steps, num_kept):
        return (in_half if options["precision"] == "bf16" else 1.0) * (1.0 if num_kept is None else 0.5)

    monkeypatch.setattr("gancompress.jobs.drafting.trial.seconds_per_step", seconds_per_step)
    teacher, crops = network(), torch.rand(2, 3, 32, 32)
    terms = [{"kind": "l1", "weight": 1}]
    pace = training_pace(teacher, teacher, crops, 2, terms, (), 10.0, num_kept=8, try_bf16=True)
    assert (pace.precision, pace.kept_step_s) == (precision, kept)
    assert (pace.teacher_s < 10) == (precision == "bf16")
    assert training_pace(teacher, teacher, crops, 2, terms, (), 10.0).precision == "fp32"


def upscaler() -> Generator:
    return Generator.from_module(
        nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 48, 3, padding=1), nn.PixelShuffle(4))
    )


def test_a_student_of_another_architecture_is_cut_to_the_budget_of_the_original():
    request = Request("x", "y", smaller=2, like="srvggnet_compact")
    student = student_like(request, upscaler(), EXAMPLE)
    assert (student.family, student.config) == ("srvggnet_compact", {"in_channels": 3, "scale": 4})
    narrow, facts = narrowed(upscaler(), EXAMPLE, request, student)
    assert (facts.refit_images, facts.taps) == (None, ())
    assert narrow.family == "srvggnet_compact"
    macs = sum(each.numel() for name, each in narrow.state.items() if each.dim() == 4)
    assert 0.4 * macs < sum(each.numel() for each in upscaler().state.values()) / 2
    assert macs <= (64 * 27 + 64 * 48 * 9) / 2


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (
            "resnet_6blocks",
            r"--like: got 'resnet_6blocks', which makes \[3, 32, 32\] of \[3, 32, 32\], expected \[3, 128",
        ),
        ("srvggnet", "--like: got 'srvggnet', .* did you mean 'srvggnet_compact'"),
    ],
)
def test_a_student_that_makes_something_else_is_refused(like, message):
    with pytest.raises(ConfigError, match=message):
        student_like(Request("x", "y", smaller=2, like=like), upscaler(), EXAMPLE)
