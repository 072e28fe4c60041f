"""Networks with weight norm or spectral norm, as hooks or as parametrizations, take every method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import gancompress as gc
from gancompress.channels.skeleton import copy_module
from gancompress.networks.reparametrized import fold_reparametrizations, reparametrized_layers
from gancompress.quantization import quantized_layers

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*weight_norm.*:FutureWarning", "ignore:.*spectral_norm.*:FutureWarning"
)

NORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight norm, hook": nn.utils.weight_norm,
    "weight norm": parametrizations.weight_norm,
    "spectral norm, hook": nn.utils.spectral_norm,
    "spectral norm": parametrizations.spectral_norm,
}


class Vocoder(nn.Module):
    """Mel spectra [b, 10, t] to sound [b, 1, 4 t]."""

    def __init__(self, norm: Callable[[Any], Any]) -> None:
        super().__init__()
        self.enter = norm(nn.Conv1d(10, 16, 7, padding=3))
        self.up = norm(nn.ConvTranspose1d(16, 16, 8, 4, 2))
        self.body = nn.ModuleList(norm(nn.Conv1d(16, 16, 3, dilation=d, padding=d)) for d in (1, 3))
        self.leave = norm(nn.Conv1d(16, 1, 7, padding=3))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.up(F.leaky_relu(self.enter(mel), 0.1))
        for conv in self.body:
            x = x + conv(F.leaky_relu(x, 0.1))
        return torch.tanh(self.leave(x))


MEL = torch.arange(10 * 16.0).sin().view(1, 10, 16)


@pytest.fixture(params=NORMS)
def vocoder(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    network = Vocoder(NORMS[request.param])
    network(MEL)  # leaves the weights that it computed in the layers
    return network


@torch.no_grad()
def difference(network: nn.Module, other: nn.Module) -> float:
    return float((network.eval()(MEL) - other.eval()(MEL)).abs().max())


def test_copy_shares_nothing(vocoder: nn.Module) -> None:
    copied = copy_module(vocoder)
    assert difference(copied, vocoder) == 0
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.mul_(2)
    assert difference(copied, vocoder) > 1e-3


def test_folding_is_exact_and_leaves_plain_weights(vocoder: nn.Module) -> None:
    folded = copy_module(vocoder)
    assert sorted(fold_reparametrizations(folded)) == ["body.0", "body.1", "enter", "leave", "up"]
    assert difference(folded, vocoder) < 1e-6
    layers = [name.rpartition(".")[0] for name in dict(folded.named_parameters()) if name.endswith(".weight")]
    assert sorted(layers) == ["body.0", "body.1", "enter", "leave", "up"]
    assert len(folded.state_dict()) == 10  # weights and biases alone


def test_methods(vocoder: nn.Module, tmp_path: Any) -> None:
    batches = [2 * torch.rand(4, 10, 16) - 1 for _ in range(2)]
    small = gc.prune(vocoder, MEL, keep=0.5)
    assert sum(p.numel() for p in small.parameters()) < 0.6 * sum(p.numel() for p in vocoder.parameters())
    gc.save(small, tmp_path / "small")
    assert difference(gc.load_into(vocoder, tmp_path / "small"), small) < 1e-6
    quantized = gc.quantize(small, batches)
    assert len(quantized_layers(quantized)) == 5
    assert difference(quantized, small) < 0.3
    before = copy_module(small)
    result = gc.distill(small, vocoder, batches, terms=[gc.losses.L1(1)], images=8, progress=False)
    assert difference(result.module, before) > 0


def test_methods_on_plain_weights(vocoder: nn.Module) -> None:
    batches = [2 * torch.rand(32, 10, 16) - 1 for _ in range(2)]
    refitted = gc.prune(vocoder, MEL, keep=0.5, refit=batches)
    assert not reparametrized_layers(refitted)
    slim = gc.slim(vocoder, batches, budget=gc.Budget(reduction=1.2), images=64, progress=False)
    assert slim.module is not None
    assert not reparametrized_layers(slim.module)
    assert len(reparametrized_layers(vocoder)) == 5


@pytest.mark.parametrize(
    ("vocoder", "precision"), [("weight norm, hook", "fp32"), ("spectral norm, hook", "int8")], indirect=["vocoder"]
)
def test_export(vocoder: nn.Module, precision: Any, tmp_path: Any) -> None:
    pytest.importorskip("onnxruntime", reason="exports to ONNX, which is not installed")
    batches = [torch.rand(8, 10, 16) for _ in range(4)] if precision == "int8" else None
    path = tmp_path / "model.onnx"
    report = gc.export(vocoder, MEL, path, precision=precision, calibration=batches, min_psnr_db=0)
    folded = {change.rewrite: change.layers for change in report.rewrites}
    assert len(folded["folded_spectral_norms"]) == 5
    if precision == "fp32":
        assert report.max_difference is not None
        assert report.max_difference < 1e-5
