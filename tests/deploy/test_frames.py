"""Frames of folders, iterables and videos: in order, and no more of them in memory than a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gancompress.deploy.frames import read_frames
from gancompress.errors import ConfigError, DataError, ExportError
from tests.deploy.tiles.test_tiles import file_of

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)


@pytest.fixture
def network():
    return file_of(nn.Identity(), (None, 3, None, None), tiles=None)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_frames_of_every_kind_come_in_order(network, batch):
    run, seen = network
    floats = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 8, 6) / 5
    kinds = {
        "pictures": [Image.fromarray(each) for each in FRAMES],
        "bytes": list(FRAMES),
        "grey": list(FRAMES[..., 0]),
        "tensors": list(floats.split(1)),
        "floats": list(floats.numpy()[:, None]),
    }
    for frames in kinds.values():
        seen.clear()
        results = list(run.frames(iter(frames), batch=batch))
        assert [type(each) for each in results] == [type(each) for each in frames]
        for result, frame in zip(results, frames, strict=True):
            shown = np.repeat(frame[..., None], 3, 2) if np.ndim(frame) == 2 else np.asarray(frame)
            np.testing.assert_allclose(np.asarray(result), shown)
        assert len(seen) == (5 if frames is kinds["pictures"] else -(-5 // batch))


def test_no_frame_is_read_before_it_is_needed(network):
    run, _ = network
    read = []
    frames = run.frames((read.append(number) or frame for number, frame in enumerate(FRAMES)), batch=2)
    next(frames)
    assert read == [0, 1, 2]
    mixed = list(run.frames([FRAMES[0], FRAMES[1, :4], FRAMES[2, :4]], batch=3))
    assert [len(each) for each in mixed] == [8, 4, 4]


def test_a_folder_in_the_order_of_its_names(network, tmp_path):
    for place in (2, 0, 1):
        Image.fromarray(FRAMES[place]).save(tmp_path / f"{place}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    results = [np.asarray(each) for each in network[0].frames(tmp_path)]
    np.testing.assert_array_equal(results, FRAMES[:3])


def test_a_video(network, tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=5)  # lossless
        stream.width, stream.height, stream.pix_fmt = 6, 8, "bgr0"
        for each in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(each, format="rgb24")))
        container.mux(stream.encode(None))
    results = [np.asarray(each) for each in network[0].frames(tmp_path / "a.mkv")]
    np.testing.assert_array_equal(results, FRAMES)
    (tmp_path / "b.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"b\.mp4: got no video that can be read \(InvalidDataError\), expected one"):
        list(network[0].frames(tmp_path / "b.mp4"))


def test_what_frames_refuse(network, tmp_path, monkeypatch):
    run, _ = network
    with pytest.raises(ConfigError, match=r"model\.onnx: got batch=0, expected a number of frames, 1 or more"):
        list(run.frames(FRAMES, batch=0))
    for one in (FRAMES[0], Image.fromarray(FRAMES[0]), 3):
        with pytest.raises(ConfigError, match=r"frames: got a \w+, expected an iterable of images, or the path"):
            list(read_frames(one))
    with pytest.raises(DataError, match=r"no\.mp4: no such file, expected a video or a folder of pictures"):
        list(run.frames(tmp_path / "no.mp4"))
    (tmp_path / "a.mp4").write_text("")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ExportError, match=r"a\.mp4: reading a video needs the package av, .*'gancompress\[video\]'"):
        list(run.frames(tmp_path / "a.mp4"))
