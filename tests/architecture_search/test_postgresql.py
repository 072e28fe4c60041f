"""Searches that processes share through PostgreSQL: of plans, some processes killed, and of a job."""

from __future__ import annotations

import json
import random
from urllib.parse import quote

import pytest

from gancompress.errors import ConfigError
from gancompress.jobs.pipeline import Pipeline
from gancompress.jobs.recipe import load_job
from gancompress.jobs.steps.candidates import SplitProxy
from gancompress.networks.generator import Generator
from gancompress.networks.registry import build
from tests.cli.verbs import run

from . import postgresql
from .problems import PROCESSES, evaluated, work, work_together

pytestmark = pytest.mark.skipif(postgresql.missing() is not None, reason=str(postgresql.missing()))


@pytest.fixture(scope="module")
def url():
    with postgresql.server() as url:
        yield url


def test_eight_processes_half_of_them_killed_find_what_one_finds(tmp_path, url):
    settings = {"method": "evolutionary", "population": 10, "num_candidates": 40}
    alone = json.loads(work(settings, None).to_json())
    draw = random.Random(0)
    killed = {number: draw.randrange(2) for number in draw.sample(range(8), 4)}
    together = PROCESSES.Barrier(8)
    processes = []
    for i in range(8):
        names = (url, tmp_path / f"log{i}", tmp_path / f"result{i}")
        processes.append(PROCESSES.Process(target=work_together, args=(settings, *names, together, killed.get(i, -1))))
        processes[-1].start()
    for process in processes:
        process.join(60)
    codes = [process.exitcode for process in processes]
    assert set(codes) == {-9, 0}  # on a busy machine some get no candidate to be killed at
    done = [plan for i in range(8) for plan in evaluated(tmp_path / f"log{i}")]
    assert sorted(done) == sorted(candidate["plan"] for candidate in alone["candidates"])  # none lost, none doubled
    assert all(json.loads((tmp_path / f"result{i}").read_text()) == alone for i in range(8) if codes[i] == 0)


def test_a_worker_does_the_candidates_of_a_job_and_no_file_holds_the_password(tmp_path, url, monkeypatch):
    config = {"ngf": 8, "num_blocks": 1}
    Generator.from_module(build("resnet", config), "resnet", config).save(tmp_path / "given")
    search = {"kind": "search", "space": {"max_choices": 3, "multiple": 2}, "calibration_batches": 1}
    recipe = {
        "name": "shared",
        "task": "paired",
        "data": {"kind": "procedural", "image_size": 16, "num_images": {"train": 4, "search": 3, "test": 2}},
        "teacher": {"checkpoint": str(tmp_path / "given")},
        "budget": {"reduction": 2},
        "steps": [{**search, "storage": url, "options": {"method": "random", "num_candidates": 4}}],
        "exports": [],
    }
    (tmp_path / "shared.yaml").write_text(json.dumps(recipe))
    job, directory, printed = load_job(str(tmp_path / "shared.yaml")), tmp_path / "run", []
    Pipeline(job, directory, printed.append).teacher()
    with pytest.raises(
        ConfigError, match=r"storage: cannot open postgresql://me@/postgres\?host=.*password"
    ) as refused:
        run("search-worker", directory)
    printed += [str(refused.value), run("search-worker", directory, "--storage", url)]
    assert "the search is done: 4 candidates" in printed[-1]
    monkeypatch.setattr(SplitProxy, "of", None)  # would fail if a candidate were evaluated again
    outcome = Pipeline(job, directory, printed.append).run()
    assert outcome is not None
    assert len(outcome.records[-1]["search"]["candidates"]) == 4
    contents = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    secrets = [postgresql.PASSWORD, quote(postgresql.PASSWORD, safe="")]
    assert len(contents) > 5
    assert not any(secret.encode() in content for secret in secrets for content in [*contents, repr(printed).encode()])
