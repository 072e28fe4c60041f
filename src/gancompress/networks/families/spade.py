"""The SPADE (GauGAN) generator, its separable variant, and every narrower network of both."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.channels.slots import Slot
from gancompress.errors import PlanError
from gancompress.networks.config import Count, FamilyConfig
from gancompress.networks.family import Family
from gancompress.networks.layers import init_weights, named_layers, norm_layer, spectrally_normed
from gancompress.networks.layout import Layout, dimension, own_names, tensor_names
from gancompress.networks.spectral_norm import fold_state
from gancompress.networks.state import Shapes

FreeNormKind = Literal["instance", "batch", "sync_batch"]
InnerNormKind = Literal["none", "instance", "batch"]
Upsampling = Literal["normal", "more", "most"]

STREAM_BLOCKS = ("head_0", "G_middle_0", "G_middle_1")
"""Blocks that keep the width of the residual stream."""

_NUM_DOUBLINGS = {"normal": 5, "more": 6, "most": 7}


class SpadeConfig(FamilyConfig):
    """Configuration of a `SpadeGenerator`.

    Channel groups: ``fc`` (the residual stream, which ``conv_1`` of the blocks head_0, G_middle_0 and G_middle_1
    shares), ``{block}.conv_0`` (their middles; of up_0 to up_3 too), ``up_{i}.conv_1`` (shared by the shortcut
    ``up_{i}.conv_s``), ``{block}.norm_{0,1,s}.shared.conv`` (the hidden features of a norm). The scales and shifts of a
    norm are as wide as its input.

    Attributes:
        in_channels: Channels of the one-hot label map: labels, "don't care" if there is one, and the map of instance
            edges if it is used; 36 for Cityscapes, 184 for COCO-Stuff.
        out_channels: Channels of the output image.
        ngf: Base width: stream 16 ngf, up blocks 8 ngf, 4 ngf, 2 ngf, ngf; 2 ngf inside every norm.
        upsampling: Number of times that the start map is doubled: normal 5, more 6 (as for Cityscapes), most 7, with a
            block up_4 of ngf / 2 channels.
        separable: Whether the convolutions for scales and shifts are separable.
        norm: Kind of the norms without parameters: instance, batch, or batch over all processes. The last needs GPUs if
            there is more than one process, and equals batch if there is one.
        inner_norm: Norm between the two halves of a separable convolution.
        spectral_norm: Whether the convolutions of the blocks keep spectral norm, as in the training of a teacher. A
            network to compress has it folded (`gancompress.networks.spectral_norm`).
    """

    reference_group: ClassVar[str] = "fc"
    loadable_widths: ClassVar[tuple[str, ...]] = ("ngf",)
    written_forms: ClassVar[tuple[str, ...]] = ("slots8",)

    in_channels: Count = 36
    out_channels: Count = 3
    ngf: Count = 64
    upsampling: Upsampling = "more"
    separable: bool = False
    norm: FreeNormKind = "batch"
    inner_norm: InnerNormKind = "instance"
    spectral_norm: bool = False

    @property
    def up_blocks(self) -> tuple[str, ...]:
        """Blocks that change the width, each after a doubling of the size."""
        return tuple(f"up_{i}" for i in range(5 if self.upsampling == "most" else 4))

    @property
    def blocks(self) -> tuple[str, ...]:
        """All residual blocks, in the order of the forward pass."""
        return STREAM_BLOCKS + self.up_blocks

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Taps: two stream blocks and one up block. Source: Li et al., GAN Compression, CVPR 2020, as released."""
        return ("head_0", "G_middle_1", "up_1")

    def input_contract(self) -> dict[str, Any]:
        """Describe the inputs, for the file next to the weights."""
        return {**super().input_contract(), "range": [0, 1], "encoding": "one-hot labels, then instance edges if used"}

    def slots(self, form: str) -> tuple[Slot, ...]:
        """Return the channel groups of each number of a plan string: fc, then the seven blocks.

        Raises:
            PlanError: The form is not ``slots8``, or the network has eight blocks.
        """
        if form != "slots8":
            return super().slots(form)
        if self.upsampling == "most":
            raise PlanError("plan: got a SPADE generator with eight blocks, expected seven; give widths by group name")
        units = self.model_copy(update={"ngf": 1}).default_widths()
        groups = {name: [group for group in units if group.split(".")[0] == name] for name in ("fc", *self.blocks)}
        return tuple(Slot(name, tuple(own), tuple(units[group] for group in own)) for name, own in groups.items())

    def string_forms(self, *, legacy: bool) -> dict[int, str]:
        """Return ``slots8`` for eight numbers."""
        return {} if legacy else {8: "slots8"}

    def default_widths(self) -> dict[str, int]:
        """Return the widths: 16 ngf in the stream, halved by every up block, 2 ngf inside the norms."""
        widths = {"fc": 16 * self.ngf}
        for block in STREAM_BLOCKS:
            widths |= {
                f"{block}.norm_0.shared.conv": 2 * self.ngf,
                f"{block}.conv_0": 16 * self.ngf,
                f"{block}.norm_1.shared.conv": 2 * self.ngf,
            }
        for i, block in enumerate(self.up_blocks):
            width = max(1, 8 * self.ngf // 2**i)
            widths |= {
                f"{block}.norm_0.shared.conv": 2 * self.ngf,
                f"{block}.conv_0": width,
                f"{block}.norm_1.shared.conv": 2 * self.ngf,
                f"{block}.conv_1": width,
                f"{block}.norm_s.shared.conv": 2 * self.ngf,
            }
        return widths

    @property
    def size_multiple(self) -> int:
        """Divisor of the image size: one pixel of the start map."""
        return 2 ** _NUM_DOUBLINGS[self.upsampling]

    @property
    def min_size(self) -> int:
        """Smallest image size: the norms need more than one pixel in the start map to train on a single image."""
        return 2 * self.size_multiple


class Spade(nn.Module):
    """Spatially adaptive norm: ``norm(x) * (1 + gamma(labels)) + beta(labels)``, with a norm without parameters.

    Source: Park et al., SPADE, CVPR 2019, eq. 1. Separable: Li et al., GAN Compression, CVPR 2020, as released.
    """

    def __init__(self, num_channels: int, hidden: int, config: SpadeConfig) -> None:
        """Create a norm of [b, num_channels, h, w]; scale and shift are computed through ``hidden`` channels."""
        super().__init__()
        self.norm = _parameter_free_norm(config.norm, num_channels)
        self.shared = named_layers(conv=nn.Conv2d(config.in_channels, hidden, 3, padding=1), act=nn.ReLU())
        self.gamma = _modulation(hidden, num_channels, config)
        self.beta = _modulation(hidden, num_channels, config)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Map features [b, num_channels, h, w] and a label map [b, in_channels, h, w] to features of that shape."""
        hidden = self.shared(labels)
        return self.norm(features) * (1 + self.gamma(hidden)) + self.beta(hidden)


class SpadeBlock(nn.Module):
    """``shortcut(x) + conv_1(act(norm_1(conv_0(act(norm_0(x))))))`` with LeakyReLU(0.2).

    The shortcut is x, or ``conv_s(norm_s(x))`` if the block changes the width. No activation after the sum.

    Source: Park et al., SPADE, CVPR 2019, section 3 (SPADE residual block).
    """

    def __init__(self, name: str, incoming: int, outgoing: int, config: SpadeConfig) -> None:
        """Build the block of this name in a `SpadeGenerator`, from ``incoming`` channels to ``outgoing``."""
        super().__init__()
        width = config.group_widths()
        middle = width[f"{name}.conv_0"]

        def spade(norm: str, num_channels: int) -> Spade:
            return Spade(num_channels, width[f"{name}.{norm}.shared.conv"], config)

        self.norm_0 = spade("norm_0", incoming)
        self.conv_0 = nn.Conv2d(incoming, middle, 3, padding=1)
        self.norm_1 = spade("norm_1", middle)
        self.conv_1 = nn.Conv2d(middle, outgoing, 3, padding=1)
        self.act = nn.LeakyReLU(0.2)
        self.learns_shortcut = name not in STREAM_BLOCKS
        if self.learns_shortcut:
            self.norm_s = spade("norm_s", incoming)
            self.conv_s = nn.Conv2d(incoming, outgoing, 1, bias=False)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Map features [b, incoming, h, w] and a label map of any size to features [b, outgoing, h, w]."""
        labels = _resized(labels, features.shape[2], features.shape[3])
        inner = self.conv_0(self.act(self.norm_0(features, labels)))
        inner = self.conv_1(self.act(self.norm_1(inner, labels)))
        return inner + (self.conv_s(self.norm_s(features, labels)) if self.learns_shortcut else features)


class SpadeGenerator(nn.Module):
    """A convolution of the smallest label map, then residual blocks with SPADE norms, with upsampling between them.

    Takes a one-hot label map [b, in_channels, h, w] of 0 and 1; height and width divisible by ``size_multiple``, in
    any proportion. The start map is the label map downsampled by that factor (4x8 for Cityscapes at 256x512), and all
    resizing is to the nearest pixel. The image is [-1, 1], RGB, NCHW, of the label map's size.
    `gancompress.networks.label_input` takes integer labels instead.

    If spectral norm is kept, it is a parametrization: the state dict holds the weight W before it
    (``parametrizations.weight.original`` of a convolution) and the estimate u, v of its singular vectors
    (``parametrizations.weight.0._u`` and ``_v``), and the option ``spectral_norm`` rebuilds it, so that a saved, loaded
    or copied network continues training in the same way. In evaluation the weight is W / (u W v), the result of
    folding. Fold before narrowing: a narrow network with spectral norm is divided by its own norm, not that of the wide
    one.

    Source: Park et al., SPADE, CVPR 2019, section 3 and appendix A.
    """

    def __init__(self, config: SpadeConfig) -> None:
        """Build the network at the widths of the config, with fresh weights."""
        super().__init__()
        width = config.group_widths()
        self.size_multiple = config.size_multiple
        self.doubles_in_the_middle = config.upsampling != "normal"
        self.up_blocks = config.up_blocks
        stream = width["fc"]
        self.fc = nn.Conv2d(config.in_channels, stream, 3, padding=1)
        self.head_0 = SpadeBlock("head_0", stream, stream, config)
        self.G_middle_0 = SpadeBlock("G_middle_0", stream, stream, config)
        self.G_middle_1 = SpadeBlock("G_middle_1", stream, stream, config)
        incoming = stream
        for block in config.up_blocks:
            outgoing = width[f"{block}.conv_1"]
            self.add_module(block, SpadeBlock(block, incoming, outgoing, config))
            incoming = outgoing
        self.act = nn.LeakyReLU(0.2)
        self.conv_img = nn.Conv2d(incoming, config.out_channels, 3, padding=1)
        init_weights(self)
        if config.spectral_norm:
            for block in self.children():
                if isinstance(block, SpadeBlock):
                    _add_spectral_norm(block)

    def forward(self, labels: Tensor) -> Tensor:
        """Map a one-hot label map [b, in_channels, h, w] to an image [b, out_channels, h, w] in [-1, 1]."""
        height, width = labels.shape[2:]
        features = self.fc(_resized(labels, height // self.size_multiple, width // self.size_multiple))
        features = _doubled(self.head_0(features, labels))
        features = self.G_middle_0(features, labels)
        if self.doubles_in_the_middle:
            features = _doubled(features)
        features = self.G_middle_1(features, labels)
        for block in self.up_blocks:
            features = self.get_submodule(block)(_doubled(features), labels)
        return self.conv_img(self.act(features)).tanh()


def _parameter_free_norm(kind: FreeNormKind, num_channels: int) -> nn.Module:
    kinds = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d, "sync_batch": nn.SyncBatchNorm}
    return kinds[kind](num_channels, affine=False)


def _modulation(hidden: int, num_channels: int, config: SpadeConfig) -> nn.Module:
    """Return the layers from the hidden map to a scale or a shift."""
    if not config.separable:
        return nn.Conv2d(hidden, num_channels, 3, padding=1)
    inner = {} if config.inner_norm == "none" else {"norm": norm_layer(config.inner_norm, hidden)}
    depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
    return named_layers(depthwise=depthwise, **inner, pointwise=nn.Conv2d(hidden, num_channels, 1))


def _add_spectral_norm(block: SpadeBlock) -> None:
    for conv in block.children():
        if isinstance(conv, nn.Conv2d):
            spectrally_normed(conv)


def _resized(labels: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(labels, size=(height, width), mode="nearest")


def _doubled(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2, mode="nearest")


_NORM = re.compile(r"(\w+\.norm_[01s])\.mlp_shared\.0\.weight")
_STATISTIC = re.compile(r"(\w+\.norm_[01s])\.param_free_norm\.running_(?:mean|var)")
_CITYSCAPES_CHANNELS = 36


def _infer(shapes: Shapes) -> SpadeConfig:
    in_channels = dimension(shapes, "fc.weight", 1, default=_CITYSCAPES_CHANNELS)
    usual = "more" if in_channels == _CITYSCAPES_CHANNELS else "normal"
    return SpadeConfig(
        in_channels=in_channels,
        out_channels=dimension(shapes, "conv_img.weight", 0, default=3),
        upsampling="most" if "up_4.conv_0.weight" in shapes else usual,
        separable=any(".depthwise." in name for name in shapes),
        norm="batch" if "head_0.norm_0.norm.running_mean" in shapes else "instance",
        inner_norm="batch" if "head_0.norm_0.gamma.norm.weight" in shapes else "instance",
    )


def _published_names(names: Collection[str]) -> dict[str, str]:
    """Return the table of names of the published networks.

    They are ``fc``, ``conv_img``, and blocks whose norms hold ``param_free_norm``, ``mlp_shared``, ``mlp_gamma``,
    ``mlp_beta``.
    """
    norms = [found[1] for name in names if (found := _NORM.fullmatch(name))]
    if not norms:
        return {}
    modules = {"fc": "fc", "conv_img": "conv_img"}
    for block in dict.fromkeys(norm.partition(".")[0] for norm in norms):
        modules |= {f"{block}.{conv}": f"{block}.{conv}" for conv in ("conv_0", "conv_1", "conv_s")}
    for norm in norms:
        modules |= {f"{norm}.param_free_norm": f"{norm}.norm", f"{norm}.mlp_shared.0": f"{norm}.shared.conv"}
        for made in ("gamma", "beta"):
            parts = {"": "", ".conv.0": ".depthwise", ".conv.1": ".norm", ".conv.2": ".pointwise"}
            modules |= {f"{norm}.mlp_{made}{theirs}": f"{norm}.{made}{ours}" for theirs, ours in parts.items()}
    return tensor_names(modules)


def _prepare_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold spectral norm, and cut running statistics to the present channels.

    A sub-network's file has the running statistics of the supernet, whose leading channels are those of the
    sub-network.
    """
    folded = fold_state(tensors)
    for name, tensor in folded.items():
        if found := _STATISTIC.fullmatch(name):
            scales = (folded.get(f"{found[1]}.mlp_gamma{part}.weight") for part in ("", ".conv.2"))
            folded[name] = next((tensor[: scale.shape[0]] for scale in scales if scale is not None), tensor)
    return folded


_LAYOUTS = (
    Layout("gancompress", own_names, _infer, fold_state),
    Layout("SPADE or GAN Compression", _published_names, _infer, _prepare_published),
)
"""NVlabs' SPADE and GAN Compression (full, mobile, sub, super).

Spectral norm is folded into the weights. A file does not determine whether the start map is doubled 5 or 6 times:
Cityscapes, recognised by its 36 input channels, gets 6 (``more``), everything else 5 (``normal``). The tensors are the
same, so the option ``upsampling`` can be set to the other value afterwards.
"""

FAMILIES = (
    Family("spade", SpadeGenerator, SpadeConfig, {"separable": False}, layouts=_LAYOUTS),
    Family("mobile_spade", SpadeGenerator, SpadeConfig, {"separable": True}, layouts=_LAYOUTS),
)
