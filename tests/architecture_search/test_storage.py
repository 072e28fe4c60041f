"""What keeps a search: journals that were cut off, files that are none, and claims of processes elsewhere."""

from __future__ import annotations

import time

import pytest

from gancompress.architecture_search import SearchOptions, trials
from gancompress.architecture_search.storage import opened
from gancompress.architecture_search.trials import TrialLog
from gancompress.errors import ConfigError

from .problems import FID, SMALL, work

SETTINGS = {"method": "random", "num_candidates": 8, "population": 8}


@pytest.mark.parametrize("keep", [0.999, 0.9, 0.5, 0.0])
def test_a_journal_that_was_cut_off_anywhere_goes_on(tmp_path, keep):
    journal = tmp_path / "journal.log"
    whole = work(SETTINGS, journal)
    content = journal.read_bytes()
    journal.write_bytes(content[: int(keep * len(content))])
    assert work(SETTINGS, journal) == whole
    assert work(SETTINGS, journal) == whole


@pytest.mark.parametrize("content", ["method: random", '{"op": 1}\n', "x"])
def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"storage: .*recipe.yaml is no journal of a search; give another file"):
        work(SETTINGS, path)
    assert path.read_text() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuch://me:secret@host/studies", r"cannot open nosuch://me@host/studies: "),
        ("sqlite:////no/such/folder/studies.db", "unable to open database file"),
    ],
)
def test_a_database_that_cannot_be_reached_is_named_without_its_password(url, message):
    with pytest.raises(ConfigError, match=message) as caught:
        work(SETTINGS, url)
    assert "secret" not in str(caught.value)


def open_log(storage, stale_after_s: float) -> TrialLog:
    return TrialLog(storage, "search", SMALL, FID, SearchOptions(stale_after_s=stale_after_s), {})


def test_a_claim_from_elsewhere_holds_while_it_gives_signs_of_life(tmp_path, monkeypatch):
    with opened(tmp_path / "journal.log") as here, opened(tmp_path / "journal.log") as there:
        with monkeypatch.context() as patch:
            patch.setattr(trials, "_machine", lambda: "elsewhere")
            theirs = open_log(there, 0.4)
            claim = theirs.claim(0, SMALL.smallest, 1.0)
        assert claim is not None
        ours = open_log(here, 0.4)
        with theirs.evaluating(claim):
            time.sleep(0.7)
            assert ours.read().running == {0: SMALL.smallest}
        time.sleep(0.5)
        found = ours.read()
        assert (found.running, found.abandoned, found.next_index) == ({}, {0: SMALL.smallest}, 0)
        theirs.finish(claim, {"fid": 1.0}, {})  # too late: it has been given up
        assert ours.read().finished == []


def test_of_two_claims_on_a_plan_or_an_index_the_first_holds(tmp_path, monkeypatch):
    with opened(tmp_path / "journal.log") as here, opened(tmp_path / "journal.log") as there:
        ours, theirs = open_log(here, 60.0), open_log(there, 60.0)
        assert ours.claim(0, SMALL.smallest, 1.0) is not None
        with monkeypatch.context() as patch:
            patch.setattr(trials, "_machine", lambda: "elsewhere")
            assert theirs.claim(1, SMALL.smallest, 1.0) is None
            assert theirs.claim(0, SMALL.largest, 1.0) is None
            assert theirs.claim(1, SMALL.largest, 1.0) is not None
        assert ours.read().running == {0: SMALL.smallest, 1: SMALL.largest}
