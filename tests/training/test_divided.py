"""A step whose batch is divided between two processes is the step of one process, for every objective."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .divided import CASES, left_by, run


@pytest.fixture(scope="module")
def by_two(tmp_path_factory) -> Path:
    """Directory of all cases, run by one pair of processes."""
    directory = tmp_path_factory.mktemp("divided")
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": os.pathsep.join(sys.path)}
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--module", "tests.training.divided"]
    subprocess.run(
        [sys.executable, "-m", *launch, str(directory)],
        check=True, env=environment, timeout=200, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    return directory


@pytest.mark.parametrize("name", CASES)
def test_two_processes_take_the_step_of_one(name, by_two, tmp_path):
    run(name, tmp_path)
    one, two = left_by(tmp_path), left_by(by_two / name)
    assert one.keys() == two.keys()
    groups = {key: key.rsplit("/", 2)[0] for key in one}  # the biases in front of a norm have no gradient of their own
    scale = {
        group: max(float(one[key].abs().max()) for key in one if groups[key] == group) for group in groups.values()
    }
    assert min(scale.values()) > 0
    wrong = {key: float((two[key] - tensor).abs().max()) / scale[groups[key]] for key, tensor in one.items()}
    assert {key: error for key, error in wrong.items() if error > 1e-4} == {}
