"""A folder is there whole, the one before it, or none."""

from __future__ import annotations

import errno
import os

import pytest

from gancompress.deploy.files import draft_folder_of
from gancompress.errors import ExportError


def test_a_folder_takes_the_place_of_another(tmp_path):
    path = tmp_path / "new" / "net.mlpackage"
    for name in ("first", "second"):
        with draft_folder_of(path, "export") as draft:
            draft.mkdir()
            (draft / name).touch()
        assert [each.name for each in path.iterdir()] == [name]
    assert list(path.parent.iterdir()) == [path]


def begin_and_fail(draft):
    draft.mkdir()
    raise ZeroDivisionError


def test_what_goes_wrong_inside_leaves_the_folder_that_was_there(tmp_path):
    path = tmp_path / "net.mlpackage"
    (path / "before").mkdir(parents=True)
    with pytest.raises(ZeroDivisionError), draft_folder_of(path, "export") as draft:
        begin_and_fail(draft)
    assert list(tmp_path.rglob("*")) == [path, path / "before"]


def test_a_folder_that_cannot_come_gives_the_place_back(tmp_path, monkeypatch):
    path = tmp_path / "net.mlpackage"
    (path / "before").mkdir(parents=True)
    rename, renamed = os.rename, []

    def second_fails(source, target):
        renamed.append(target)
        if len(renamed) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with (
        pytest.raises(ExportError, match=r"^export: cannot write .*net.mlpackage: No space left on device; make room"),
        draft_folder_of(path, "export") as draft,
    ):
        draft.mkdir()
    assert list(tmp_path.rglob("*")) == [path, path / "before"]
