from __future__ import annotations

from pathlib import Path

import pytest

from gancompress.data import DataConfig, parse_data
from gancompress.data.decoding import BrokenImage
from gancompress.errors import DataError
from tests.data.pictures import WHOLE, save_many

AS_IT_IS = {"resize": "none"}


class TestBroken:
    def config(self, root: Path, max_broken: int) -> DataConfig:
        save_many(root / "train", 6)
        for number in (1, 4):
            (root / f"train/img{number}.png").write_bytes(b"broken")
        return parse_data(
            {"kind": "images", "splits": WHOLE, "root": str(root), "transform": AS_IT_IS, "max_broken": max_broken}
        )

    def test_the_first_stops_the_job_by_default(self, tmp_path: Path) -> None:
        dataset = self.config(tmp_path, 0).open("train")
        message = (
            r"train/img4.png: broken image \(.*\); got 1 broken, expected at most 0; "
            "repair or remove the files, or raise max_broken"
        )
        with pytest.raises(DataError, match=message) as caught:
            dataset[4]
        assert not isinstance(caught.value, BrokenImage)

    def test_one_more_than_allowed(self, tmp_path: Path) -> None:
        dataset = self.config(tmp_path, 1).open("train")
        for _ in range(3):
            with pytest.raises(BrokenImage):
                dataset[4]
        assert dataset.broken_names() == ["img4"]
        with pytest.raises(DataError, match=r"img1.png: .*; got 2 broken \(all: img1, img4\), expected at most 1;"):
            dataset[1]
