"""Display of a running job: a bar that is redrawn on a terminal, lines elsewhere; and the table of files."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from gancompress.cli.display import picture, watching
from gancompress.cli.tables import text_table
from gancompress.methods.progress import Progress
from gancompress.report import THAN_ORIGINAL, FileRow, Latency, file_table

TRAINING = Progress(
    "2-supernet", "step 2 of 4", 120_000, 400_000, "images", 41.234, 6720.0, {"generator": 12.3, "discriminator": 0.512}
)
SEARCH = Progress("3-search", "step 3 of 4", 60, 60, "candidates", 0.8, 0.0, {"best ssim": 0.664})


def terminal(width: int = 100, **options) -> Console:
    return Console(file=io.StringIO(), width=width, height=20, **options)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_of_files_says_all_on_a_narrow_terminal():
    console, reason = terminal(80), "needs the package litert_torch: pip install 'gancompress[litert]'"
    best = FileRow("model.int8.onnx", Latency(31.2, 31.0, 33.0), 12.5, 11.88, 13.75, 40.4, True, 1, 200_000)
    console.print(text_table(file_table([best, FileRow("model.tflite", reason=reason)], THAN_ORIGINAL)), soft_wrap=True)
    head, row, *_, last = written(console).splitlines()
    assert re.fullmatch(r"file +size +ms +threads +times faster +PSNR, dB +", head)
    assert re.fullmatch(r"model\.int8\.onnx +200 kB +31\.20 +1 +12\.5 \(11\.9 to 13\.8\) +40\.4 +best +", row)
    assert last == f"model.tflite: {reason}"


def test_a_row_of_every_file_of_a_job_fits_a_narrow_terminal():
    console = terminal(80)
    latency = Latency(31.2, 31.0, 33.0)
    how = {"threads": 1, "processor_time": True, "file_bytes": 86_900}
    row = FileRow("exports/model.fixed.int8.onnx", latency, 12.5, 11.88, 13.75, 140.4, True, **how)
    console.print(text_table(file_table([row], THAN_ORIGINAL)), soft_wrap=True)
    _, line, _ = written(console).splitlines()
    assert line.split() == [row.name, "86.9", "kB", "31.20", "12.5", "(11.9", "to", "13.8)", "140.4", "best"]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_picture_says_all_in_two_lines(width):
    console = terminal(width)
    console.print(picture(TRAINING))
    first, second = written(console).splitlines()
    assert re.fullmatch(r"2-supernet  step 2 of 4  [━╸╺ ]+ 120,000/400,000 images  41.2/s  1 h 52 min left *", first)
    assert second.strip() == "generator 12.3  discriminator 0.512"


def test_the_bar_grows_with_what_is_done():
    def filled(done: int) -> int:
        console = terminal()
        console.print(picture(Progress("s", "step 1 of 1", done, 100, "images")))
        return written(console).count("━")

    assert filled(0) == 0
    assert 0 < filled(25) < filled(50) < filled(100)


def test_a_finished_search_has_no_time_left():
    console = terminal()
    console.print(picture(SEARCH))
    assert "60/60 candidates  0.800/s" in written(console)
    assert "left" not in written(console)


def test_a_terminal_is_redrawn_in_place_and_left_clean():
    console = terminal(force_terminal=True, force_interactive=True, color_system=None)
    with watching(console) as watch:
        assert watch.show is not None
        watch.say("2-supernet: starts")
        watch.show(TRAINING)
        watch.show("exporting")
        watch.say("2-supernet: done in [4] s")
        watch.show(None)
    text = written(console)
    assert "120,000/400,000" in text
    assert "exporting" in text
    assert "\x1b[1A\x1b[2K" in text  # up, and clear
    assert text.index("\x1b[?25l") < text.index("\x1b[?25h")  # the cursor comes back
    lines = [line for line in re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", text.replace("\r", "\n")).splitlines() if line]
    assert [line for line in lines if line.startswith("2-supernet:")] == [
        "2-supernet: starts",
        "2-supernet: done in [4] s",
    ]


def test_batches_in_quick_succession_are_not_all_drawn():
    console = terminal(force_terminal=True, force_interactive=True)
    with watching(console) as watch:
        assert watch.show is not None
        for done in range(1000):
            watch.show(Progress("s", "step 1 of 1", done, 1001, "images"))
        watch.show(Progress("s", "step 1 of 1", 1001, 1001, "images"))
    assert written(console).count("images") < 100
    assert "1,001/1,001" in written(console)


def test_without_a_terminal_lines_stay_whole():
    console = terminal(40)
    line = f"teacher: done before, taken from runs/{'x' * 100}/[steps]"
    with watching(console) as watch:
        assert watch.show is None
        watch.say(line)
    assert written(console) == f"{line}\n"
