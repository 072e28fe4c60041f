from __future__ import annotations

from typing import Any

import pytest

from gancompress.data import parse_data
from gancompress.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {},
            "kind: got nothing, expected a kind of data set; known: aligned, arrays, audio, cityscapes, coco_stuff",
        ),
        ({"kind": "pared"}, "kind: got 'pared', expected a kind of data set; did you mean 'paired'?"),
        (
            {"kind": "labels", "transform": {"lod_size": 4}, "splits": {"train": {"foldr": "a"}}, "max_broken": -1},
            "transform.lod_size: unknown option, did you mean 'load_size'?; "
            "max_broken: got -1, expected greater than or equal to 0; "
            "splits.train.foldr: unknown option, did you mean 'folder'?; "
            "classes: got nothing, expected a value",
        ),
        ({"kind": "images", "transform": {}}, "transform: load_size: got none, expected one with resize 'exact'"),
        ({"kind": "procedural", "image_size": 4}, "image_size: got 4, expected greater than or equal to 16"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_data(options)
    assert str(caught.value).startswith(message)
