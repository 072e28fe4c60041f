"""A batch divided among processes: the step of one process for every objective, and the same bits after a stop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gancompress.training import Checkpoints

from .divided import CASES, left_by, run, write_shards

pytestmark = pytest.mark.slow  # all of them look at one run of several processes

NUM_PROCESSES = int(os.environ.get("GANCOMPRESS_TEST_PROCESSES", "2"))
"""Four were tried by hand; on two cores they only take longer."""
TOLERANCE = 5e-5 * NUM_PROCESSES
"""Of the largest gradient of a module: sums of more parts are rounded more often."""


@pytest.fixture(scope="module")
def divided(tmp_path_factory) -> Path:
    """Directory of all cases, run by one set of processes."""
    directory = tmp_path_factory.mktemp("divided")
    write_shards(directory / "shards")
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": os.pathsep.join(sys.path)}
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(NUM_PROCESSES)]
    subprocess.run(
        [sys.executable, "-m", *launch, "--module", "tests.training.divided", str(directory)],
        check=True, env=environment, timeout=400, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    return directory


@pytest.mark.parametrize("name", CASES)
def test_several_processes_take_the_step_of_one(name, divided, tmp_path):
    run(name, tmp_path)
    one, several = left_by(tmp_path), left_by(divided / name)
    assert one.keys() == several.keys()
    groups = {key: key.rsplit("/", 2)[0] for key in one}  # the biases in front of a norm have no gradient of their own
    scale = {
        group: max(float(one[key].abs().max()) for key in one if groups[key] == group) for group in groups.values()
    }
    assert min(scale.values()) > 0
    wrong = {key: float((several[key] - tensor).abs().max()) / scale[groups[key]] for key, tensor in one.items()}
    assert {key: error for key, error in wrong.items() if error > TOLERANCE} == {}


def test_norms_over_processes_do_not_wait_for_each_other(divided):
    """Each process may look at other networks, and on the CPU such a norm cannot train at all."""
    for process in range(NUM_PROCESSES):
        assert torch.load(divided / f"norm{process}.pt")["running_mean"].tolist() == [process + 0.5] * 2


def test_every_process_resumes_to_the_bit(divided):
    straight, resumed = (Checkpoints(divided / f"stopped at {stop}") for stop in (None, 5))
    states = []
    for process in range(NUM_PROCESSES):
        one, other = straight.latest(process), resumed.latest(process)
        assert one is not None
        assert other is not None
        assert one.num_images == other.num_images == 32
        assert one.tensors.keys() == other.tensors.keys()
        assert [name for name, tensor in one.tensors.items() if not tensor.equal(other.tensors[name])] == []
        states.append(one.tensors)
    differ = {name for name, tensor in states[0].items() if not tensor.equal(states[1][name])}
    assert {name.split("/")[0] for name in differ} == {"memory", "module", "average"}
    assert {name.rpartition(".")[2] for name in differ} == {"memory/a", "memory/b", "running_mean", "running_var"}
