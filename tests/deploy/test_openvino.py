"""What OpenVINO does to the process that it runs in."""

from __future__ import annotations

import ctypes
import gc
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gancompress.deploy.runtimes.openvino_runtime import OpenVino

openvino = pytest.importorskip("openvino")
opset = pytest.importorskip("openvino.opset13")


class SignalStack(ctypes.Structure):
    """``stack_t`` of Linux."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def address_of_the_signal_stack() -> int | None:
    stack = SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.address


@pytest.fixture
def path(tmp_path: Path) -> Path:
    values = opset.parameter([1, 3, 8, 8], dtype=np.float32)
    openvino.save_model(openvino.Model([opset.relu(values)], [values], "relu"), tmp_path / "relu.xml")
    return tmp_path / "relu.xml"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the stack of signals")
def test_networks_that_come_and_go_leave_the_stack_of_signals(path):
    kept = OpenVino().open(path)
    stack = address_of_the_signal_stack()
    first, second = OpenVino().open(path), OpenVino().open(path)
    assert address_of_the_signal_stack() == stack
    del first, kept
    gc.collect()
    del second
    gc.collect()
    assert address_of_the_signal_stack() == stack
    torch.testing.assert_close(OpenVino().open(path).run((-torch.ones(1, 3, 8, 8),)), [torch.zeros(1, 3, 8, 8)])


def test_a_process_outlives_its_networks(path):
    code = (
        "import gc, os, signal, sys\n"
        "from gancompress.deploy.runtimes.openvino_runtime import OpenVino\n"
        "heard = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: heard.append(1))\n"
        "networks = [OpenVino().open(sys.argv[1]) for _ in range(3)]\n"
        "while networks:\n"
        "    del networks[0]\n"
        "    gc.collect()\n"
        "memory = [bytes(12000) for _ in range(1000)]\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(heard != [1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == 0, signal.Signals(-done.returncode) if done.returncode < 0 else done.returncode


def test_layers_without_a_kernel_of_integers_stay_float():
    net = nn.Sequential(nn.Conv1d(4, 4, 3), nn.ConvTranspose1d(4, 4, 4, 2), nn.ConvTranspose2d(4, 4, 4, 2))
    (form,) = (each.integers for each in OpenVino.formats)
    assert form is not None
    assert tuple(form.slow(net)) == ("1",)
