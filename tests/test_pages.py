"""Pages are in the navigation, links lead somewhere, and the reference names every public name."""

from __future__ import annotations

import inspect
import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

import gancompress
from gancompress.cli import app
from gancompress.jobs.recipe import Job
from gancompress.jobs.steps import STEPS
from gancompress.losses.term import TERMS
from gancompress.networks.registry import FAMILIES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = sorted(DOCS.rglob("*.md"))
PAGES = [*SITE, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "AGENTS.md"))]
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def leaves(nav: object) -> list[str]:
    """The files of a navigation, in its order."""
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in leaves(each)]


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The links of a page to files or headings that do not exist, and links of the site that leave it."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        inside = page not in SITE or target.is_relative_to(DOCS)
        if not inside or not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def test_every_page_is_in_the_navigation_once():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(leaves(nav)) == sorted(str(page.relative_to(DOCS)) for page in SITE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    assert not broken(page)


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Head\n[a](#head) [b](#tail) [c](none.md) [d](page.md#head) [e](https://example.org)\n")
    assert broken(page) == ["#tail", "none.md"]


def test_the_reference_names_every_public_name():
    named = re.findall(
        r"^::: gancompress\.(?:deploy\.load\.)?(\w+)$", (DOCS / "reference" / "python.md").read_text(), re.MULTILINE
    )
    assert sorted(named) == sorted({*gancompress.__all__} - {"losses"})


@pytest.fixture(scope="module")
def reference():
    """The script that makes pages of the site from the code."""
    return runpy.run_path(str(ROOT / "scripts" / "site_reference.py"))


def test_every_option_of_a_recipe_or_family_is_described(reference):
    classes = [*reference["option_classes"](Job), *{family.config_type for family in FAMILIES.values()}]
    own = [options for options in classes if options.__module__.startswith("gancompress.")]
    assert len(own) > 60
    lacking = [
        f"{options.__name__}.{name}"
        for options in own
        for name in options.model_fields
        if not reference["described"](options).get(name)
    ]
    assert not lacking


def test_every_option_of_the_command_line_is_described(reference):
    verbs = [registered.callback for registered in app.registered_commands]
    options = {verb.__name__: reference["verb_options"](verb) for verb in verbs}
    assert "--smaller" in options["compress"]
    lacking = [
        f"{verb} {spelled}"
        for verb, given in options.items()
        for spelled, (_, _, info) in given.items()
        if not info.help
    ]
    assert not lacking
    assert all(inspect.getdoc(verb) for verb in verbs)


def test_generated_pages_are_whole(reference):
    markers = re.findall(r"<!-- generated: (\w+) -->", "".join(page.read_text() for page in SITE))
    assert sorted(markers) == sorted(reference["GENERATED"])
    pages = {name: reference["on_page_markdown"](f"<!-- generated: {name} -->") for name in markers}
    for table in re.findall(r"(?:^\|.*\n)+", "\n".join(pages.values()), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table
    assert all(f"## {verb}\n" in pages["commands"] for verb in get_command(app).commands)
    kinds = [
        kind
        for registry in (STEPS, TERMS)
        for kind, value in registry.items()
        if value.__module__.startswith("gancompress.")
    ]
    assert all(f"### {kind} " in pages["recipe_options"] for kind in kinds)


def commands(page: Path) -> list[str]:
    """The commands of a page's code blocks, without those that hold variables of a shell or are cut short."""
    blocks = re.findall(
        r"^```(\w*)\n(.*?)^```|((?:^ {4}\S.*\n)+)", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = "".join(fenced + indented for language, fenced, indented in blocks if not language)
    lines = lines.replace("\\\n", " ").splitlines()
    found = [line.strip().removeprefix("$ ").removesuffix(" &") for line in lines]
    return [line for line in found if line.startswith("gancompress ") and "$" not in line and "..." not in line]


def commands_in_prose(page: Path) -> list[str]:
    """The commands between backticks, in paragraphs and tables."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8")).replace("\n", " ")
    return [each for each in re.findall(r"`(gancompress [^`]+)`", prose) if "..." not in each]


def test_every_command_of_the_pages_has_a_verb_and_options_that_exist():
    verbs, seen = get_command(app).commands, 0
    for page in PAGES:
        for command in commands(page):
            _, verb, *arguments = shlex.split(command, comments=True)
            try:
                verbs[verb].make_context(verb, arguments)
            except Exception as error:
                pytest.fail(f"{page.relative_to(ROOT)}: {command}: {error!r}")
            seen += 1
    assert seen > 70


def test_options_of_commands_in_prose_exist():
    """They may lack what the reader fills in."""
    command_line = get_command(app)
    options = {
        name: {spelled for parameter in verb.params for spelled in (*parameter.opts, *parameter.secondary_opts)}
        for name, verb in {"": command_line, **command_line.commands}.items()
    }
    for page in PAGES:
        for command in commands_in_prose(page):
            _, *words = shlex.split(command)
            verb = "" if words[0].startswith("--") else words.pop(0)
            if verb != "VERB":
                unknown = {word for word in words if word.startswith("--")} - options[verb]
                assert not unknown, f"{page.relative_to(ROOT)}: {command}"


def test_the_contribution_guide_points_to_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("worked example in")[2].partition("\n\n")[0]
    examples = re.findall(r"`(\w+\.py)`", table)
    assert len(examples) >= 16
    assert all((ROOT / "tests" / "outside" / name).is_file() for name in examples)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_prose_stands_in_short_lines(page):
    prose = re.sub(r"\]\([^)]*\)", "]", FENCE.sub("", page.read_text(encoding="utf-8")))
    long = [line for line in prose.splitlines() if len(line) > 120 and not line.startswith(("|", "    "))]
    assert not long, "break these lines: one sentence on a line, of at most 120 columns without the targets of links"
