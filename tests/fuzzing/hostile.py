"""Trials of files and directories that would run something: each leaves a proof if it does."""

from __future__ import annotations

import argparse
import collections
import json
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from typer.testing import CliRunner

import gancompress
from gancompress.cli import app
from gancompress.networks.generator import Generator
from gancompress.networks.importers import load_generator
from gancompress.networks.registry import build

from .trial import FoundError, Trial

_CONFIG = {"ngf": 4, "num_blocks": 1}
_SIZE = ("--size", "16x16")
_CONTROL_EVERY = 10

_MODULE = """
from pathlib import Path
Path({proof!r}).mkdir(exist_ok=True)
import torch
class Net(torch.nn.Conv2d):
    def __init__(self, *_, **__): super().__init__(3, 3, 1)
def function(*_, **__): return 0.0
"""


class Runs:
    """Runs a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class Set:
    """Runs a function by the state that it is given."""

    def __init__(self, proof: str) -> None:
        self.proof = proof

    def __setstate__(self, state: dict[str, Any]) -> None:
        os.makedirs(state["proof"], exist_ok=True)


def weight_trials(draw: Random, folder: Path) -> Iterator[tuple[str, Trial]]:
    """Yield files of weights with calls at random places, with a reading of them; some are unpickled for control."""
    state = build("resnet", _CONFIG).state_dict()
    proof, path = folder / "proof", folder / "net.pt"
    readers = _readers(path)

    def trial(reader: str, control: bool) -> str | None:
        refused = _read(readers[reader])
        _check(proof, "EXECUTED")
        if not control:
            return refused
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.load(path, weights_only=False)
        if not proof.exists():
            raise FoundError("HARMLESS AFTER ALL", "torch.load(weights_only=False) runs nothing in it")
        return f"{refused}, and torch runs it" if refused else "read, and torch runs it"

    while True:
        proof.rmdir() if proof.exists() else None
        way, content = _content(draw, state, str(proof))
        protocol, zipped = draw.randrange(2, 6), draw.random() < 0.6
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        changed = draw.random() < 0.3
        if changed:
            _scratch(path, draw)
        reader, control = draw.choice(list(readers)), not changed and draw.randrange(_CONTROL_EVERY) == 0
        what = f"{way}, protocol {protocol}, {'zip' if zipped else 'legacy'}{', scratched' * changed}, by {reader}"
        yield what, lambda reader=reader, control=control: trial(reader, control)


def _content(draw: Random, state: dict[str, Any], proof: str) -> tuple[str, Any]:
    """Return a word for a way to run something, and a checkpoint that holds it at a random place."""
    shell = f"mkdir -p {proof}"
    calls = {
        "os.makedirs": lambda: Runs(os.makedirs, proof, 0o777, True),
        "os.system": lambda: Runs(os.system, shell),
        "eval": lambda: Runs(eval, f"__import__('os').makedirs({proof!r}, exist_ok=True)"),
        "exec": lambda: Runs(exec, f"import os; os.makedirs({proof!r}, exist_ok=True)"),
        "subprocess": lambda: Runs(subprocess.check_call, shell.split()),
        "setstate": lambda: Set(proof),
        "pickle in a pickle": lambda: Runs(pickle.loads, pickle.dumps(Runs(os.makedirs, proof, 0o777, True))),
    }
    way = draw.choice(list(calls))
    value: Any = calls[way]()
    for _ in range(draw.randrange(4)):
        wrapped = draw.randrange(6)
        value = (
            [value] if wrapped == 0
            else (value, 1) if wrapped == 1
            else {"x": value} if wrapped == 2
            else argparse.Namespace(callback=value) if wrapped == 3
            else collections.OrderedDict(a=value) if wrapped == 4
            else collections.deque([value])
        )  # fmt: skip
    key = draw.choice(["netG", "state_dict", "hyper_parameters", "callbacks", "optimizer", "__class__", "weight"])
    content: dict[str, Any] = {"g_ema": state} if draw.random() < 0.5 else dict(state)
    return way, {key: value, **content} if draw.random() < 0.5 else {**content, key: value}


def _scratch(path: Path, draw: Random) -> None:
    """Change a few bytes of a file."""
    content = bytearray(path.read_bytes())
    for _ in range(draw.randrange(1, 6)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(bytes(content))


def directory_trials(draw: Random, folder: Path) -> Iterator[tuple[str, Trial]]:
    """Yield directories that name programs, with a reading of them; some are read with consent for control."""
    proof, directory, number = folder / "proof", folder / "net", 0
    sys.path.insert(0, str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(torch.nn.Identity()).save(str(folder / "program.pt"))

    def trial(reader: str, is_control: bool) -> str | None:
        refused = _read(_readers(directory)[reader])
        _check(proof, "EXECUTED")
        if refused is None:
            raise FoundError("READ WITHOUT A WORD", "the network was built")
        if is_control:
            _read(lambda: gancompress.load(directory, trust=True))
            if not proof.exists():
                raise FoundError("HARMLESS AFTER ALL", "nothing runs with trust=True either")
        return f"{refused}, run with consent" if is_control else refused

    while True:
        number += 1
        proof.rmdir() if proof.exists() else None
        shutil.rmtree(directory, ignore_errors=True)
        Generator.from_module(build("resnet", _CONFIG), "resnet", _CONFIG).save(directory)
        module = f"outside{number}"
        (folder / f"{module}.py").write_text(_MODULE.format(proof=str(proof)))
        programs = {
            f"{module}:Net": {}, f"{module}:function": {}, "os:system": {"command": f"mkdir {proof}"},
            "os:makedirs": {"name": str(proof)}, "subprocess:check_call": {"args": ["mkdir", str(proof)]},
            "gancompress.perception.network_file:NetworkFile": {"path": str(folder / "program.pt")},
            "torch.jit:load": {"f": str(folder / "program.pt")}, "builtins:exec": {}, "runpy:run_path": {},
            "torch.nn:Conv2d": {"in_channels": 3, "out_channels": 3, "kernel_size": 1},
        }  # fmt: skip
        family = draw.choice(list(programs))
        written = json.loads((directory / "config.json").read_text())
        file = directory / "config.json"
        file.write_text(json.dumps({**written, "family": family, "config": programs[family]}))
        reader = draw.choice(list(_readers(directory)))
        control = family == f"{module}:Net" and draw.random() < 0.5
        yield f"{family} by {reader}", lambda reader=reader, control=control: trial(reader, control)


def _readers(path: Path) -> dict[str, Callable[[], object]]:
    """Return ways to read a network, by name."""

    def verb(*arguments: object) -> Callable[[], object]:
        def run() -> None:
            result = CliRunner().invoke(app, [str(each) for each in arguments])
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                raise result.exception

        return run

    out = path.parent / "out"
    return {
        "load": lambda: gancompress.load(path),
        "load_generator": lambda: load_generator(path),
        "inspect": verb("inspect", path, *_SIZE),
        "prune": verb("prune", path, "--keep", "0.5", "--out", out, *_SIZE),
        "bench": verb("bench", path, "--runtime", "nowhere", *_SIZE),
        "compress": verb("compress", path, "--images", path.parent / "nowhere", "--smaller", "2", "--dry-run"),
    }


def _read(reader: Callable[[], object]) -> str | None:
    """Read; return "refused" if that ended in one line."""
    try:
        reader()
    except gancompress.errors.GanCompressError:
        return "refused"
    return None


def _check(proof: Path, kind: str) -> None:
    if proof.exists():
        raise FoundError(kind, "the proof is there")
