"""Networks in a checkpoint: every state dict in it, with and without the prefixes of its names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from gancompress.errors import CheckpointError, nearest, printable
from gancompress.io.inert_pickle import Foreign, Table
from gancompress.io.torch_files import StoredTensor, TorchFile, open_torch_file
from gancompress.networks.state import listed
from gancompress.networks.weight_files import check_file, read_safetensors
from gancompress.networks.weight_values import unusable

Role = Literal["generator", "discriminator"]

# Keys and prefixes of generators, by priority: averaged weights, a generator, then the rest.
GENERATOR_KEYS = (
    *("g_ema", "G_ema", "netG_ema", "net_g_ema", "generator_ema", "params_ema", "model_ema", "state_dict_ema"),
    *("ema_model", "ema", "swa_model", "avg_gen_state_dict"),
    *("g", "netG", "netG_A", "netG_A2B", "G", "G_A", "generator", "gen", "gen_state_dict", "net_g"),
    *("netG_B", "netG_B2A", "G_B"),
    *("params", "state_dict", "model_state_dict", "model", "network", "net", "weights", "module"),
)

# Keys and prefixes of discriminators.
DISCRIMINATOR_KEYS = ("d", "D", "netD", "netD_A", "discriminator", "dis", "dis_state_dict", "net_d", "params_d")

_LEFTOVERS = ("n_averaged",)  # of AveragedModel, beside the names with its prefix
_DEEPEST = 8
_NVIDIA_MODULES = (b"dnnlib", b"torch_utils.persistence", b"torch_utils\npersistence")


@dataclass(frozen=True, eq=False)
class Candidate:
    """One network that a checkpoint may hold.

    Attributes:
        file: The checkpoint.
        keys: Keys that lead to its state dict.
        prefix: Beginning of its names in that state dict, which other names there lack.
        stored: Its tensors by name, before they are read.
        metadata: Versions of its modules, as state dicts carry them; None if the names were changed.
    """

    file: CheckpointFile
    keys: tuple[str, ...]
    prefix: tuple[str, ...]
    stored: Mapping[str, StoredTensor | Tensor]
    metadata: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """Keys and prefix, joined by dots; empty for the file as a whole."""
        return ".".join((*self.keys, *self.prefix))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor by name."""
        return {name: tuple(tensor.shape) for name, tensor in self.stored.items()}

    def rank(self, role: Role) -> tuple[int, int]:
        """Return its priority for a role, the smallest first; equal for networks without a rule."""
        order = GENERATOR_KEYS if role == "generator" else (*DISCRIMINATOR_KEYS, *GENERATOR_KEYS)
        path = (*self.keys, *self.prefix)
        known = [2 * order.index(key) for key in path if key in order]
        whole = 2 * order.index("params") - 1 if not path else 2 * len(order)
        return min(known, default=whole), len(self.prefix)

    @property
    def is_discriminator(self) -> bool:
        """True if its keys name a discriminator."""
        return not set(DISCRIMINATOR_KEYS).isdisjoint((*self.keys, *self.prefix))

    def tensors(self) -> dict[str, Tensor]:
        """Read its tensors, in the types of the file.

        Raises:
            CheckpointError: The file is cut off, or a tensor is quantized, sparse, complex or has no values.
        """
        return {name: self.file.read(name, tensor) for name, tensor in self.stored.items()}


