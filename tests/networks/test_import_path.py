from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from gancompress.errors import ConfigError
from gancompress.networks.registry import build

NETS = """
from torch import nn
class Outer:
    class Inner(nn.Module):
        def __init__(self, width, depth=2):
            super().__init__()
            if width < 1: raise ValueError("width must be positive")
            self.conv = nn.Conv2d(3, width, 1)
def factory(): return Outer.Inner(3)
not_a_module = 3
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_nets.py").write_text(NETS)
    (tmp_path / "broken_nets.py").write_text("import surely_missing_package\n")
    (tmp_path / "failing_nets.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("nets")
def test_nested_class() -> None:
    network = build("some_nets:Outer.Inner", {"width": 5})
    assert isinstance(network.get_submodule("conv"), nn.Conv2d)


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("some_nets:", {}, "got an incomplete import path, expected 'package.module:name'"),
        ("no_such_nets:Net", {}, "found no module 'no_such_nets', .* PYTHONPATH"),
        ("some_nets.sub:Net", {}, "some_nets.sub failed|found no module 'some_nets.sub'"),
        ("broken_nets:Net", {}, "importing broken_nets failed: .*surely_missing_package"),
        ("failing_nets:Net", {}, "importing failing_nets failed: ZeroDivisionError"),
        ("some_nets:Outr", {}, "some_nets has no 'Outr', did you mean 'Outer'"),
        ("some_nets:factory", {}, "got a function, expected a subclass of torch.nn.Module"),
        ("some_nets:not_a_module", {}, "got a int, expected a subclass"),
        ("os:system", {"command": "exit 3"}, "expected a subclass of torch.nn.Module"),
        ("some_nets:Outer.Inner", {}, r"'width'; expected its arguments \(width, depth\), such as --set width"),
        (
            "some_nets:Outer.Inner",
            {"width": 2, "wdth": 3},
            r"keyword argument 'wdth'; expected its arguments \(width, d",
        ),
        ("some_nets:Outer.Inner", {"width": 0}, "constructor raised ValueError: width must be positive"),
    ],
)
def test_errors(path: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(path, arguments)
