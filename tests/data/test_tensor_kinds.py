"""Data of any shape and range: what an item holds, what resumes exactly, what is refused."""

from __future__ import annotations

import pickle
import shutil
import wave
from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gancompress.data import DATASETS, Visit, make_loader, make_ordered_loader, parse_data
from gancompress.errors import ConfigError, DataError
from gancompress.io.wave_files import open_wave

NUM_FILES = 10


def mels(root, count=NUM_FILES, length=20):
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        np.save(root / f"m{number}.npy", np.arange(3 * length, dtype=np.float64).reshape(3, length) + 1000 * number)
    return {"kind": "arrays", "root": str(root), "axes": ["mels", "frames"], "crop": {"frames": 8}}


def sounds(root, count=NUM_FILES):
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        samples = np.linspace(-1, 1, 400).reshape(2, 200) * (number + 1) / count
        with wave.open(str(root / f"s{number}.wav"), "wb") as file:
            file.setparams((2, 2, 100, 200, "NONE", None))
            file.writeframes((samples.T * 32767).round().astype("<i2").tobytes())
    return {"kind": "audio", "root": str(root), "sample_rate": 100, "seconds": 0.5}


KINDS = {
    "arrays": mels,
    "audio": sounds,
    "noise": lambda _: {"kind": "noise", "shape": [2, 3], "num_items": 8},
    "own": lambda _: {"kind": "tests.outside.own_data:Drawn"},
}


def test_every_kind_is_tested():
    assert KINDS.keys() == {kind for kind, options in DATASETS.items() if not options.holds_images}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_goes_on_exactly_where_it_stopped(tmp_path, kind):
    data = parse_data(KINDS[kind](tmp_path / "data"))
    train = data.open("train", augment=True)
    whole = list(islice(make_loader(train, 2, seed=3), 7))
    rest = islice(
        make_loader(parse_data(data.model_dump(mode="json")).open("train", augment=True), 2, seed=3, start_image=6), 4
    )
    for one, other in zip(whole[3:], rest, strict=True):
        assert torch.equal(one["input"], other["input"])
        assert one["name"] == other["name"]
    assert not torch.equal(whole[0]["input"], whole[5]["input"])


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_items_are_the_same_each_time_and_in_no_other_split(tmp_path, kind):
    data = parse_data(KINDS[kind](tmp_path / "data"))
    data.check_splits()
    sent = pickle.loads(pickle.dumps(data.open("test")))
    first, again = (list(make_ordered_loader(each, 4)) for each in (data.open("test"), sent))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one["input"], other["input"])
    if kind != "noise":
        sizes = {split: len(data.open(split)) for split in data.split_names()}
        assert sizes == {"train": 8, "search": 1, "test": 1}


def test_arrays_of_a_file_are_cropped_at_one_place(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    mel, sound = torch.arange(20).expand(3, 20).float(), torch.arange(80).float()
    save_file({"mel": mel.contiguous(), "wave": sound}, folder / "a.safetensors")
    torch.save({"mel": mel, "wave": sound.double()}, folder / "b.pt")
    np.savez(folder / "c.npz", mel=mel.numpy(), wave=sound.numpy())
    axes = {"mel": ["mels", "frames"], "wave": ["frames*4"]}
    options = {"kind": "arrays", "root": str(tmp_path), "axes": axes, "crop": {"frames": 5}}
    splits = {"train": {"folder": "train"}}
    data = parse_data({**options, "splits": splits}).open("train", augment=True)
    starts = set()
    for index in range(3):
        for epoch in range(4):
            item = data.item(Visit(index, epoch))
            start = int(item["mel"][0, 0])
            assert torch.equal(item["mel"], mel[:, start : start + 5])
            assert torch.equal(item["wave"], sound[4 * start : 4 * start + 20])
            starts.add(start)
    assert len(starts) > 3
    alone = parse_data({**options, "only": ["wave"], "splits": splits}).open("train")[0]
    assert torch.equal(alone["input"], sound[28:48])  # the central five frames


@pytest.mark.parametrize(("code", "scale"), [("<i2", 2**15), ("<i4", 2**31), ("u1", 128), ("i3", 2**23)])
def test_sounds_of_all_depths(tmp_path, code, scale):
    values = np.array([[-0.5, 0.25], [0.75, -1.0]])
    integers = np.round(values * scale).astype(np.int64)
    if code == "u1":
        content = (integers + 128).astype("u1").tobytes()
    elif code == "i3":
        content = b"".join(int(each).to_bytes(3, "little", signed=True) for each in integers.flatten())
    else:
        content = integers.astype(code).tobytes()
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(int(code[-1]))
        file.setframerate(8000)
        file.writeframes(content)
    found = open_wave(tmp_path / "a.wav")
    assert (found.sample_rate, found.num_channels, found.num_samples) == (8000, 2, 2)
    assert torch.equal(found.read(), torch.tensor(values.T, dtype=torch.float32))
    assert torch.equal(found.read(1, 1), torch.tensor(values.T[:, 1:], dtype=torch.float32))


def test_items_of_ones_own(tmp_path):
    listed = parse_data("tests.outside.own_data:LISTED")
    values = [item["input"][0, 0].item() for split in listed.split_names() for item in listed.open(split)]
    assert sorted(values) == list(range(20))
    named = parse_data("tests.outside.own_data:of_split").open("train", augment=True)
    assert len(named) == 5
    assert named[2]["mel"].tolist() == [1, 1]
    assert (named[2]["speaker"].item(), named[2]["name"]) == (2, "train")
    some = parse_data({"kind": "tests.outside.own_data:endless", "num_items": 10}).open("test")
    assert len(some) == 1
    drawn = parse_data({"kind": "tests.outside.own_data:Drawn", "options": {"length": 6}}).open("train")
    assert drawn[0]["input"].shape == (6,)
    assert drawn[0]["target"].dtype == torch.float32
    assert not torch.equal(drawn.item(Visit(0, 1))["input"], drawn[0]["input"])


OWN = "tests.outside.own_data:"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "tests.outside.own_data:listed"}, "kind: .*has no 'listed', known: Drawn, LISTED"),
        (
            {"kind": "arrays", "axes": ["mels", "frames"], "crop": {"frame": 3}},
            "the axis 'frame', expected one of 'axes'; did you mean 'frames'",
        ),
        ({"kind": "arrays", "axes": ["a*b"]}, r"axes: got 'a\*b', expected a name such as frames, or frames\*256"),
        ({"kind": "audio"}, "sample_rate: got nothing, expected a value"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ConfigError, match=message):
        parse_data(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": OWN + "NOT_DATA"}, "got a int, expected data or a function that makes it"),
        ({"kind": OWN + "LISTED", "options": {"a": 1}}, "got options for data that is no function, expected none"),
        ({"kind": OWN + "Drawn", "options": {"lenth": 1}}, "lenth.*expected length, size in options"),
        ({"kind": OWN + "loader"}, "got a DataLoader, expected its data set"),
        ({"kind": OWN + "words"}, r"item \d+ is a str, expected a tensor, a tuple"),
        ({"kind": OWN + "Drawn", "num_items": 2}, "got 2 items, of which 'search' gets none, expected more"),
    ],
)
def test_data_of_ones_own_that_is_none(options, message):
    data = parse_data(options)
    with pytest.raises((ConfigError, DataError), match=message):
        [data.open(split)[0] for split in ("train", "search")]


