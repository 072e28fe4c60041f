"""Description of the package for an index such as PyPI: the README without what only works in the repository.

Everything else stands in ``pyproject.toml``.
"""

import re
from pathlib import Path

from setuptools import setup

README = Path(__file__).with_name("README.md")


def description(readme: str) -> str:
    """Return a README for a page outside of the repository: relative links become text, pictures are left out."""
    links = re.compile(r"(!?)\[([^\]]*)\]\((?!https:)[^)]*\)")
    text = links.sub(lambda found: "" if found[1] else found[2], re.sub(r"<!--.*?-->\n", "", readme))
    return re.sub(r"\n{3,}", "\n\n", text)


if __name__ == "__main__":
    text = description(README.read_text(encoding="utf-8"))
    setup(long_description=text, long_description_content_type="text/markdown")
