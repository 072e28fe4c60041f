from __future__ import annotations

import pytest

from gancompress.errors import CheckpointError, ConfigError, InputSizeError
from gancompress.networks.input_rule import InputRule


@pytest.mark.parametrize(
    ("rule", "size", "message"),
    [
        (InputRule(multiple=4, minimum=8), (30, 32), "expected both divisible by 4 and at least 8 px; .* to 32x32"),
        (InputRule(minimum=8), (4, 9), "expected both at least 8 px; resize it, for example to 8x9"),
        (InputRule(square=True), (4, 9), "expected both at least 1 px and square; resize it, for example to 9x9"),
        (InputRule(shapes=((1, 3, 16, None),)), (8, 9), "expected 16xany, the size of the file; .* to 16x9"),
    ],
)
def test_sizes_that_break_the_rule(rule: InputRule, size: tuple[int, int], message: str) -> None:
    with pytest.raises(InputSizeError, match=rf"net: got an image of {size[0]}x{size[1]} .*{message}"):
        rule.check_size("net", size)


def test_examples_and_crops() -> None:
    assert InputRule(channels=1, multiple=4).example_shapes("net", (8, 4)) == ((1, 1, 8, 4),)
    pair = InputRule(shapes=((None, 3, None, None), (None, 512)))
    assert pair.example_shapes("net", (8, 4)) == ((1, 3, 8, 4), (1, 512))
    assert [rule.crop_side(30) for rule in (InputRule(multiple=8), InputRule(minimum=64))] == [24, 64]
    with pytest.raises(
        ConfigError, match=r"got no shape for inputs of anyx80xany, expected one for each; .* by --input"
    ):
        InputRule(shapes=((None, 80, None),)).example_shapes("net", (8, 8))


@pytest.mark.parametrize("damage", [{"multiple": 0}, {"shapes": [[1, "x"]]}, {"surplus": 1}, {"shapes": 3}])
def test_descriptions(damage: dict[str, object]) -> None:
    rule = InputRule(3, 4, 8, True, ((None, 3, None, None),), 2)
    assert InputRule.from_description(rule.describe()) == rule
    with pytest.raises(CheckpointError, match="expected channels, multiple, minimum, square, shapes and scale"):
        InputRule.from_description(rule.describe() | damage)
