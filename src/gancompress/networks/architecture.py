"""Architectures: networks without weights, with their image formats, sizes, taps and contracts.

`Architecture` holds the answers for a network without a family: a class given by import path, or a module.
`gancompress.networks.family.FamilyArchitecture` knows more.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from gancompress.channels import ChannelGraph, ChannelPlan, Slot, leave_out, lies_in, outermost
from gancompress.channels.skeleton import copy_module
from gancompress.channels.subnetwork import resized_attributes
from gancompress.errors import CheckpointError, ConfigError, PlanError
from gancompress.networks.branches import FoldedBlock, replace_blocks
from gancompress.networks.example_values import example_values
from gancompress.networks.image_format import Images, give_boundary
from gancompress.networks.input_rule import InputRule
from gancompress.networks.resized import Resized, resize
from gancompress.networks.state import Mismatch, assign, shapes_of
from gancompress.networks.taps import automatic_taps


@dataclass(frozen=True, eq=False)
class Architecture(ABC):
    """A network without weights.

    Attributes:
        name: Name of the family, import path of the class, or name of a module's class.
        config: Options of the family, or keyword arguments of the class.
        images: Formats of the images inside the network; None if they are not declared, which counts as [-1, 1], RGB,
            NCHW. `build` and `skeleton` return networks that convert at their boundary.
        resized: Attributes of its modules that narrowing changed.
        declared_inputs: Rule of its inputs, if its file declares one.
        left_out: Names of the residual blocks that are left out.
        folded: Convolutions that replace re-parameterised blocks, by the path of the block.
    """

    may_fold: ClassVar[bool] = True
    """True if its re-parameterised blocks may be folded; a family's own blocks stay."""

    name: str
    config: Mapping[str, Any]
    images: Images | None = None
    resized: Resized = field(default_factory=dict)
    declared_inputs: InputRule | None = None
    left_out: tuple[str, ...] = ()
    folded: Mapping[str, FoldedBlock] = field(default_factory=dict)

    @abstractmethod
    def _make(self) -> nn.Module:
        """Build the network at full width and depth with fresh weights, without a boundary."""

    def build(self) -> nn.Module:
        """Build the network with fresh weights; narrowed modules (``resized``) get their full width.

        Raises:
            ConfigError: The config does not fit.
            CheckpointError: The network has no block that is left out or folded.
        """
        return give_boundary(self._shortened(self._make()), self.images)

    def _shortened(self, network: nn.Module) -> nn.Module:
        """Fold and leave out blocks of a network, in place, and return it. Raises CheckpointError if it lacks one."""
        try:
            replace_blocks(network, self.folded)
        except AttributeError as error:
            raise CheckpointError(f"folded: {error}; expected paths of blocks of the network") from None
        try:
            return leave_out(network, self.left_out)
        except AttributeError as error:
            raise CheckpointError(f"left_out: {error}; expected paths of blocks of the network") from None

    def skeleton(self) -> nn.Module:
        """Build the network for its structure alone; on the meta device if its constructor allows that."""
        return self.build()

    def structure(self) -> nn.Module | None:
        """Return the network without memory for its weights; None if its constructor is not known to allow that."""
        return None

    def skeleton_with(self, state: Mapping[str, Tensor]) -> nn.Module:
        """Build the network for its structure alone, at the widths of these weights. Raises as `build_with`."""
        network = self.skeleton()
        if self.resized:
            resize(network, self.resized, state)
        if mismatch := Mismatch.between(shapes_of(network), shapes_of(state)):
            raise CheckpointError(f"{self.name}: the weights do not fit the config: {mismatch}")
        return network

    def build_with(self, state: Mapping[str, Tensor]) -> nn.Module:
        """Build the network with a copy of these weights, on the CPU, in evaluation mode.

        Raises:
            ConfigError: The config does not fit.
            CheckpointError: The state dict, or ``resized``, does not fit the network.
        """
        network = self.skeleton_with(state)
        if any(parameter.is_meta for parameter in network.parameters()):
            network.to_empty(device="cpu")
        network.load_state_dict(state)
        return network.eval()

    def build_on(self, state: Mapping[str, Tensor]) -> nn.Module:
        """Build the network on these weights themselves if their types fit, else on a copy. Raises as `build_with`."""
        network = self.skeleton_with(state)
        return network.eval() if assign(network, state) else self.build_with(state)

    def narrowed(self, graph: ChannelGraph, plan: ChannelPlan) -> Self:
        """Return the architecture at the widths of a plan, without the blocks that it leaves out."""
        shorter = self.shortened(plan)
        resized = {path: dict(attributes) for path, attributes in shorter.resized.items()}
        for path, attributes in resized_attributes(graph, plan).items():
            resized.setdefault(path, {}).update(attributes)
        return replace(shorter, resized=resized)

    def shortened(self, plan: ChannelPlan) -> Self:
        """Return the architecture without the blocks that a plan leaves out, at its own widths."""
        outer = outermost({*self.left_out, *plan.left_out})
        before = (block for block in self.left_out if block in outer and block not in plan.left_out)
        resized = {path: attributes for path, attributes in self.resized.items() if plan.holds(path)}
        return replace(self, left_out=(*before, *sorted(outer & plan.left_out)), resized=resized)

    def with_folded(self, folded: Mapping[str, FoldedBlock]) -> Self:
        """Return the architecture with convolutions instead of re-parameterised blocks, given by path."""

        def stays(path: str) -> bool:
            return not any(lies_in(path, block) for block in folded)

        return replace(
            self,
            folded={path: each for path, each in self.folded.items() if stays(path)} | dict(folded),
            left_out=tuple(filter(stays, self.left_out)),
            resized={path: attributes for path, attributes in self.resized.items() if stays(path)},
        )

    def with_images(self, images: Images | None) -> Self:
        """Return the architecture with other formats of its images; None leaves them unchanged."""
        return self if images is None else replace(self, images=images)

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of the family by name; empty for a network without a family."""
        return {}

    def with_options(self, **options: Any) -> Self:
        """Return the same family with other options. Raises ConfigError for a network without a family."""
        raise ConfigError(f"{self.name}: got options {', '.join(options)}, expected a family that has them")

    @property
    def width_arguments(self) -> Mapping[str, int]:
        """Integer arguments of the constructor that may set widths, for `with_arguments`; empty if unknown."""
        return {}

    @property
    def depth_arguments(self) -> Mapping[str, int]:
        """Integer arguments of the constructor that may set numbers of blocks, for `with_arguments`."""
        return self.width_arguments

    def with_arguments(self, **arguments: int) -> Self:
        """Return the same network with other constructor arguments, at the widths and the depth that they give.

        Raises:
            ConfigError: Its constructor is not known, or rejects them.
        """
        raise ConfigError(f"{self.name}: got a module whose constructor is not known, expected a family or a class")

    @property
    def input_rule(self) -> InputRule | None:
        """Rule of the inputs; None if it is not known."""
        return self.declared_inputs

    @property
    def in_channels(self) -> int | None:
        """Number of channels of the input; None if it is not known."""
        return None if self.input_rule is None else self.input_rule.channels

    @property
    def is_latent(self) -> bool:
        """True for a generator that draws images from noise, at one size."""
        return False

    def draw_latents(self, count: int, draw: torch.Generator) -> Tensor:
        """Draw inputs of a latent generator, [count, latent_size + num_classes]. Raises ConfigError for others."""
        raise ConfigError(f"{self.name}: got a network that is not known to draw from noise, expected one that does")

    @property
    def size_multiple(self) -> int:
        """Divisor of the height and width of an image, in pixels."""
        return 1 if self.input_rule is None else self.input_rule.multiple

    def check_size(self, size: tuple[int, int]) -> None:
        """Reject an image size that the network does not support; accept every size if that is not known.

        Args:
            size: Height and width in pixels.

        Raises:
            InputSizeError: `InputRule.check_size` rejects the size.
        """
        if self.input_rule is not None:
            self.input_rule.check_size(self.name, size)

    def check_input(self, example: Tensor) -> None:
        """Reject images that the network does not support.

        Args:
            example: An input [b, c, h, w]; inputs of other dimensions, such as noise, are not checked.

        Raises:
            InputSizeError: `check_size` rejects the size.
            ConfigError: It has another number of channels.
        """
        if example.ndim != 4:
            return
        self.check_size((example.shape[2], example.shape[3]))
        if self.in_channels not in (None, example.shape[1]):
            raise ConfigError(
                f"{self.name}: got inputs of {example.shape[1]} channels for a network that takes {self.in_channels}, "
                "expected as many; correct in_channels, decoding.channels of the data, the number of classes, or the "
                "task"
            )

    def crop_side(self, side: int) -> int | None:
        """Return the side of square crops that the network supports, close to a wanted one; None if it is not known.

        Args:
            side: Wanted height and width in pixels.
        """
        return None if self.input_rule is None else self.input_rule.crop_side(side)

    def example_inputs(
        self, size: tuple[int, int], shapes: Sequence[Sequence[int]] = (), device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """Return inputs of fixed values in [-1, 1]: one image [1, 3, h, w], or tensors of other shapes.

        Args:
            size: Height and width of the image in pixels.
            shapes: Shapes of all inputs, unless the input is one image.
            device: Device of the inputs; "meta" if only the shape matters.

        Raises:
            InputSizeError: The network does not support this size.
            ConfigError: The network takes an image, and got shapes; or see `InputRule.example_shapes`.
        """
        rule = self.input_rule or InputRule()
        return tuple(example_values(shape, device=device) for shape in shapes or rule.example_shapes(self.name, size))

    def input_contract(self) -> dict[str, Any]:
        """Describe the inputs, for the files next to the weights and for exported files; empty if nothing is known."""
        if self.images is None or self.images.input.range is None:
            return {}
        sizes = {} if self.input_rule is None else self.input_rule.contract()
        return {"layout": "NCHW", "range": [-1, 1], "color_order": "RGB", **sizes}

    def output_contract(self) -> dict[str, Any]:
        """Describe the outputs, in the form of `input_contract`."""
        if self.images is None:
            return {}
        scale = None if self.input_rule is None else self.input_rule.scale
        scaled = {} if scale in (None, 1) else {"scale": scale}
        return {"layout": "NCHW", "range": [-1, 1], "color_order": "RGB", **scaled}

    @property
    def distillation_taps(self) -> tuple[str, ...]:
        """Paths of the modules whose feature maps a student imitates; empty if none are declared."""
        return ()

    @property
    def image_taps(self) -> tuple[str, ...]:
        """Paths of the modules that return images at each resolution, from coarse to fine, the final image included."""
        return ()

    def taps(self, network: nn.Module, inputs: Sequence[Any]) -> tuple[str, ...]:
        """Return `distillation_taps`, or the choice of `gancompress.networks.taps.automatic_taps` if there are none.

        Args:
            network: The network as built.
            inputs: Example arguments of its forward pass.

        Raises:
            TraceError: The forward pass fails on inputs of these shapes, or depends on values.
        """
        return self.distillation_taps or automatic_taps(network, inputs)

    def plan_string(self) -> str | None:
        """Write its widths as a plan string of the literature; None if there is no form for them."""
        return None

    def widths_from_string(self, text: str) -> dict[str, int]:
        """Read the width of every channel group from a plan string of the literature.

        Raises:
            PlanError: The network has no plan strings, or the text is not one.
        """
        raise PlanError(
            f"plan: got '{text}', expected widths by channel group for {self.name}, as a mapping or a JSON object"
        )

    def search_slots(self) -> tuple[Slot, ...]:
        """Return the groups that the literature's search spaces tie to one another; empty if it has none."""
        return ()

    def describe(self) -> dict[str, Any]:
        """Return the description that rebuilds it, as plain values for `config.json`."""
        left_out = {"left_out": list(self.left_out)} if self.left_out else {}
        folded = {"folded": {path: asdict(each) for path, each in self.folded.items()}} if self.folded else {}
        images = {} if self.images is None else {"images": self.images.describe()}
        inputs = {} if self.declared_inputs is None else {"takes": self.declared_inputs.describe()}
        return {
            "family": self.name,
            "config": dict(self.config),
            "resized": {path: dict(attributes) for path, attributes in self.resized.items()},
            **left_out,
            **folded,
            **images,
            **inputs,
        }


