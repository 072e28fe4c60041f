"""A user's own data: import paths, folders of arrays, and what a network does not take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gancompress.errors import ConfigError, DataError
from gancompress.jobs.drafting import Request
from gancompress.jobs.drafting.method import terms_of
from gancompress.jobs.drafting.own_items import data_of_text, read_items
from gancompress.jobs.drafting.trial import narrowed, training_pace
from gancompress.networks.generator import Generator

MELS = [torch.linspace(-1, 1, 8 * 24).view(8, 24) * (1 + number) for number in range(12)]
RAGGED = [torch.zeros(8, 24 + number) for number in range(12)]


def vocoder() -> nn.Module:
    return nn.Sequential(nn.Conv1d(8, 8, 3, padding=1), nn.LeakyReLU(), nn.ConvTranspose1d(8, 1, 4, 4))


@pytest.fixture(scope="module")
def mels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mels")
    for number, mel in enumerate(MELS):
        np.save(folder / f"{number:02d}.npy", mel.numpy())
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nets:Data", {"kind": "nets:Data"}),
        ("{kind: audio, root: sounds}", {"kind": "audio", "root": "sounds"}),
        (".", {"kind": "arrays", "root": "."}),
    ],
)
def test_data_is_told_by_its_text(text, expected):
    assert data_of_text(text) == expected


@pytest.mark.parametrize(
    ("text", "message"), [("{kind", "which is no YAML"), ("nowhere", "expected module:dataset, a")]
)
def test_text_that_is_no_data_is_one_line(text, message):
    with pytest.raises(ConfigError, match=message):
        data_of_text(text)


@pytest.mark.parametrize("text", ["mels", f"{__name__}:MELS"])
def test_items_are_read_and_run(text, mels):
    said: list[str] = []
    data = data_of_text(str(mels) if text == "mels" else text)
    found = read_items(data, Generator.from_module(vocoder()), said.append)
    assert found.material.data == data
    assert dict(found.material.counts) == {"train": 9, "search": 1, "test": 2}
    assert (found.material.items, found.material.output) == ("items of 8x24", (1, 96))
    assert (found.material.holds_images, found.material.repeats) == (False, text == "mels")
    assert found.made.shape == (4, 1, 96)
    assert said[1:] == ["  8x24 to 1x96", "data: train 9, search 1, test 2"]


PAIRS = [{"photo": torch.rand(3, 8, 8), "style": torch.rand(5)} for _ in range(12)]


class Styled(nn.Module):
    """Takes a picture and a style."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(5, 8)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, photo, style):
        return self.last((self.conv(photo) * self.scale(style)[..., None, None]).relu())


def test_several_inputs_are_taken_by_their_names():
    generator = Generator.from_module(Styled())
    said: list[str] = []
    found = read_items({"kind": f"{__name__}:PAIRS"}, generator, said.append)
    assert found.material.items == "items of photo 3x8x8, style 5"
    assert found.made.shape == (4, 3, 8, 8)
    student, facts = narrowed(generator, found.inputs[:1], Request("x", data="y", smaller=2))
    assert student.num_parameters < generator.num_parameters
    assert (
        training_pace(student, generator, found.inputs, 3, terms_of(found.material, facts), facts.taps, 10.0).step_s > 0
    )


MISTAKES = {
    "other data": (
        lambda: nn.Conv1d(80, 1, 3),
        "MELS",
        ConfigError,
        r"Conv1d: raised RuntimeError: .*for inputs 4x8x24",
    ),
    "lengths that differ": (
        vocoder,
        "RAGGED",
        DataError,
        r"of 8x\d+ and item-\d+ of 8x\d+, expected items of one",
    ),
    "an output of one value": (lambda: Still(), "MELS", ConfigError, "Still: got outputs of one value"),
    "an output of whole numbers": (
        lambda: Other(lambda x: x.argmax(1)),
        "MELS",
        ConfigError,
        r"Other: got int64 for inputs 4x8x24, expected floats, which can be compared; return what it was made of",
    ),
    "an output of complex numbers": (lambda: Other(torch.fft.rfft), "MELS", ConfigError, "Other: got complex64 for"),
    "no output": (
        lambda: Other(lambda x: 3),
        "MELS",
        ConfigError,
        r"Other: got int for inputs 4x8x24, expected a tens",
    ),
    "one output for all items": (
        lambda: Other(lambda x: x.mean(0)),
        "MELS",
        ConfigError,
        r"Other: got an output \[8, 24\] for 4 items, expected one for each along its first axis",
    ),
}


class Still(nn.Module):
    """Returns zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x * self.weight


class Other(nn.Module):
    """Returns something else than tensors of one item each."""

    def __init__(self, made) -> None:
        super().__init__()
        self.made, self.weight = made, nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.made(x * self.weight)


@pytest.mark.parametrize(("make", "data", "error", "message"), MISTAKES.values(), ids=MISTAKES)
def test_what_does_not_fit_is_one_line(make, data, error, message):
    with pytest.raises(error, match=message):
        read_items({"kind": f"{__name__}:{data}"}, Generator.from_module(make()), lambda line: None)
