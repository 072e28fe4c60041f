"""A family in one file, as another package would add it: configuration, plan strings, taps, layouts, network."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from gancompress.channels.slots import Slot
from gancompress.networks.config import Count, FamilyConfig
from gancompress.networks.image_format import ImageFormat, Images
from gancompress.networks.layout import Layout, dimension, own_names, tensor_names
from gancompress.networks.registry import register_family


class TinyNetConfig(FamilyConfig):
    """Channel groups: ``enter``, ``middle``."""

    base_width: ClassVar[str] = "width"
    reference_group: ClassVar[str] = "enter"
    written_forms: ClassVar[tuple[str, ...]] = ("pair",)

    width: Count = 8

    def default_widths(self) -> dict[str, int]:
        """The same everywhere."""
        return {"enter": self.width, "middle": self.width}

    @property
    def size_multiple(self) -> int:
        """One stride-2 stage."""
        return 2

    @property
    def min_size(self) -> int:
        """One pixel inside."""
        return 2

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """The only stage."""
        return ("middle",)

    def slots(self, form: str) -> tuple[Slot, ...]:
        """Two numbers."""
        return (
            tuple(Slot(group, (group,)) for group in self.default_widths()) if form == "pair" else super().slots(form)
        )

    def string_forms(self, *, legacy: bool) -> dict[int, str]:
        """Two numbers."""
        return {} if legacy else {2: "pair"}


LAYOUTS = (
    Layout("tinynet", own_names, lambda shapes: TinyNetConfig(in_channels=dimension(shapes, "enter.weight", 1, 3))),
    Layout(
        "the first release of tinynet",
        lambda names: tensor_names({"a": "enter", "b": "middle", "c": "leave"}) if "a.weight" in names else {},
        lambda shapes: TinyNetConfig(in_channels=dimension(shapes, "enter.weight", 1, 3)),
    ),
)


@register_family(
    "tinynet", TinyNetConfig, layouts=LAYOUTS, images=Images(ImageFormat((0.0, 1.0)), ImageFormat((0.0, 1.0)))
)
class TinyNet(nn.Module):
    """Down, up, and a sigmoid: images in [0, 1]."""

    def __init__(self, config: TinyNetConfig) -> None:
        super().__init__()
        width = config.group_widths()
        self.enter = nn.Conv2d(config.in_channels, width["enter"], 4, stride=2, padding=1)
        self.middle = nn.Conv2d(width["enter"], width["middle"], 3, padding=1)
        self.leave = nn.ConvTranspose2d(width["middle"], 3, 4, stride=2, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.leave(self.middle(self.enter(image).relu()).relu()).sigmoid()
