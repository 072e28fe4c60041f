"""An importer: names with a prefix, which an older program gave the tensors of ResNet generators."""

from gancompress.networks.layout import Layout, register_layout
from gancompress.networks.registry import FAMILIES

PREFIX = "old/"
OWN = FAMILIES["resnet"].layouts[0]
OLD_NAMES = register_layout("old_names")(
    Layout(
        "an older program",
        lambda names: {name: name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)},
        OWN.infer,
        config_type=FAMILIES["resnet"].config_type,
    )
)