@dataclass(frozen=True, eq=False)
class CheckpointFile:
    """A file of weights, of which nothing is read yet but names and shapes.

    Attributes:
        path: The file.
        dictionaries: Tensors by name of every state dict in the file, by the keys that lead to it.
        skipped: Class of every object at the top of the file that is not read, by its key.
    """

    path: Path
    dictionaries: Mapping[tuple[str, ...], Mapping[str, StoredTensor | Tensor]]
    skipped: Mapping[str, str] = field(default_factory=dict)
    _torch_file: TorchFile | None = None
    _metadata: Mapping[tuple[str, ...], Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> CheckpointFile:
        """Open a ``.safetensors`` file, or a file that ``torch.save`` wrote. No code in it runs.

        Raises:
            CheckpointError: The file is missing, empty, damaged, of another kind, or holds no tensors.
        """
        if path.suffix == ".safetensors":
            return cls(path, {(): read_safetensors(path)})
        check_file(path)
        if _is_nvidia_pickle(path):
            raise CheckpointError(
                f"{path}: got a pickle of NVIDIA's StyleGAN2, which holds Python code, expected tensors only; none of "
                "it was run; convert it once with convert_weight.py of rosinality/stylegan2-pytorch, and give the .pt "
                "file that it writes"
            )
        file = open_torch_file(path)
        found, metadata = {}, {}
        for keys, value in _mappings(file.content):
            tensors = {name: file.tensor(each) for name, each in _entries(value) if isinstance(name, str)}
            tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
            if tensors:
                found[keys] = tensors
                versions = getattr(value, "state", None)
                versions = versions.get("_metadata") if isinstance(versions, dict) else None
                metadata[keys] = versions if isinstance(versions, dict) else {}
        if not found:
            raise _without_tensors(path, file.content)
        content = file.content if isinstance(file.content, dict) else {}
        tops = {keys[0] for keys in found if keys}
        skipped = {
            str(key): value.of
            for key, value in content.items()
            if isinstance(value, Foreign) and str(key) not in tops and file.tensor(value) is None
        }
        return cls(path, found, skipped, file, metadata)

    def read(self, name: str, tensor: StoredTensor | Tensor) -> Tensor:
        """Read one tensor. Raises CheckpointError as `Candidate.tensors`."""
        if isinstance(tensor, StoredTensor):
            if tensor.kind:
                raise unusable(self.path, name, f"a {tensor.kind} tensor")
            assert self._torch_file is not None
            return self._torch_file.read(tensor)
        return tensor

    def candidates(self, role: Role = "generator", key: str | None = None) -> list[Candidate]:
        """Return the networks that the file may hold, by priority.

        Averaged weights come first, then the keys and prefixes that programs give a generator, then other networks.
        Discriminators count only for the role, for a key that names one, and in files that hold nothing else.

        Args:
            role: The network wanted.
            key: Key of the one network wanted, or the end of it.

        Raises:
            CheckpointError: There is no network of this key.
        """
        every = [each for keys in self.dictionaries for each in self._within(keys)]
        if key is not None:
            found = [each for each in every if each.key == key]
            found = found or [each for each in every if f".{each.key}".endswith(f".{key}")]
            if not found:
                known = list(dict.fromkeys(each.key for each in every if each.key))
                raise CheckpointError(
                    f"{self.path}: got the key '{key}', expected one of a network in the file; {nearest(key, known)}"
                )
            return found
        wanted = [each for each in every if role == "discriminator" or not each.is_discriminator]
        return sorted(wanted or every, key=lambda each: each.rank(role))

    def state_dict(self) -> dict[str, Tensor]:
        """Read the state dict under the key of the highest priority, all of it. Raises as `Candidate.tensors`."""
        whole = [self._whole(keys) for keys in self.dictionaries]
        return min(whole, key=lambda each: each.rank("generator")).tensors()

    def summary(self, chosen: Candidate) -> str | None:
        """Return a line that says what was read and what was not; None if there was nothing to choose or to skip."""
        others = [".".join(keys) for keys in self.dictionaries if keys != chosen.keys]
        if chosen.prefix:
            names = without_wrappers(self.dictionaries[chosen.keys])
            beginnings = dict.fromkeys(name.partition(".")[0] for name in names)
            others += [f"{each}.*" for each in beginnings if each != chosen.prefix[0]]
        objects = [f"{name} ({of or 'an object'})" for name, of in self.skipped.items()]
        if not others and not objects:
            return None
        took = f"'{chosen.key}'" if chosen.key else "the tensors at its top"
        choice = "; FILE#KEY takes another network" if others else ""
        return printable(f"{self.path}: took {took}; not read: {listed([*objects, *others])}{choice}")

    def _within(self, keys: tuple[str, ...]) -> Iterator[Candidate]:
        """Yield the networks of one state dict: under its own names, and without each prefix."""
        whole = self._whole(keys)
        yield whole
        plain = without_wrappers(whole.stored)
        if plain.keys() != whole.stored.keys():
            yield Candidate(self, keys, (), plain)
        for prefix, inside in _prefixed(plain):
            yield Candidate(self, keys, prefix, inside)

    def _whole(self, keys: tuple[str, ...]) -> Candidate:
        return Candidate(self, keys, (), self.dictionaries[keys], self._metadata.get(keys))


def without_wrappers(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state dict without the prefixes of data parallelism, weight averaging and ``torch.compile``."""
    state = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items()}
    while True:
        rest = {name: tensor for name, tensor in state.items() if name not in _LEFTOVERS}
        if not rest or not all(name.startswith("module.") for name in rest):
            return state
        state = {name.removeprefix("module."): tensor for name, tensor in rest.items()}


def _prefixed(
    state: Mapping[str, Any], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the parts of a state dict whose names begin alike, without that beginning.

    Parts of parts only where their name is a known key of a network, or where there is nothing else.
    """
    parts: dict[str, dict[str, Any]] = {}
    for name, tensor in state.items():
        first, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(first, {})[rest] = tensor
    for first, part in parts.items():
        yield (*prefix, first), part
        if len(prefix) < 2 and (len(parts) == 1 or first in GENERATOR_KEYS):
            yield from _prefixed(without_wrappers(part), (*prefix, first))


def _mappings(content: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every mapping that keys lead to, with the keys; each once, though a crafted file may hold it in itself."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    for keys, value in waiting:
        if id(value) in seen or len(keys) > _DEEPEST:
            continue
        seen.add(id(value))
        if isinstance(value, Foreign) and _is_module(value):
            yield keys, _state_of_module(value)
            continue
        if not isinstance(value, dict | Foreign):
            continue
        yield keys, value
        waiting += [
            ((*keys, name), each)
            for name, each in _entries(value)
            if isinstance(name, str) and not name.isdigit() and isinstance(each, dict | Foreign)
        ]


def _entries(value: Any) -> list[tuple[Any, Any]]:
    items = value.items if isinstance(value, Foreign) else value
    return list(items.items()) if isinstance(items, dict) else []


def _is_module(value: Foreign) -> bool:
    return isinstance(value.state, dict) and {"_parameters", "_buffers", "_modules"} <= value.state.keys()


def _state_of_module(module: Foreign) -> Table:
    """Return the state dict of a module that was saved as a whole, from its attributes."""
    state, seen = Table(), set()
    waiting: list[tuple[str, Any]] = [("", module)]
    for prefix, each in waiting:
        if id(each) in seen or not isinstance(each, Foreign) or not _is_module(each):
            continue
        seen.add(id(each))
        transient = each.state.get("_non_persistent_buffers_set")
        for kind in ("_parameters", "_buffers"):
            for name, tensor in _entries(each.state[kind]):
                if not (isinstance(transient, list) and name in transient):
                    state[f"{prefix}{name}"] = tensor
        waiting += [(f"{prefix}{name}.", part) for name, part in _entries(each.state["_modules"])]
    return state


def _is_nvidia_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(2**16)
    return head.startswith(b"\x80") and any(module in head for module in _NVIDIA_MODULES)


def _without_tensors(path: Path, content: Any) -> CheckpointError:
    if isinstance(content, dict):
        keys = listed([str(key) for key in content]) or "no keys"
        got, expected = f"a dictionary without tensors ({keys})", "a state dict, alone or under a key such as 'g_ema'"
    else:
        got = f"an object of {content.of}" if isinstance(content, Foreign) else f"a {type(content).__name__}"
        expected = "a state dict of tensors"
    return CheckpointError(
        f"{path}: got {got}, expected {expected}; nothing of it was run; save the network's state_dict() instead"
    )
