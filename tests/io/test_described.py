"""JSON files that state their format and its version."""

from __future__ import annotations

import json

import pytest

from gancompress.errors import CheckpointError
from gancompress.io import DescribedFile

KIND = DescribedFile("a-plan", "save_plan", versions=(1, 2), types={"widths": dict, "name": (str, type(None))})
FIELDS = {"format": "a-plan", "version": 2, "widths": {"conv": 3}, "name": None}


def test_read_back(tmp_path):
    KIND.write(tmp_path / "plan.json", {"widths": {"conv": 3}, "name": None})
    assert KIND.read(tmp_path / "plan.json") == FIELDS
    KIND.write(tmp_path / "plan.json", {"widths": {}, "name": "old"}, version=1)
    assert KIND.read(tmp_path / "plan.json")["version"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"plan.json: got invalid JSON \(.*\), expected a file that save_plan wrote"),
        ("[]", 'plan.json: found no \'"format": "a-plan"\', expected a file that save_plan wrote'),
        ({"format": "other"}, 'found no .*"format": "a-plan"'),
        ({"version": 3}, "plan.json: got format version 3, expected 1 or 2; update gancompress"),
        ({"widths": 3, "name": 1}, "'widths', 'name' missing or of a wrong type, expected a file that save_plan wrote"),
    ],
)
def test_refused(content, message, tmp_path):
    text = content if isinstance(content, str) else json.dumps({**FIELDS, **content})
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        KIND.read(tmp_path / "plan.json")
