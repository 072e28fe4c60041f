"""What a step leaves while it runs: losses, curves, grids, progress in lines and in values."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from gancompress.errors import ConfigError, Interrupted
from gancompress.jobs import run_log
from gancompress.jobs.run_log import RunLog
from gancompress.methods.loss_records import read_losses
from gancompress.methods.progress import MethodLog, Pace, Progress
from gancompress.report.plots import losses_png
from gancompress.report.tensorboard import TensorBoard

LOSSES = {"generator/gan": 1.0, "generator/distance": 2.0, "generator": 3.0}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Told:
    """A run log whose time is set by hand, and what it told."""

    def __init__(self, directory: Path, live: bool = False, **options) -> None:
        self.lines: list[str] = []
        self.shown: list[Progress | str | None] = []
        self.clock = Clock()
        show = self.shown.append if live else None
        self.log = RunLog(
            directory, self.lines.append, step="2-s", place="step 2 of 3", show=show, clock=self.clock, **options
        )

    def train(self, images: int, total: int, seconds: float) -> None:
        self.clock.now += seconds
        self.log.progress(images, total)


def test_pace_counts_from_where_it_went_on():
    clock = Clock()
    pace = Pace(clock)
    assert pace.at(5000) is None
    clock.now += 2
    assert pace.at(5000) is None
    clock.now += 2
    assert pace.at(5200) == 200 / 4


def test_pace_forgets_what_is_older_than_a_minute():
    clock = Clock()
    pace = Pace(clock)
    for second in range(200):
        rate = pace.at(10 * min(second, 100) + 2 * max(0, second - 100))
        clock.now += 1
    assert rate == pytest.approx(2)


def test_lines_say_what_remains_after_a_resume(tmp_path):
    told = Told(tmp_path)
    told.train(6000, 10_000, 0)
    told.train(6200, 10_000, 4)
    told.log.losses(6200, LOSSES, 49.0)
    assert told.lines == ["  6,200 of 10,000 images, 50.0 per second, 1 min 16 s left  generator 3.00"]
    told.train(10_000, 10_000, 50)
    told.log.losses(10_000, LOSSES, 49.0)
    assert "left" not in told.lines[-1]


def test_on_a_display_every_batch_is_shown_and_no_line_is_said(tmp_path):
    told = Told(tmp_path, live=True)
    with told.log:
        told.train(0, 400, 0)
        told.train(4, 400, 2)
        told.log.losses(4, LOSSES, 2.0)
        told.train(8, 400, 2)
    assert told.lines == []
    first, *_, last, end = told.shown
    assert first == Progress("2-s", "step 2 of 3", 0, 400, "images")
    assert last == Progress("2-s", "step 2 of 3", 8, 400, "images", 2.0, 196.0, {"generator": 3.0})
    assert end is None


def test_a_search_says_its_best_now_and_then_and_at_the_end(tmp_path):
    told = Told(tmp_path)
    for count in range(31):
        told.clock.now += 1
        told.log.searched(count, 30, {"fid": 40.0 - count} if count else {})
    assert [line.split(",")[0].strip() for line in told.lines] == [
        "0 of 30 candidates",
        "10 of 30 candidates",
        "20 of 30 candidates",
        "30 of 30 candidates",
    ]
    assert told.lines[1].endswith("1.00 per second, 20 s left  best fid 30.0")


def test_losses_are_read_once_each_and_in_order(tmp_path):
    log = Told(tmp_path).log
    for images, value in ((4, 1.0), (8, 2.0), (8, 3.0), (12, 4.0)):
        log.losses(images, {"generator": value}, 1.0)
    read = read_losses(tmp_path)
    assert [(line["num_images"], line["losses"]["generator"]) for line in read] == [(4, 1.0), (8, 3.0), (12, 4.0)]
    assert read_losses(tmp_path / "nowhere") == []


@pytest.mark.parametrize("resumed_at", [0, 4, 8])
@pytest.mark.parametrize("own", [False, True])
def test_after_a_kill_the_losses_are_those_of_a_run_that_was_not_killed(tmp_path, resumed_at, own):
    def log(directory: Path) -> RunLog | MethodLog:
        directory.mkdir(exist_ok=True)
        return MethodLog("2-s", None, directory) if own else Told(directory).log

    straight, killed = tmp_path / "straight", tmp_path / "killed"
    for directory, start, end, cut in ((straight, 0, 12, 0), (killed, 0, 12, 30), (killed, resumed_at, 12, 0)):
        writing = log(directory)
        writing.progress(start, 12)
        for images in range(start + 4, end + 1, 4):
            writing.losses(images, {"generator": images / 3}, 1.0)
            writing.progress(images, 12)
        file = directory / "losses.jsonl"
        file.write_bytes(file.read_bytes()[: -cut or None])  # a kill cuts the last line off
        assert [line["num_images"] for line in read_losses(directory)] == [4, 8, 12][: 2 if cut else 3]
    assert (killed / "losses.jsonl").read_bytes() == (straight / "losses.jsonl").read_bytes()


def test_curves_are_drawn_now_and_then_and_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(run_log, "losses_png", losses_png)  # of every term, which other tests do without
    told, curves = Told(tmp_path), tmp_path / "losses.png"
    with told.log as log:
        log.losses(4, LOSSES, 1.0)
        assert not curves.exists()
        told.clock.now += 31
        log.losses(8, LOSSES, 1.0)
        assert curves.read_bytes().startswith(b"\x89PNG")
        curves.unlink()
        told.clock.now += 5
        log.losses(12, LOSSES, 1.0)
        assert not curves.exists()
    losses_png([(num_images, LOSSES) for num_images in (4, 8, 12)], tmp_path / "expected.png")
    assert curves.read_bytes() == (tmp_path / "expected.png").read_bytes()


def test_curves_are_drawn_when_a_run_is_interrupted_but_not_when_the_disk_fails(tmp_path):
    def fail(directory: Path, error: Exception) -> None:
        directory.mkdir()
        with Told(directory).log as log:
            log.losses(4, LOSSES, 1.0)
            raise error

    for error, drawn in ((Interrupted("stopped"), True), (OSError(28, "No space left on device"), False)):
        with pytest.raises(type(error)):
            fail(tmp_path / type(error).__name__, error)
        assert (tmp_path / type(error).__name__ / "losses.png").exists() == drawn


def test_tensorboard_gets_scalars_and_grids_and_hides_what_a_resume_repeats(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = tmp_path / "board"
    for start, values in ((0, (1.0, 2.0, 3.0)), (4, (20.0, 30.0))):  # killed at 12 images, the checkpoint was at 4
        told = Told(tmp_path, board=board)
        with told.log as log:
            told.train(start, 16, 0)
            for index, value in enumerate(values, start=1):
                told.train(start + 4 * index, 16, 1)
                log.losses(start + 4 * index, {"generator": value}, 7.0)
            log.preview(start + 8, {"made": torch.zeros(2, 3, 8, 8)})
    events = EventAccumulator(str(board))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("generator")] == [(4, 1.0), (8, 20.0), (12, 30.0)]
    assert [e.value for e in events.Scalars("images_per_second")] == [7.0, 7.0, 7.0]
    assert [e.step for e in events.Images("previews")] == [12]


def test_a_missing_tensorboard_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'gancompress\[tensorboard\]'") as error:
        TensorBoard(tmp_path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
