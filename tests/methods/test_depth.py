"""Leaving out whole residual blocks: by name, by importance, and as a choice within a budget."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import gancompress as gc
from gancompress.channels import SubNetwork
from gancompress.cost import CostModel
from gancompress.errors import CheckpointError, ConfigError, PlanError
from gancompress.importance import BLOCK_SCORES, least_important_first
from gancompress.methods.budget import CostLimit
from gancompress.methods.depth import plans_by_depth
from tests.methods.networks import images


def residual_network(seed: int = 0, num_blocks: int = 4, *, looped: bool = False) -> nn.Module:
    """Residual blocks that add less and less, in a list; the network itself may add what they return."""
    torch.manual_seed(seed)

    class Block(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.first, self.last = (nn.Conv2d(16, 16, 3, padding=1) for _ in range(2))
            self.scale = scale

        def forward(self, x: Tensor) -> Tensor:
            return (0 if looped else x) + self.scale * self.last(torch.relu(self.first(x)))

    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.leave = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 3, 3, padding=1)
            self.blocks = nn.ModuleList(Block(2.0 / 2**i) for i in range(num_blocks))

        def forward(self, x: Tensor) -> Tensor:
            h = self.enter(x)
            for block in self.blocks:
                h = h + block(h) if looped else block(h)
            return self.leave(h)

    return Mine().eval()


@pytest.mark.parametrize("looped", [False, True])
def test_the_least_important_blocks_are_left_out_and_the_student_is_read_back(tmp_path, looped):
    network, data = residual_network(looped=looped), images(8)
    graph = gc.trace(network, data[0][:1])
    names = tuple(f"{'+' if looped else ''}blocks.{i}" for i in (3, 2, 1, 0))
    for score in BLOCK_SCORES:
        assert least_important_first(network, graph, [(data[0],)], score) == names
    student = gc.prune(network, data[0][:1], keep=0.5, depth=0.5, refit=data)
    assert gc.compare(network, student, data[0])["student"].psnr_db > 20
    assert [type(block).__name__ for block in student.blocks] == ["Block"] * 2 + [
        "LeftOutBranch" if looped else "LeftOut"
    ] * 2
    assert student.enter.out_channels == 8
    assert not any("blocks.2" in name for name in student.state_dict())
    named = gc.prune(network, data[0][:1], keep=1.0, left_out=("blocks.[23]",))
    assert named.state_dict().keys() == student.state_dict().keys()
    gc.save(student, tmp_path / "student")
    again = gc.load_into(residual_network(seed=5, looped=looped), tmp_path / "student")
    assert torch.equal(again(data[0]), student(data[0]))
    before = gc.compare(network, named, data[0])["student"].psnr_db
    kept = named.blocks[1].last.weight.clone()
    report = gc.refit(named, network, data)
    assert gc.compare(network, named, data[0])["student"].psnr_db > before + 3
    assert [layer.name for layer in report.layers] == ["enter", "leave"]
    assert all("its residual block is whole" in reason for reason in report.left.values())
    assert torch.equal(named.blocks[1].last.weight, kept)
    with pytest.raises(CheckpointError, match="expected the network that the saved one was made from"):
        gc.load_into(residual_network(num_blocks=2), tmp_path / "student")


def test_auto_takes_the_depth_whose_network_is_nearest_within_the_budget():
    network, data = residual_network(), images(8)
    x, budget = data[0][:1], gc.Budget(reduction=2.0)
    students = {
        depth: gc.prune(network, x, budget=budget, depth=depth, refit=data, multiple=4) for depth in (None, 0.5, "auto")
    }
    measured = {depth: gc.compare(network, student, data[0])["student"] for depth, student in students.items()}
    assert measured["auto"].psnr_db == max(each.psnr_db for each in measured.values())
    assert all(each.macs <= measured["auto"].macs * 1.2 for each in measured.values())
    assert sum(type(block).__name__ == "LeftOut" for block in students["auto"].blocks) >= 2


@pytest.mark.parametrize(
    ("share", "numbers"), [(0.55, [2, 1, 0]), (0.4, [2, 0]), (0.1, [3, 2, 0]), (0.05, [4, 3, 2, 0])]
)
def test_plans_that_leave_the_budget_unused_are_not_tried(share, numbers):
    graph = gc.trace(residual_network(), torch.zeros(1, 3, 8, 8), multiple=1, minimum=1)
    cost, order = CostModel(graph), [f"blocks.{i}" for i in (3, 2, 1, 0)]

    def macs(plan):
        return float(cost.macs(plan).true)

    limit = CostLimit(share * macs(graph.full_plan()))
    plans = plans_by_depth(graph, macs, limit, order)
    assert list(plans) == numbers
    assert all(0.85 * limit.limit <= macs(plan) <= limit.limit for plan in plans.values())


def test_a_depth_that_does_not_fit_is_refused():
    network, data = residual_network(), images()
    x = data[0][:1]
    for given, message in (
        ({"depth": 0.5}, "depth: got 0.5 without images to score blocks on; give batches or refit"),
        (
            {"depth": 2.0, "batches": data},
            "depth: got 2.0, expected a fraction of the blocks between 0 and 1, or 'auto'",
        ),
        ({"depth": "auto", "batches": data}, "depth: got 'auto' without a budget, expected one"),
        ({"depth": 0.5, "batches": data, "block_score": "mine"}, "got 'mine', expected a known score of blocks"),
    ):
        with pytest.raises(ConfigError, match=message):
            gc.prune(network, x, keep=0.5, **given)
    with pytest.raises(ConfigError, match="depth: got a network without residual blocks that can be left out"):
        gc.prune(nn.Conv2d(3, 16, 3), x, keep=0.5, depth=0.5, batches=data)
    with pytest.raises(PlanError, match=r"left_out: no block 'blocks.9' that can be left out; did you mean"):
        gc.prune(network, x, keep=0.5, left_out=("blocks.9",))


def test_a_supernet_and_its_search_choose_depth_too(tmp_path):
    network, data = residual_network(), images(8)
    elastic = gc.Supernet(
        network, data[0][:1], choices=3, min_keep=0.5, min_depth=0.25, block_score="branch_norm", batches=data
    )
    assert elastic.space.names[-1] == "depth of blocks"
    values = (*elastic.space.smallest[:-1], 1)
    plan = elastic.space.plan(elastic.space.parse(elastic.space.text(values)))
    assert plan.left_out == {f"blocks.{i}" for i in (1, 2, 3)}
    shared = SubNetwork(elastic.module, elastic.graph, plan)
    assert torch.equal(shared(data[0]), elastic.network(plan)(data[0]))
    gc.distill(elastic, network, data, images=16, batch_size=4, progress=False)
    how = {"budget": gc.Budget(reduction=3), "batches": data[:2], "candidates": 6, "progress": False}
    found = gc.search(elastic, out=tmp_path, **how)
    assert any(candidate.plan.left_out for candidate in found.candidates)
    assert torch.equal(found.module(data[0]), elastic.network(found.plan)(data[0]))
    assert found.cost == gc.compare(network, found.module, data[0][:1])["student"].macs
    assert gc.search(elastic, out=tmp_path, **how).plan == found.plan
    with pytest.raises(ConfigError, match="block_score: got 'branch_norm' without images to score blocks on"):
        gc.Supernet(network, data[0][:1], min_depth=0.5, block_score="branch_norm")
