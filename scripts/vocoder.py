"""Train a small vocoder on synthetic voices, to have one that `gancompress compress` can be tried on.

A voice is a train of pulses of gliding pitch through three moving resonances, with pauses, breath and noise of a room;
8,000 samples a second. The network has the layers of HiFi-GAN (weight norm, transposed convolutions, dilated residual
blocks) and learns by the multi-resolution distance of spectra alone, without discriminators. Writes `vocoder.pt` and
mel arrays of other voices, on which nothing was trained, as `mels/*.npy`. The same command resumes. Then,
in the directory of this script:

    gancompress compress OUT/vocoder.pt --net vocoder:Vocoder --data OUT/mels --smaller 2
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from gancompress.perception.spectra import mel_bands, mel_distance, stft_distance

SAMPLE_RATE, HOP, NUM_MELS, FRAMES = 8_000, 64, 40, 48
SLOPE, FACTORS = 0.1, (4, 4, 4)
RESONANCES = ((250, 800, 80), (800, 2200, 120), (2200, 3400, 200))
"""Lowest and highest frequency of each resonance, and its bandwidth, in hertz."""


class Residual(nn.Module):
    """Dilated convolutions, each added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        dilated = (nn.Conv1d(width, width, 3, padding=by, dilation=by) for by in (1, 3))
        self.layers = nn.ModuleList(map(weight_norm, dilated))

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, width, samples] to the same shape."""
        for layer in self.layers:
            x = x + layer(F.leaky_relu(x, SLOPE))
        return x


class Vocoder(nn.Module):
    """Map log-mel arrays [b, 40, frames] to waves [b, 1, 64 * frames] in [-1, 1].

    Source: Kong et al., HiFi-GAN, NeurIPS 2020, section 2.2.
    """

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        widths = [width // 2**i for i in range(len(FACTORS) + 1)]
        self.first = weight_norm(nn.Conv1d(NUM_MELS, width, 7, padding=3))
        pairs = zip(FACTORS, itertools.pairwise(widths), strict=True)
        self.ups = nn.ModuleList(
            weight_norm(nn.ConvTranspose1d(cin, cout, 2 * factor, factor, factor // 2)) for factor, (cin, cout) in pairs
        )
        self.blocks = nn.ModuleList(Residual(each) for each in widths[1:])
        self.last = weight_norm(nn.Conv1d(widths[-1], 1, 7, padding=3))

    def forward(self, mels: Tensor) -> Tensor:
        """Map mel arrays to waves."""
        x = self.first(mels)
        for up, block in zip(self.ups, self.blocks, strict=True):
            x = block(up(F.leaky_relu(x, SLOPE)))
        return torch.tanh(self.last(F.leaky_relu(x, SLOPE)))


def mel_distance_8k(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the distance of log-mel spectra of each sound: a metric for `--metric vocoder:mel_distance_8k`."""
    return mel_distance(outputs, targets, SAMPLE_RATE)


def voice(draw: np.random.Generator, seconds: float) -> np.ndarray:
    """Return one synthetic voice, [samples]."""
    count = int(seconds * SAMPLE_RATE)
    knots = max(2, int(seconds * 5))

    def glide(low: float, high: float) -> np.ndarray:
        return np.interp(np.linspace(0, knots - 1, count), np.arange(knots), draw.uniform(low, high, knots))

    base = draw.uniform(90, 220)
    phase = np.cumsum(base * glide(0.8, 1.25)) / SAMPLE_RATE
    source = np.diff(np.floor(phase), prepend=0) + 0.01 * draw.standard_normal(count)
    loud = np.clip(glide(-0.4, 1.0), 0, 1)
    sound = sum(resonance(source, glide(low, high), width) for low, high, width in RESONANCES)
    room = 0.003 * draw.standard_normal(count)
    return (loud * sound / (np.abs(sound).max() + 1e-9) * 0.8 + room).astype(np.float32)


def resonance(source: np.ndarray, hz: np.ndarray, width: float) -> np.ndarray:
    """Filter a sound by a resonance of moving frequency and a bandwidth in hertz."""
    radius = np.exp(-np.pi * width / SAMPLE_RATE)
    turns = 2 * radius * np.cos(2 * np.pi * hz / SAMPLE_RATE)
    made = np.zeros(len(source) + 2)
    for i, given in enumerate(source):
        made[i + 2] = (1 - radius) * given + turns[i] * made[i + 1] - radius**2 * made[i]
    return made[2:]


def log_mels(waves: Tensor) -> Tensor:
    """Return log-mel arrays [b, 40, samples / 64] of waves [b, samples]."""
    size = 4 * HOP
    spectra = torch.stft(waves, size, HOP, window=torch.hann_window(size), return_complex=True).abs()
    return (mel_bands(SAMPLE_RATE, NUM_MELS, size) @ spectra[..., :-1]).clamp_min(1e-4).log()


def pairs(voices: Tensor, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return mel arrays and waves [b, 1, samples] of random stretches of voices."""
    length = FRAMES * HOP
    starts = torch.randint(0, voices.shape[1] // HOP - FRAMES, (count,), generator=draw) * HOP
    rows = torch.randint(0, len(voices), (count,), generator=draw)
    waves = torch.stack([voices[row, start : start + length] for row, start in zip(rows, starts, strict=True)])
    return log_mels(waves), waves[:, None]


def train(voices: Tensor, steps: int, out: Path) -> Vocoder:
    """Train the vocoder for a number of steps of 8 stretches; resume from the last hundred."""
    torch.manual_seed(0)
    network, draw, saved = Vocoder(), torch.Generator(), out / "training.pt"
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, (0.8, 0.99))
    state = torch.load(saved) if saved.is_file() else {"step": 0}
    if state["step"]:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    for step in range(state["step"], steps):
        draw.manual_seed(step)
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - 0.95 * step / steps)
        mels, waves = pairs(voices, 8, draw)
        made = network(mels)
        loss = (stft_distance(made, waves) + mel_distance(made, waves, SAMPLE_RATE)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            print(f"step {step + 1} of {steps}: distance of spectra {loss.item():.3f}", flush=True)
            now = {"step": step + 1, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(now, saved.with_suffix(".partial"))
            saved.with_suffix(".partial").rename(saved)
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    given = parser.parse_args()
    (given.out / "mels").mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    voices = torch.from_numpy(np.stack([voice(draw, 4.0) for _ in range(80)]))
    network = train(voices[:40], given.steps, given.out)
    torch.save(network.state_dict(), given.out / "vocoder.pt")
    for number, mels in enumerate(log_mels(voices[40:]).unfold(2, FRAMES, FRAMES).transpose(1, 2).flatten(0, 1)):
        np.save(given.out / "mels" / f"{number:04d}.npy", mels.numpy())


if __name__ == "__main__":
    main()
