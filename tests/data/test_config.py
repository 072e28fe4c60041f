from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gancompress.data import DataConfig, parse_data
from gancompress.errors import DataError
from tests.data.pictures import save_many

AS_IT_IS = {"resize": "none"}


class TestSplits:
    def config(self, root: Path, **splits: dict[str, Any]) -> DataConfig:
        save_many(root, 40)
        return parse_data({"kind": "images", "root": str(root), "splits": splits, "transform": AS_IT_IS})

    def test_by_fraction(self, tmp_path: Path) -> None:
        config = self.config(
            tmp_path, train={"fraction": [0, 0.5]}, search={"fraction": [0.5, 0.75]}, test={"fraction": [0.75, 1]}
        )
        config.check_splits()
        assert sum(len(config.open(split)) for split in config.split_names()) == 40

    def test_by_list(self, tmp_path: Path) -> None:
        (tmp_path / "train.meta").write_text("img3.png\nimg12.png\n")
        config = self.config(tmp_path, train={"list_file": str(tmp_path / "train.meta")}, test={"fraction": [0.9, 1]})
        assert [config.open("train")[index]["name"] for index in range(2)] == ["img3", "img12"]

    def test_by_default_the_search_has_its_own_part_of_the_training_images(self, tmp_path: Path) -> None:
        save_many(tmp_path / "train", 60)
        save_many(tmp_path / "test", 3)
        config = parse_data({"kind": "images", "root": str(tmp_path), "transform": AS_IT_IS})
        config.check_splits()
        sizes = {split: len(config.open(split)) for split in config.split_names()}
        assert sizes["train"] + sizes["search"] == 60
        assert 0 < sizes["search"] < 20
        assert sizes["test"] == 3

    def test_overlap_is_refused(self, tmp_path: Path) -> None:
        config = self.config(tmp_path, train={"fraction": [0, 0.6]}, test={"fraction": [0.5, 1]})
        with pytest.raises(
            DataError, match=r"splits: got .* in both 'train' and 'test', expected no file in two splits"
        ):
            config.check_splits()
