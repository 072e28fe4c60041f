"""Mutations of recipes, command lines and run directories, drawn from a seed."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from gancompress.io.yaml_text import read_yaml
from gancompress.jobs.recipe_text import recipe_names, recipe_text

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 10**12, 10**40, 0.5, -0.0, 1e-300, 1e308, float("inf"), float("nan")),
    *(
        "",
        "x",
        "fid",
        "a:b",
        "os:system",
        "gancompress.jobs:recipe",
        "1e3",
        "\0",
        "\n",
        "\x1b[31m",
        "é" * 500,
        "x" * 5000,
    ),
    *([], [[]], [1, "x", None], {}, {"kind": None}, {"kind": []}, {"kind": {}}, {"kind": "x"}, {"kind": 1}),
    *({"": ""}, {1: 2}, {None: 1}, {"a": {"b": {"c": [1]}}}, date(2024, 2, 29), "2024-13-45", b"bytes", [0] * 3000),
)
"""Values that replace those of a recipe."""

TEXTS = (
    "a: &a [*a]",
    "x: &x {<<: *x}",
    "a: " + "[" * 2000 + "]" * 2000,
    "? {a: 1}\n: 2",
    "? [1]\n: 2",
    "a: 1\n---\nb: 2",
    "a: !!python/object/apply:os.system [true]",
    "a: !!binary x",
    "a: " + "9" * 6000,
    "a: 1:99:99",
    "\ta: 1",
    "a: '",
    "- " * 600,
    "name: \0",
    "\ufeffname: x",
    "extends: x",
    "extends: [1]",
    "extends: " + "x" * 5000,
    "extends: quickstart\nset: {steps: null}",
    "extends: quickstart\nset: {steps.0.x.y.z: 1, '': 2, ....: 3}",
    "extends: quickstart\nset: [1]",
    "".join(
        f"a{n}: &a{n} [{'*a' + str(n - 1) + ', ' if n else ''}{('*a' + str(n - 1) + ', ') * 9 if n else 'x'}]\n"
        for n in range(12)
    ),
)
"""Texts that replace a recipe."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def recipes(draw: random.Random) -> Iterator[str]:
    """Yield mutated recipes without end."""
    bases = [read_yaml(recipe_text(name)) for name in recipe_names()]
    while True:
        if draw.random() < 0.1:
            yield draw.choice(TEXTS)
            continue
        recipe = copy.deepcopy(draw.choice(bases))
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            _mutate(recipe, draw, bases)
        text = yaml.dump(recipe, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
        yield text if draw.random() > 0.05 else _scratched(text, draw)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _mutate(recipe: Any, draw: random.Random, bases: list[Any]) -> None:
    found = list(_places(recipe))
    if not found:
        return
    place, key = draw.choice(found)
    what = draw.randrange(6)
    if what == 0:
        del place[key]
    elif what == 1 and isinstance(place, dict):
        place[draw.choice([1, None, True, "x", "", "kind", "\x1b", "self", "options", "x" * 700])] = place.pop(key)
    elif what == 2:
        other, name = draw.choice(list(_places(draw.choice(bases))))
        place[key] = copy.deepcopy(other[name])
    elif what == 3 and isinstance(place, list):
        place.extend([copy.deepcopy(place[key])] * draw.choice((1, 300)))
    else:
        place[key] = copy.deepcopy(draw.choice(VALUES))


def _scratched(text: str, draw: random.Random) -> str:
    start = draw.randrange(len(text))
    return (
        text[:start]
        + draw.choice(["", "&a ", "*a", "{", "[", "\x07", "!!x ", ": ", "\t"])
        + text[start + draw.randrange(4) :]
    )


def command_lines(draw: random.Random, folder: Path) -> Iterator[list[str]]:
    """Yield command lines without end; every path in them lies in a folder with odd files."""
    files = odd_files(folder, draw)
    verbs = (
        "inspect",
        "prune",
        "export",
        "bench",
        "compress",
        "train",
        "evaluate",
        "data",
        "recipes",
        "runtimes",
        "latency",
    )
    options = (
        *(
            "--set",
            "--size",
            "--input",
            "--family",
            "--range",
            "--keep",
            "--macs",
            "--plan",
            "--out",
            "--format",
            "--json",
        ),
        *("--precision", "--labels", "--split", "--trust-code", "--dry-run", "--score", "--vary", "--ms", "--x", "-h"),
    )
    values = (
        *(
            "",
            "0",
            "-1",
            "1e400",
            "9" * 5000,
            "x",
            "x" * 3000,
            "\x1b[2J",
            "\n",
            "ngf=",
            "ngf=1",
            "=",
            "a=[",
            "16x16",
            "0x0",
        ),
        *(
            "999999999999x1",
            "nan",
            "-1..1",
            "..",
            "1_2_3",
            "{}",
            "[",
            "{kind: x}",
            "os:system",
            "a:b",
            "resnet",
            "onnx",
            "é",
        ),
    )
    while True:
        line = [draw.choice(verbs)]
        if draw.random() < 0.9:
            line.append(draw.choice((*files, "resnet_6blocks", "quickstart", "nowhere", "nowhere.pt#x", *values)))
        for _ in range(draw.randrange(4)):
            line.append(draw.choice(options))
            if draw.random() < 0.8:
                line.append(draw.choice((*files, *values)))
        yield line


def odd_files(folder: Path, draw: random.Random) -> list[str]:
    """Write files of every wrong kind; return their paths."""
    contents = {
        "empty.pt": b"",
        "nulls.pt": bytes(300),
        "text.safetensors": b"text",
        "noise.pth": draw.randbytes(500),
        "pickle.pt": b"\x80\x02]q\x00.",
        "page.onnx": b"<html>",
        "line\nbreak.pt": b"x",
        "escape\x1b[31m.pt": b"x",
        "job.yaml": b"name: x",
        "dir/config.json": b"[]",
        "dir/model.safetensors": b"",
        "run/job.yaml": b"{}",
        "run/report.json": b"[]",
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in ("", *contents, "dir", "run")]


def damage(run: Path, draw: random.Random) -> str:
    """Damage a file of a run directory; return what was done."""
    files = sorted(path for path in run.rglob("*") if path.is_file())
    file = draw.choice(files)
    content = file.read_bytes()
    place = draw.randrange(max(1, len(content)))
    ways = {
        "emptied": b"",
        "cut off": content[:place],
        "one bit flipped": content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]
        if content
        else b"",
        "zeroed": bytes(len(content)),
        "a list": b"[1, 2]",
        "noise": draw.randbytes(64),
        "another file": draw.choice(files).read_bytes(),
        "twice": content + content,
    }
    way = draw.choice((*ways, "deleted", "a directory"))
    if way in ways:
        file.write_bytes(ways[way])
    else:
        file.unlink()
        if way == "a directory":
            file.mkdir()
    return f"{file.relative_to(run)} {way}"