@dataclass(frozen=True, eq=False)
class ClassArchitecture(Architecture):
    """Architecture of a user's class, given by import path.

    Attributes:
        network: The class.
    """

    network: type[nn.Module] = nn.Module

    @property
    def width_arguments(self) -> Mapping[str, int]:
        """Integer arguments, with the defaults of the constructor."""
        defaults = {name: each.default for name, each in inspect.signature(self.network).parameters.items()}
        return {name: value for name, value in {**defaults, **self.config}.items() if type(value) is int and value > 0}

    def with_arguments(self, **arguments: int) -> Self:
        """Return the same class with other arguments, not narrowed or folded, of full depth."""
        return replace(self, config={**self.config, **arguments}, resized={}, left_out=(), folded={})

    def _make(self) -> nn.Module:
        signature = inspect.signature(self.network)
        try:
            signature.bind(**self.config)
        except TypeError as error:
            names = list(signature.parameters)
            raise ConfigError(
                f"{self.name}: {error}; expected its arguments ({', '.join(names)}), such as --set {names[0]}=..."
                if names
                else f"{self.name}: {error}; expected no arguments"
            ) from None
        try:
            return self.network(**self.config)
        except Exception as error:
            raise ConfigError(f"{self.name}: its constructor raised {type(error).__name__}: {error}") from error


