"""A job of two nodes, started by the script of the page about running: two agents of torchrun on this machine."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from gancompress.training import Checkpoints

from .test_jobs import RECIPE, SMALL, TRAINING
from .verbs import run

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run.md"
TOLERANCE = 1e-3
"""Of the last update: Adam turns rounding of gradients near zero into updates of full size."""

SCONTROL = "#!/bin/sh\necho 127.0.0.1\necho 127.0.0.1\n"
SRUN = '#!/bin/bash\n"$@" & first=$!\n"$@"; status=$?\nwait $first || status=$?\nexit $status\n'
"""In place of SLURM's: two nodes are this machine."""


@pytest.fixture
def recipe(tmp_path) -> Path:
    torch.manual_seed(0)
    config = {"ngf": 8, "num_blocks": 1}
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "given")
    step = {"kind": "distill", "keep": 0.5, "multiple": 2, "training": TRAINING, "discriminator": SMALL}
    (tmp_path / "own.yaml").write_text(
        json.dumps({**RECIPE, "teacher": {"checkpoint": str(tmp_path / "given")}, "steps": [step]})
    )
    return tmp_path / "own.yaml"


def script(recipe: Path, out: Path) -> str:
    """The script of the page, with its two names filled in."""
    (text,) = re.findall(r"```\n(#!/bin/bash\n#SBATCH.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    filled = {"RECIPE": str(recipe), "/shared/runs/NAME": str(out), "29500": str(port)}
    assert all(text.count(name) == 1 for name in filled)
    for name, value in filled.items():
        text = text.replace(name, value)
    return text


def kernels(directory: Path, num_images: int) -> dict[str, Tensor]:
    """Kernels of both networks after so many images; a bias in front of a norm has no gradient of its own."""
    (step,) = (directory / "steps").iterdir()
    tensors = load_file(Checkpoints(step / "checkpoints").path(num_images))
    return {name: each for name, each in tensors.items() if name.startswith("module/") and each.ndim == 4}


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return sum(float((other[name] - each).abs().sum()) for name, each in one.items())


def test_two_agents_train_the_network_of_one_process(recipe, tmp_path):
    for name, text in (("scontrol", SCONTROL), ("srun", SRUN)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    slurm = {"SLURM_JOB_NODELIST": "two", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "1", "SLURM_JOB_ID": "7"}
    environment = {**os.environ, **slurm, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        ["bash", "-c", script(recipe, tmp_path / "two")],
        check=True, timeout=280, env={**environment, "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    run("compress", recipe, "--out", tmp_path / "one")
    before, one, two = (kernels(tmp_path / name, images) for name, images in (("one", 4), ("one", 8), ("two", 8)))
    assert len(one) > 8
    assert distance(one, two) < TOLERANCE * distance(before, one)
