"""Pages are in the navigation, links lead somewhere, and the reference names every public name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import gancompress

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


def test_the_contribution_guide_points_to_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("worked example in")[2].partition("\n\n")[0]
    examples = re.findall(r"`(\w+\.py)`", table)
    assert len(examples) >= 16
    assert all((ROOT / "tests" / "outside" / name).is_file() for name in examples)