def first(options):
    return parse_data({**options, "splits": {"train": {}}}).open("train")[0]


def test_files_that_do_not_fit_are_named(tmp_path):
    options = mels(tmp_path / "mels", count=1)
    with pytest.raises(DataError, match=r"m0.npy: got 20 frames, expected at least the crop of 30; reduce crop.frames"):
        first({**options, "crop": {"frames": 30}})
    with pytest.raises(
        DataError, match=r"m0.npy: got 'input' of shape \[3, 20\], expected 1 axes: frames; correct axes"
    ):
        first({**options, "axes": ["frames"]})
    with pytest.raises(DataError, match=r"m0.npy: got no array 'mel', expected it"):
        first({**options, "only": ["mel"]})
    np.save(tmp_path / "mels/m0.npy", np.array([[np.nan, 1.0]]))
    with pytest.raises(DataError, match="m0: got values in 'input' that are NaN or infinite"):
        first({"kind": "arrays", "root": str(tmp_path / "mels")})
    np.save(tmp_path / "mels/m0.npy", np.array([1j]))
    with pytest.raises(DataError, match=r"'input': got values of torch\.complex128, expected floats"):
        first({"kind": "arrays", "root": str(tmp_path / "mels")})


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt", "a.safetensors"])
def test_damaged_files_are_named_and_skipped_up_to_a_number(tmp_path, name):
    folder = tmp_path / "train"
    folder.mkdir()
    (folder / name).write_bytes(b"damaged")
    np.save(folder / "b.npy", np.ones(3))
    options = {"kind": "arrays", "root": str(tmp_path), "splits": {"train": {"folder": "train"}}}
    with pytest.raises(DataError, match=f"{name}.*expected at most 0; repair or remove the files, or raise max_broken"):
        parse_data(options).open("train")[0]
    train = parse_data({**options, "max_broken": 1}).open("train")
    assert [batch["name"] for batch in make_ordered_loader(train, 1)] == [["b"]]
    assert train.broken_names() == ["a"]


def test_sounds_that_do_not_fit_are_named(tmp_path):
    options = sounds(tmp_path / "sounds", count=1)
    for changes, message in (
        ({"sample_rate": 50}, "s0.wav: got 100 samples a second, expected 50; sounds are not resampled"),
        ({"channels": 3}, "s0.wav: got 2 channels, expected 3; correct channels"),
        ({"seconds": 3.0}, "s0.wav: got 2 seconds, expected at least 3; reduce seconds"),
    ):
        with pytest.raises(DataError, match=message):
            first({**options, **changes})
    (tmp_path / "sounds/s0.wav").write_bytes(b"RIFF1234WAVEfmt ")
    with pytest.raises(DataError, match=r"s0\.wav: got a WAVE file that cannot be read"):
        first(options)


def test_files_in_a_zip_are_refused(tmp_path):
    mels(tmp_path / "mels", count=1)
    shutil.make_archive(str(tmp_path / "mels"), "zip", tmp_path / "mels")
    with pytest.raises(DataError, match="got files inside a zip, expected a folder"):
        first({"kind": "arrays", "root": str(tmp_path / "mels.zip")})
