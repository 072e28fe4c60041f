"""Networks in checkpoints: keys, prefixes, leftovers, and what lies beside them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from gancompress.errors import CheckpointError
from gancompress.networks.importers import load_generator

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*weight_norm.*:FutureWarning", "ignore:.*spectral_norm.*:FutureWarning"
)

State = dict[str, Tensor]


class Plain(nn.Module):
    """Two convolutions and a batch norm."""

    wrap: Callable[[Any], Any] = staticmethod(lambda layer: layer)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.b = self.wrap(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), self.wrap(nn.Conv2d(4, 3, 3))

    def forward(self, image: Tensor) -> Tensor:
        return self.b(self.n(self.a(image)))


class OldWeightNorm(Plain):
    wrap = staticmethod(nn.utils.weight_norm)


class NewWeightNorm(Plain):
    wrap = staticmethod(parametrizations.weight_norm)


class OldSpectralNorm(Plain):
    wrap = staticmethod(nn.utils.spectral_norm)


class NewSpectralNorm(Plain):
    wrap = staticmethod(parametrizations.spectral_norm)


class Renamed(Plain):
    """Takes files of an earlier version, in which the norm had another name, by a hook of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(self._rename)

    @staticmethod
    def _rename(_: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in [name for name in state if name.startswith(f"{prefix}bn.")]:
            state[name.replace("bn.", "n.")] = state.pop(name)


class Both(nn.Module):
    """A generator and a discriminator in one class."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = Plain(), nn.Conv2d(3, 1, 3)


def family(network: type[nn.Module]) -> str:
    return f"{__name__}:{network.__name__}"


def made(network: type[nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return network()


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def read(tmp_path: Path, content: object, network: type[nn.Module] = Plain, key: str = "", lines: Any = None) -> State:
    path = tmp_path / "net.ckpt"
    torch.save(content, path)
    return dict(load_generator(f"{path}{key}", family(network), say=None if lines is None else lines.append).state)


OTHER: State = {"0.weight": torch.ones(2, 3, 4, 4)}
LIGHTNING = {
    "epoch": 3,
    "hyper_parameters": {"lr": 1e-4},
    "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}],
}
WRAPPED: dict[str, Callable[[State], Any]] = {
    "Lightning": lambda s: {**LIGHTNING, "state_dict": prefixed("generator.", s) | prefixed("discriminator.", OTHER)},
    "Lightning, net_g": lambda s: {**LIGHTNING, "state_dict": prefixed("net_g.", s) | prefixed("net_d.", OTHER)},
    "Lightning, a module within": lambda s: {
        "state_dict": prefixed("model.generator.", s) | prefixed("model.vgg.", OTHER)
    },
    "Lightning, an unknown name": lambda s: {"state_dict": prefixed("painter.", s) | prefixed("vgg.", OTHER)},
    "mmagic": lambda s: {"meta": {}, "state_dict": prefixed("generator.", OTHER) | prefixed("generator_ema.", s)},
    "mmagic with a counter": lambda s: {"state_dict": prefixed("generator.", s) | {"step_counter": torch.tensor(3)}},
    "BasicSR": lambda s: {"params": OTHER, "params_ema": s},
    "timm": lambda s: {"state_dict": OTHER, "state_dict_ema": s},
    "StyleGAN2": lambda s: {"g": OTHER, "d": OTHER, "g_ema": s, "args": argparse.Namespace(lr=1e-4)},
    "DataParallel": lambda s: prefixed("module.", s),
    "compiled": lambda s: prefixed("_orig_mod.", s),
    "compiled within DataParallel": lambda s: {"G": prefixed("module._orig_mod.", s)},
    "AveragedModel": lambda s: prefixed("module.", s) | {"n_averaged": torch.tensor(7)},
    "SWA": lambda s: {"swa_model": prefixed("module.", s) | {"n_averaged": torch.tensor(7)}, "model": OTHER},
    "thop": lambda s: (
        s | {"a.total_ops": torch.zeros(1), "a.total_params": torch.zeros(1), "total_ops": torch.zeros(1)}
    ),
    "no counter of batches": lambda s: {name: tensor for name, tensor in s.items() if "num_batches" not in name},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_network_is_found_wherever_a_program_puts_it(name: str, tmp_path: Path) -> None:
    state = made(Plain).state_dict()
    found = read(tmp_path, WRAPPED[name](state))
    assert found.keys() == state.keys()
    assert all(found[each].equal(state[each]) for each in state if "num_batches" not in each)


FORMS = [OldWeightNorm, NewWeightNorm, OldSpectralNorm, NewSpectralNorm]


@pytest.mark.parametrize(
    ("saved", "network"),
    [
        (OldWeightNorm, NewWeightNorm),
        (NewWeightNorm, OldWeightNorm),
        (OldSpectralNorm, NewSpectralNorm),
        (NewSpectralNorm, OldSpectralNorm),
        *((form, Plain) for form in FORMS),
        *((form, form) for form in FORMS),
    ],
    ids=lambda network: network.__name__,
)
def test_norms_of_weights_in_either_form(saved: type[Plain], network: type[Plain], tmp_path: Path) -> None:
    trained = made(saved)
    image = torch.rand(2, 3, 8, 8)
    trained(image)  # a step of the power method
    torch.save({"generator": trained.state_dict()}, tmp_path / "g_02500000")
    again = load_generator(tmp_path / "g_02500000", family(network)).build()
    with torch.no_grad():
        torch.testing.assert_close(again(image), trained.eval()(image))


def test_hooks_of_the_class_take_part(tmp_path: Path) -> None:
    state = made(Plain).state_dict()
    old = {name.replace("n.", "bn.") if name.startswith("n.") else name: tensor for name, tensor in state.items()}
    made(Renamed).load_state_dict(old)
    assert read(tmp_path, old, Renamed).keys() == state.keys()


def test_a_class_of_both_networks_gets_both(tmp_path: Path) -> None:
    state = made(Both).state_dict()
    assert read(tmp_path, {"state_dict": state}, Both).keys() == state.keys()


class TestChoice:
    def test_key_names_one_of_several(self, tmp_path: Path) -> None:
        a, b = made(Plain, 1).state_dict(), made(Plain, 2).state_dict()
        content = {"netG_A": a, "netG_B": b, "state_dict": prefixed("net_g.", b)}
        lines: list[str] = []
        assert read(tmp_path, content, lines=lines)["a.weight"].equal(a["a.weight"])
        assert lines == [
            f"{tmp_path}/net.ckpt: took 'netG_A'; not read: netG_B, state_dict; FILE#KEY takes another network"
        ]
        for key in ("#netG_B", "#state_dict.net_g", "#net_g"):
            assert read(tmp_path, content, key=key)["a.weight"].equal(b["a.weight"])
        with pytest.raises(CheckpointError, match=r"got the key 'netG_C', expected .*; did you mean 'netG_.'\?"):
            read(tmp_path, content, key="#netG_C")

    def test_several_that_fit_without_a_rule(self, tmp_path: Path) -> None:
        content = {"day": made(Plain, 1).state_dict(), "night": made(Plain, 2).state_dict()}
        with pytest.raises(CheckpointError, match=r"2 networks that fit \(day, night\), .* choose it by net.ckpt#day"):
            read(tmp_path, content)

    def test_what_is_not_read_is_named(self, tmp_path: Path) -> None:
        lines: list[str] = []
        read(tmp_path, {"g_ema": made(Plain).state_dict(), "args": argparse.Namespace(lr=1), "step": 3}, lines=lines)
        assert lines == [f"{tmp_path}/net.ckpt: took 'g_ema'; not read: args (argparse.Namespace)"]
        lines.clear()
        read(tmp_path, {"state_dict": made(Plain).state_dict(), "epoch": 3}, lines=lines)
        assert lines == []

    def test_a_file_may_have_the_sign_in_its_name(self, tmp_path: Path) -> None:
        torch.save(made(Plain).state_dict(), tmp_path / "net#2.pt")
        assert load_generator(tmp_path / "net#2.pt", family(Plain)).family == family(Plain)

    def test_directory_has_no_keys(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="got a key for a directory, which holds one network; leave '#g' out"):
            load_generator(f"{tmp_path}#g")


def set_first(state: State, value: float) -> State:
    state["a.weight"][0, 0, 0, 0] = value
    return state


UNUSABLE: dict[str, tuple[Callable[[State], State], str]] = {
    "nan": (lambda s: set_first(s, torch.nan), r"'a.weight' is not finite \(1 of 108 values\), expected finite"),
    "infinite": (lambda s: set_first(s, torch.inf), r"'a.weight' is not finite \(1 of 108 values\)"),
    "statistics": (lambda s: s | {"n.running_var": torch.full((4,), torch.inf)}, "'n.running_var' is not finite"),
    "int8": (lambda s: s | {"a.weight": s["a.weight"].to(torch.int8)}, "'a.weight' is a tensor of int8"),
    "bool": (lambda s: s | {"a.weight": s["a.weight"] > 0}, "'a.weight' is a tensor of bool"),
    "float8": (lambda s: s | {"a.weight": s["a.weight"].to(torch.float8_e4m3fn)}, "'a.weight' is a tensor of 8-bit fl"),
    "complex": (lambda s: s | {"a.weight": s["a.weight"].to(torch.complex64)}, "'a.weight' is a complex tensor"),
    "sparse": (lambda s: s | {"a.weight": s["a.weight"].to_sparse()}, "'a.weight' is a sparse tensor"),
    "meta": (lambda s: s | {"a.weight": s["a.weight"].to("meta")}, "'a.weight' is a meta tensor"),
    "quantized": (
        lambda s: s | {"a.weight": torch.quantize_per_tensor(s["a.weight"], 0.1, 0, torch.qint8)},
        "'a.weight' is a quantized tensor, expected finite floating-point values; save the network's weights",
    ),
}


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor.*")
@pytest.mark.parametrize("kind", UNUSABLE)
def test_tensors_that_cannot_be_weights(kind: str, tmp_path: Path) -> None:
    change, message = UNUSABLE[kind]
    with pytest.raises(CheckpointError, match=message) as raised:
        read(tmp_path, change(made(Plain).state_dict()))
    assert "\n" not in str(raised.value)


def test_masks_may_be_infinite(tmp_path: Path) -> None:
    state = made(Masked).state_dict()
    assert read(tmp_path, state, Masked)["mask"].isinf().any()


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 2)
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