@dataclass(frozen=True, eq=False)
class ModuleArchitecture(Architecture):
    """Architecture of a user's module, whose class may take any arguments and be defined anywhere.

    Attributes:
        template: A copy of the module at full width.
    """

    template: nn.Module = field(default_factory=nn.Module)

    @classmethod
    def of(cls, module: nn.Module, images: Images | None = None) -> Self:
        """Return the architecture of a module; keeps a copy of it."""
        return cls(type(module).__qualname__, {}, images, template=copy_module(module).cpu())

    def _make(self) -> nn.Module:
        """Copy the template and reset all layers."""
        network = copy_module(self.template)
        for path, layer in network.named_modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()  # type: ignore[operator]
            elif any(True for _ in layer.parameters(recurse=False)):
                raise ConfigError(
                    f"{self.name}: got parameters in '{path}' ({type(layer).__name__}), expected a method "
                    "reset_parameters that draws fresh ones; start from the teacher's weights instead"
                )
        return network

    def skeleton(self) -> nn.Module:
        """Copy the template."""
        return give_boundary(self._shortened(copy_module(self.template)), self.images)

    def describe(self) -> dict[str, Any]:
        """Return its name and widths; loading them needs a module of the same class."""
        return {**super().describe(), "family": None, "class": self.name}
