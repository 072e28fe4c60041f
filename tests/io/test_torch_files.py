"""Files of torch.save: the same tensors as torch reads, and nothing else happens."""

from __future__ import annotations

import argparse
import collections
import io
import os
import pickle
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._utils import _rebuild_parameter, _rebuild_tensor_v2

from gancompress.errors import CheckpointError
from gancompress.io.inert_pickle import Foreign, PickleError, read_pickle
from gancompress.io.torch_files import open_torch_file
from gancompress.networks.checkpoint_file import CheckpointFile

WEIGHT = torch.arange(30.0).view(6, 5)
TENSORS: dict[str, Tensor] = {
    "plain": WEIGHT,
    "transposed": WEIGHT.t(),
    "part": WEIGHT[1:3, ::2],
    "parameter": nn.Parameter(WEIGHT),
    "buffer": nn.Buffer(WEIGHT),
    "expanded": torch.ones(1).expand(4, 5),
    "scalar": torch.tensor(3.0),
    "empty": torch.zeros(0, 3),
    **{
        str(dtype).removeprefix("torch."): WEIGHT.to(dtype)
        for dtype in (
            *(torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn),
            *(torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.bool),
        )
    },
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_same_tensors_as_torch_reads(zipped: bool, tmp_path: Path) -> None:
    # torch writes these types in the older form, too, but cannot read them again.
    tensors = {name: tensor for name, tensor in TENSORS.items() if zipped or name not in ("uint16", "float8_e4m3fn")}
    content = {"net": tensors, "optimizer": {"state": {0: {"step": 1}}, "groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]}}
    torch.save(content, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    expected = torch.load(tmp_path / "net.pt", weights_only=True)
    file = open_torch_file(tmp_path / "net.pt")
    assert file.content["optimizer"] == expected["optimizer"]
    read = {name: file.read(file.tensor(value)) for name, value in file.content["net"].items()}  # type: ignore[arg-type]
    assert read.keys() == tensors.keys()
    for name, tensor in expected["net"].items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape), name
        assert read[name].stride() == tensor.stride(), name
        assert read[name].float().equal(tensor.float()), name
    assert read["plain"].data_ptr() == read["transposed"].data_ptr()  # tied, as they were saved


def test_versions_of_modules(tmp_path: Path) -> None:
    state = nn.BatchNorm2d(3).state_dict()
    torch.save(state, tmp_path / "net.pt")
    assert open_torch_file(tmp_path / "net.pt").content.state["_metadata"] == {"": {"version": 2}}


class Options:
    """Options of a training program, with attributes of its own."""

    def __init__(self) -> None:
        self.lr, self.names = 0.1, {"a", "b"}


class Settings(dict):  # type: ignore[type-arg]
    """A dictionary with attributes, as configuration packages have them."""


BESIDE = {
    "namespace": argparse.Namespace(lr=1e-4, size=64),
    "class": Options(),
    "dictionary": Settings(lr=1, inner=Settings(a=2)),
    "path": Path("runs/1"),
    "defaults": collections.defaultdict(list, a=[1]),
    "counter": collections.Counter("aab"),
    "set": {1, 2},
    "complex": 1j,
    "bytes": b"\0\1",
    "big": 2**80,
    "type": nn.Conv2d,
    "function": os.getcwd,
    "module": nn.Sequential(nn.Conv2d(1, 1, 1)),
    "generator state": torch.Generator().get_state(),
}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_weights_beside_objects_of_any_class(zipped: bool, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    content = {**BESIDE, "g_ema": {"weight": WEIGHT}}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    file = CheckpointFile.open(path)
    (network, *_) = file.candidates()
    assert (network.key, network.tensors()["weight"].tolist()) == ("g_ema", WEIGHT.tolist())
    assert file.skipped["namespace"] == "argparse.Namespace"
    assert file.skipped["class"] == f"{__name__}.Options"


class Runs:
    """Runs a function of any module when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def hostile(proof: Path) -> dict[str, Any]:
    """Objects that make a folder when they are unpickled, in several ways."""
    make = Runs(os.mkdir, str(proof))
    return {
        "call": make,
        "shell": Runs(os.system, f"mkdir {proof}"),
        "eval": Runs(eval, f"__import__('os').mkdir({str(proof)!r})"),
        "nested": [{"a": (make,)}] * 3,
        "key": {"state_dict": {"deep": {"deeper": make}}},
        "in a namespace": argparse.Namespace(callback=make),
        "tensor of a call": Runs(_rebuild_parameter, make, True, {}),
        "state of a stand-in": Built(proof),
        "dictionary of calls": collections.OrderedDict(a=make),
        "a second pickle": Runs(pickle.loads, pickle.dumps(make)),
        "TorchScript": Runs(torch.load, io.BytesIO(b"x")),
    }


class Built:
    """Makes a folder by the state that it is given."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __setstate__(self, state: dict[str, Any]) -> None:
        os.mkdir(state["proof"])


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("way", hostile(Path("proof")))
def test_hostile_objects_do_nothing(way: str, zipped: bool, tmp_path: Path) -> None:
    proof, path = tmp_path / "proof", tmp_path / "net.pt"
    torch.save({"extra": hostile(proof)[way], "g": {"plain": WEIGHT}}, path, _use_new_zipfile_serialization=zipped)
    modules = set(sys.modules)
    network = CheckpointFile.open(path).candidates()[0]
    assert network.tensors()["plain"].equal(WEIGHT)
    assert not proof.exists()
    assert set(sys.modules) == modules
    torch.load(path, weights_only=False) if way in ("call", "shell", "state of a stand-in") else proof.mkdir()
    assert proof.exists()


def test_hostile_tensors_are_no_tensors(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    calls = {"weight": Runs(os.mkdir, str(proof)), "bias": Runs(_rebuild_tensor_v2, 1, 2, (3,), (1,))}
    torch.save({"g": calls}, tmp_path / "net.pt")
    network = CheckpointFile.open(tmp_path / "net.pt").candidates()[0]
    assert set(network.stored) == {"bias"}
    with pytest.raises(CheckpointError, match="'bias' is a unknown tensor"):
        network.tensors()
    assert not proof.exists()


def pickled(*operations: bytes) -> bytes:
    return b"\x80\x02" + b"".join(operations) + b"."


PICKLES = {
    "huge memo": pickled(b"}r\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f"),
    "deep tuple": pickled(b")", b"\x85" * 50_000),
    "deep tuple as a key": pickled(b"}", b")", b"\x85" * 50_000, b"Ns"),
    "deep list": pickled(b"]" * 50_000, b"a" * 49_999),
    "itself": pickled(b"}q\0X\1\0\0\0ah\0s"),
    "doubling": pickled(b")", b"2\x86" * 200),
    "unknown extension": pickled(b"\x82\x05"),
    "state of a class": pickled(b"cos\nsystem\n}b"),
    "new object": pickled(b"cos\nsystem\n)\x81"),
    "instance": pickled(b"(S'mkdir x'\nios\nsystem\n"),
    "object": pickled(b"(cos\nsystem\nS'mkdir x'\no"),
}


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.timeout(20)
def test_hostile_pickles_are_read_to_their_end(name: str) -> None:
    read_pickle(io.BytesIO(PICKLES[name]))


BROKEN = {
    "nothing": b"",
    "no end": b"\x80\x02}",
    "takes too much": pickled(b"\x86"),
    "takes a mark": pickled(b"(\x85"),
    "no mark": pickled(b"]e"),
    "memo that was not made": pickled(b"h\5"),
    "items of a number": pickled(b"K\1K\2K\3s"),
    "unknown operation": pickled(b"\xff"),
    "huge text": pickled(b"X\xff\xff\xff\xffabc"),
    "huge bytes": pickled(b"\x8e" + struct.pack("<Q", 2**62) + b"abc"),
    "huge array": pickled(b"\x96" + struct.pack("<Q", 2**40) + b"abc"),
    "number of many digits": pickled(b"I" + b"9" * 100_000 + b"\n"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_pickles(name: str) -> None:
    with pytest.raises(PickleError):
        read_pickle(io.BytesIO(BROKEN[name]))


def test_object_is_a_record() -> None:
    record = read_pickle(io.BytesIO(pickle.dumps(argparse.Namespace(lr=1), protocol=2)))
    assert isinstance(record, Foreign)
    assert (record.of, record.state) == ("argparse.Namespace", {"lr": 1})


def rewritten(path: Path, change: Callable[[str, bytes], bytes], **options: Any) -> Path:
    """Write the entries of a file again, changed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in entries.items():
            archive.writestr(name, change(name, content))
    return path


DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "deflated": (
        lambda path: rewritten(path, lambda _, content: content, compression=zipfile.ZIP_DEFLATED),
        r"got a compressed entry '.*', which torch.save never writes",
    ),
    "short storage": (
        lambda path: rewritten(path, lambda name, content: content[:8] if "/data/" in name else content),
        "got a tensor beyond the end of its storage, expected a whole file",
    ),
    "no storage": (
        lambda path: rewritten(path, lambda name, content: content.replace(b"0", b"7") if "pkl" in name else content),
        "got no storage '7', which one of its tensors needs",
    ),
    "big-endian": (
        lambda path: rewritten(path, lambda name, content: b"big" if "byteorder" in name else content),
        "got tensors of a big-endian machine",
    ),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-50]), "no file of torch.save .* copy it again"),
    "no pickle": (
        lambda path: rewritten(path, lambda name, content: b"abc" if "pkl" in name else content),
        "no file of torch.save",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"g": {"weight": WEIGHT}}, path)
    change, message = DAMAGED[name]
    change(path)
    with pytest.raises(CheckpointError, match=message) as raised:
        CheckpointFile.open(path).candidates()[0].tensors()
    assert "\n" not in str(raised.value)


def test_legacy_file_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"weight": WEIGHT}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="it is cut off"):
        open_torch_file(path)


def test_expanded_beyond_any_use(tmp_path: Path) -> None:
    torch.save({"g": {"weight": torch.ones(1).expand(2**20, 2**20)}}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="got a tensor of 1099511627776 elements in 4 bytes"):
        CheckpointFile.open(tmp_path / "net.pt").candidates()[0].tensors()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_changed_bytes_are_read_or_refused(zipped: bool, tmp_path: Path) -> None:
    path, draw = tmp_path / "net.pt", random.Random(0)
    content = {"g": {"weight": WEIGHT, "bias": nn.Parameter(WEIGHT[0])}, "args": argparse.Namespace(lr=1e-4, size=64)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    whole, outcomes = path.read_bytes(), set[str]()
    for _ in range(200):
        changed = bytearray(whole)
        for _ in range(draw.choice((1, 3, 20))):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        path.write_bytes(changed[: draw.choice((len(changed), draw.randrange(len(changed))))])
        outcomes.add(outcome(path))
    assert max(map(len, outcomes)) < 600
    assert not any("\n" in each for each in outcomes)
    assert "" in outcomes
    assert len(outcomes) > 1


def outcome(path: Path) -> str:
    """Read every network of a file; return the error, or an empty text if there is none."""
    try:
        for candidate in CheckpointFile.open(path).candidates():
            candidate.tensors()
    except CheckpointError as error:
        return str(error)
    return ""
