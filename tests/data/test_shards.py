from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gancompress.data import parse_data
from gancompress.errors import ConfigError, DataError
from tests.data.pictures import WHOLE, as_tar, pixels, save

AS_IT_IS = {"resize": "none"}


class TestShards:
    def test_order_mixes_few_shards_at_a_time(self, tmp_path: Path) -> None:
        picture = save(tmp_path / "p.png", pixels(0))
        for shard in range(6):
            as_tar(tmp_path / f"{shard}.tar", {f"{shard}-{n}.png": picture for n in range(10)})
        options = {"shards": ["{0..5}.tar"], "roles": {"input": "png"}, "num_open_shards": 2}
        dataset = parse_data(
            {"kind": "webdataset", "root": str(tmp_path), "transform": AS_IT_IS, "splits": {"all": {}}, **options}
        ).open("all")
        orders = [dataset.order(seed=0, epoch=epoch) for epoch in range(3)]
        for order in orders:
            assert sorted(order) == list(range(60))
            assert [len(set(order[start : start + 20] // 10)) for start in (0, 20, 40)] == [2, 2, 2]
            assert len(set(order[:10] // 10)) == 2
        assert not np.array_equal(orders[0], orders[1])
        assert len({frozenset(order[:20] // 10) for order in orders}) > 1

    @pytest.mark.parametrize(
        ("shards", "roles", "message"),
        [
            (["{0..1}.tar"], {"input": "png"}, r"got no shard .*1.tar, expected a tar; correct the pattern"),
            (["x*.tar"], {"input": "png"}, r"got no shard .*x\*.tar"),
            (["0.tar"], {"input": "jpg"}, "0.tar: got sample '7' with png, expected jpg for the role 'input'; correct"),
            (["bad.tar"], {"input": "png"}, "bad.tar: got .*, expected an uncompressed tar; pack the shard again"),
        ],
    )
    def test_messages(self, tmp_path: Path, shards: list[str], roles: dict[str, str], message: str) -> None:
        as_tar(tmp_path / "0.tar", {"7.png": save(tmp_path / "p.png", pixels(0))})
        (tmp_path / "bad.tar").write_bytes(b"not a tar" * 100)
        config = {
            "kind": "webdataset",
            "root": str(tmp_path),
            "shards": shards,
            "roles": roles,
            "transform": AS_IT_IS,
            "splits": WHOLE,
        }
        with pytest.raises(DataError, match=message):
            parse_data(config).open("train")

    def test_labels_need_classes(self, tmp_path: Path) -> None:
        config = {"kind": "webdataset", "shards": ["0.tar"], "roles": {"label": "png"}, "transform": AS_IT_IS}
        with pytest.raises(ConfigError, match="classes: got none, expected the classes of the role 'label'"):
            parse_data(config)
