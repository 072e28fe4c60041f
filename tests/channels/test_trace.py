"""What the graph says about networks whose channels were worked out by hand."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gancompress.channels import Axis, Segment, SubNetwork, materialise, trace
from gancompress.channels.follow import components, follow
from gancompress.channels.recording import record
from gancompress.channels.rules.movement import reshape_blocks
from gancompress.channels.sizes import Sizes
from gancompress.channels.verify import different_widths
from gancompress.errors import PlanError, TraceError

from .cases import graph_of
from .modern import MODERN, MODERN_GROUPS
from .strangers import GROUPS, STRANGERS


class TwoConvs(nn.Module):
    """One convolution of 16 channels, something in between, one convolution that reads them."""

    def __init__(self, between, channels: int = 16) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(channels, 3, 3, padding=1)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.between(self.a(x)))


def image() -> Tensor:
    return torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize("name", [*STRANGERS, *MODERN])
def test_groups_are_those_worked_out_by_hand(name):
    graph = graph_of(name)
    assert {group: g.size for group, g in graph.groups.items()} == (GROUPS | MODERN_GROUPS)[name]
    assert graph.unfollowed == ()


def test_concatenation_offsets_and_repeats_are_in_the_layout():
    module, inputs = STRANGERS["dense_concat"]()
    graph = trace(module, inputs)
    reading = graph.axes("squeeze.weight")[1]
    assert reading == Axis(
        (Segment("stem", 10), Segment("convs.0", 6), Segment("convs.1", 6), Segment("convs.2", 6), Segment(None, 3)),
        "in",
    )
    assert [axis.role for axis in graph.axes("norms.1.running_var")] == ["statistic"]
    module, inputs = STRANGERS["super_resolution"]()
    assert trace(module, inputs).axes("up1.weight")[0].segments == (Segment("up1", 12, 4),)


def test_tracing_leaves_the_module_alone():
    module, inputs = STRANGERS["volume"]()
    module.train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    trace(module, inputs)
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def shuffled(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def written_in_part(x: Tensor) -> Tensor:
    canvas = torch.zeros_like(x)
    canvas[:, :8] = x[:, 8:]
    return canvas


def even_only(x: Tensor) -> Tensor:
    mask = torch.zeros(1, x.shape[1], 1, 1)
    mask[:, 0::2] = 1
    return x * mask


def half_flipped(x: Tensor) -> Tensor:
    sign = torch.ones_like(x)
    sign[:, x.shape[1] // 2 :].mul_(-1)
    return x * sign


def same_shape_canvas(x: Tensor) -> Tensor:
    canvas = torch.zeros_like(x)
    canvas.view(canvas.shape).copy_(x.abs())
    return x * canvas


def pixel_heads(x: Tensor) -> Tensor:
    rows = x.flatten(2).transpose(1, 2).unflatten(2, (2, -1)).flatten(0, 2)  # pixels and heads along one axis
    return rows.softmax(-1).unflatten(0, (x.shape[0], -1, 2)).flatten(2).transpose(1, 2).unflatten(2, x.shape[2:])


NOT_FOLLOWED = {
    "even_only": (even_only, 16, "channels that cannot be removed"),
    "half_flipped": (half_flipped, 16, "channels that cannot be removed"),
    "same_shape_canvas": (same_shape_canvas, 16, "is written"),
    "roll": (lambda x: torch.roll(x, 1, 1), 16, "reordered by aten.roll"),
    "flip": (lambda x: torch.flip(x, [1]), 16, "reordered by aten.flip"),
    "cumsum": (lambda x: x.cumsum(1), 16, "lies along the axis of aten.cumsum"),
    "unknown": (lambda x: torch.fft.fftshift(x.logcumsumexp(1)), 16, "aten.logcumsumexp, whose effect on channels"),
    "gather": (lambda x: x[:, [3, 1, 2]], 3, "is picked by an index"),
    "one_channel": (lambda x: x * x[:, 3][:, None], 16, "one channel is picked by its index"),
    "constant_slice": (lambda x: x[:, :12], 12, ""),
    "constant_view": (lambda x: x.view(2, 16, 64).view(2, 16, 8, 8), 16, "a size is written as a constant"),
    "constant_sizes": (lambda x: torch.cat(x.split([4, 12], 1)[::-1], 1), 16, ""),
    "as_an_image": (lambda x: F.avg_pool2d(x.permute(0, 2, 3, 1), 3, 1, 1).permute(0, 3, 1, 2), 16, "along the image"),
    "padded": (lambda x: F.pad(x, (0, 0, 0, 0, 1, 1)), 18, "padded along its channels"),
    "written_in_part": (written_in_part, 16, "written into a part of another tensor"),
}


@pytest.mark.parametrize("name", NOT_FOLLOWED)
def test_what_cannot_be_followed_is_fixed_and_reported(name):
    between, channels, reason = NOT_FOLLOWED[name]
    graph = trace(TwoConvs(between, channels), (image(),), multiple=1, minimum=1)
    assert dict(graph.groups) == {}
    reports = [str(fixed) for fixed in graph.unfollowed]
    fixed = [str(entry) for entry in graph.fixed]
    assert any(text.startswith("'a' keeps its") and reason in text for text in fixed), fixed
    assert all("to make them narrowable" in text for text in reports)


FOLLOWED = {
    "chunks": (lambda x: torch.cat(x.chunk(2, 1)[::-1], 1), 16, 8),
    "half": (lambda x: x[:, : x.shape[1] // 2], 8, 8),
    "normalised_heads": (lambda x: F.normalize(x.unflatten(1, (2, -1)), dim=2).flatten(1, 2), 16, 8),
    "pixel_heads": (pixel_heads, 16, 8),
    "round_trip": (lambda x: x.flatten(2).transpose(1, 2).transpose(1, 2).unflatten(2, (8, 8)), 16, 16),
    "noise": (lambda x: x + torch.randn(x.shape) * torch.ones_like(x), 16, 16),
    "pixel_norm": (lambda x: F.normalize(x, dim=1), 16, 16),
    "shuffle": (shuffled, 16, 8),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 4), 16, 4),
    "softmax": (lambda x: x.softmax(1), 16, 16),
    "unshuffle": (lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2), 16, 16),
    "where": (lambda x: torch.where(x > 0, x, 0.1 * x).clamp(-1, 1), 16, 16),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_can_be_followed_is(name):
    between, channels, size = FOLLOWED[name]
    graph = trace(TwoConvs(between, channels), (image(),), multiple=1, minimum=1)
    assert {group: g.size for group, g in graph.groups.items()} == {"a": size}
    assert graph.unfollowed == ()


def test_labels_that_repeat_are_held_once():
    labelling = follow(record(TwoConvs(pixel_heads), (image(),)))
    assert max(factor.size for labels in labelling.labels for factor in labels.factors) == 16


class Tokens(nn.Module):
    """A depthwise convolution of tokens, whose width is an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.mix, self.conv = 16, nn.Linear(16, 16), nn.Conv2d(16, 16, 3, padding=1, groups=16)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.mix(x.flatten(2).transpose(1, 2).contiguous())
        return self.conv(tokens.transpose(1, 2).view(x.shape[0], self.width, *x.shape[2:]).contiguous())


def test_sizes_of_all_blocks_are_found_in_one_pass(monkeypatch):
    rounds, explain = [], Sizes.explain
    monkeypatch.setattr(Sizes, "explain", lambda *args: rounds.append(1) or explain(*args))
    graph = trace(TwoConvs(nn.Sequential(Tokens(), Tokens(), Tokens())), (image(),))
    assert len(graph.groups) == 4
    assert len(rounds) == 1


class Attends(nn.Module):
    """Self-attention of PyTorch over the pixels, which holds the width as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


def test_attention_of_pytorch_keeps_its_heads():
    wide = TwoConvs(Attends()).eval()
    graph = trace(wide, (image(),), multiple=1, minimum=1)
    assert {name: group.size for name, group in graph.groups.items()} == {"a": 8}
    plan = graph.plan({"a": 5})
    narrow = materialise(wide, graph, plan)
    assert narrow.between.attention.embed_dim == 10
    x = torch.linspace(-1, 1, 384).view(2, 3, 8, 8).sin()
    with torch.no_grad():
        assert torch.equal(narrow(x), SubNetwork(wide, graph, plan)(x))


class Ratio(nn.Module):
    """Two parts of three quarters of the width before it, computed from that."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.back = nn.Conv2d(16, 24, 1), nn.Conv2d(12, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.wide(x).split(x.shape[1] * 3 // 4, 1)
        return self.back(first * second)


class Checked(nn.Module):
    """Heads whose dimensions are an attribute, checked before they are used (einops-like)."""

    def __init__(self) -> None:
        super().__init__()
        self.dim, self.more = 4, nn.Conv2d(16, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.more(x)
        if x.shape[1] % self.dim:
            raise ValueError("the width does not divide")
        return x.unflatten(1, (4, self.dim)).softmax(2).flatten(1, 2)


class Twice(nn.Module):
    """Attention applied twice, with a factor for every head."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        v = x.flatten(2).unflatten(1, (2, -1)).transpose(-2, -1)
        scores = (v @ v.transpose(-2, -1) * self.scale).softmax(-1)
        return (scores @ (scores @ v)).transpose(-2, -1).flatten(1, 2).unflatten(2, x.shape[2:])


@pytest.mark.parametrize(
    ("kind", "groups"),
    [
        (Ratio, {"a": 4, "between.back": 16}),
        (lambda: nn.Sequential(Checked(), Checked()), {"a": 16, "between.0.more": 4, "between.1.more": 4}),
        (Twice, {"a": 8}),
    ],
)
def test_sizes_and_heads_of_whole_blocks_follow(kind, groups):
    graph = trace(TwoConvs(kind()), (image(),), multiple=1, minimum=1)
    assert {name: group.size for name, group in graph.groups.items()} == groups


class Masked(TwoConvs):
    """Pixels that a mask picks, and a parameter read as a number."""

    def __init__(self) -> None:
        super().__init__(F.relu)
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)[:, 0] * (2.0 if self.gain.item() > 0 else 1.0)
        dark = y < 0
        y[dark] = torch.exp(y[dark])
        return y


def test_masks_and_numbers_of_the_module_are_no_obstacle():
    assert set(trace(Masked(), (image(),)).groups) == {"a"}


def test_channels_that_are_tied_to_one_another_are_reported():
    graph = trace(TwoConvs(lambda x: F.channel_shuffle(x, 8)), (image(),), multiple=1, minimum=1)
    assert dict(graph.groups) == {}
    assert "'a' keeps its 16 channels: other layers tie them to fewer than three" in str(graph.fixed[0])


def test_channels_of_input_and_output_are_fixed_and_say_why():
    graph = trace(TwoConvs(lambda x: x), (image(),))
    assert [str(fixed) for fixed in graph.fixed] == ["'b' keeps its 3 channels: reaches the output"]
    assert graph.axes("a.weight")[1].segments == (Segment(None, 3),)


class Deep(nn.Module):
    """Noise sized by a feature map eight layers back: the two widths must be told apart to see that they are tied."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(size if i else 3, size, 1) for i in range(9))
        self.last = nn.Conv2d(size, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.layers[0](x)
        for layer in self.layers[1:]:
            x = layer(x)
        return self.last(x + 0 * torch.randn_like(first))


@pytest.mark.parametrize("size", [3, 14, 16])
def test_groups_of_one_size_are_told_apart(size):
    graph = trace(Deep(size), (image(),), multiple=1, minimum=1)
    assert "layers.0" not in graph.groups
    assert "layers.8" not in graph.groups
    assert set(graph.groups) == {f"layers.{i}" for i in range(1, 8)}


class SizedAfar(Deep):
    """A view to the width of the feature map eight layers back."""

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.layers[0](x)
        for layer in self.layers[1:]:
            x = layer(x)
        return self.last(x.flatten(2).view(x.shape[0], first.shape[1], *x.shape[2:]))


def test_a_size_that_one_test_plan_meets_by_chance_is_followed_in_another():
    graph = trace(SizedAfar(16), (image(),), multiple=1, minimum=1)
    assert {name: group.size for name, group in graph.groups.items()} == {f"layers.{i}": 16 for i in range(8)}
    assert graph.axes("last.weight")[1].segments == (Segment("layers.0", 16),)
    assert graph.unfollowed == ()


class CosineHeads(nn.Module):
    """Attention of cosine scores over the pixels, with biases of queries and values alone (Swin v2-like)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48, bias=False), nn.Linear(16, 16)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(16)), nn.Parameter(torch.zeros(16))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        b, n, c = tokens.shape
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        q, k, v = F.linear(tokens, self.qkv.weight, bias).reshape(b, n, 3, 2, -1).permute(2, 0, 3, 1, 4)
        scores = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)).softmax(-1)
        tokens = tokens + self.out((scores @ v).transpose(1, 2).reshape(b, n, c))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


@pytest.mark.parametrize("convs", range(9))
def test_heads_follow_the_width_however_many_layers_share_its_size(convs):
    between = nn.Sequential(*(nn.Conv2d(16, 16, 1) for _ in range(convs)), CosineHeads())
    graph = trace(TwoConvs(between), (image(),), multiple=1, minimum=1)
    assert [group.size for group in graph.groups.values()] == [16] * convs + [8]
    assert graph.unfollowed == ()


class Aux(nn.Module):
    """A head that only training uses, and a list that holds a parameter a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out, self.aux = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 3, 1), nn.Conv2d(16, 5, 1)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 16))
        self.everything = [self.scale]

    def forward(self, *, image: Tensor) -> dict[str, Tensor]:
        hidden = self.conv(image) * self.scale.view(1, -1, 1, 1)
        return {"image": self.out(hidden), **({"aux": self.aux(hidden)} if self.training else {})}


class Keyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Aux()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.inner(image=x)


def test_what_takes_no_part_is_fixed_and_references_follow():
    wide = Keyword().eval()
    graph = trace(wide, (image(),), multiple=1, minimum=1)
    assert set(graph.groups) == {"inner.conv"}
    assert any("takes no part in the forward pass" in str(fixed) for fixed in graph.unfollowed)
    small = materialise(wide, graph, graph.plan({"inner.conv": 5}))
    assert small.inner.everything[0] is small.inner.scale
    assert small(torch.ones(1, 3, 4, 4))["image"].shape == (1, 3, 4, 4)


class Wrapped:
    def __init__(self, image: Tensor) -> None:
        self.image = image


def test_outputs_that_hide_tensors_are_refused():
    class Hiding(TwoConvs):
        def forward(self, x: Tensor) -> Wrapped:  # type: ignore[override]
            return Wrapped(super().forward(x))

    with pytest.raises(TraceError, match="returned a Wrapped, not tensors or tuples, lists and dictionaries of them"):
        trace(Hiding(lambda x: x), (image(),))


def test_a_bare_tensor_is_refused():
    with pytest.raises(TraceError, match=r"got a tensor as inputs, expected a tuple .*; write \(tensor,\)"):
        trace(TwoConvs(lambda x: x), image())


def test_inference_mode_changes_nothing():
    with torch.inference_mode():
        graph = trace(TwoConvs(lambda x: x), (image(),))
    assert set(graph.groups) == {"a"}


def test_what_a_forward_pass_left_behind_is_no_obstacle():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of the old weight norm itself
        module = TwoConvs(lambda x: x)
        module.a = nn.utils.weight_norm(module.a)
    module.seen = module(torch.ones(1, 3, 8, 8))  # with its graph
    assert set(trace(module, (image(),)).groups) == {"a"}


class DecidesByValue(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y if y.mean().item() > 0 else -y


def test_a_forward_pass_that_depends_on_values_is_refused_in_one_line():
    with pytest.raises(
        TraceError,
        match=r"trace: the forward pass \(line \d+ of test_trace.py: return y if .*\) failed.*on tensor values",
    ) as error:
        trace(DecidesByValue(), (image(),))
    assert "\n" not in str(error.value)


def test_inputs_that_do_not_fit_name_the_module():
    with pytest.raises(TraceError, match=r"trace: 'a' failed with RuntimeError: .*check the shapes"):
        trace(TwoConvs(lambda x: x), (torch.zeros(1, 4, 8, 8),))


def test_constraints():
    graph = trace(TwoConvs(lambda x: x), (image(),))
    assert graph.groups["a"].choices == (8, 16)
    assert trace(TwoConvs(lambda x: x), (image(),), multiple=4, minimum=6).groups["a"].choices == (8, 12, 16)
    heads = trace(
        TwoConvs(lambda x: F.normalize(x.unflatten(1, (2, -1)), dim=2).flatten(1, 2)), (image(),), multiple=16
    )
    assert heads.groups["a"].choices == (4, 8)  # of 2 positions each: no multiple of 16 is narrower
    assert trace(TwoConvs(lambda x: x), (image(),), fixed=["a*"]).groups["a"].choices == (16,)
    with pytest.raises(PlanError, match=r"fixed: no channel group 'aa'; did you mean 'a'\?"):
        trace(TwoConvs(lambda x: x), (image(),), fixed=["aa"])
    with pytest.raises(PlanError, match="got multiple 0 and minimum 8, expected at least 1"):
        trace(TwoConvs(lambda x: x), (image(),), multiple=0)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((2, 6), (12,), [([0, 1], [0])]),
        ((2, 12, 5), (2, 3, 4, 5), [([0], [0]), ([1], [1, 2]), ([2], [3])]),
        ((2, 3, 4, 4), (1, 6, 4, 4), [([0, 1], [0, 1]), ([2], [2]), ([3], [3])]),
    ],
)
def test_reshape_blocks(old, new, expected):
    assert reshape_blocks(old, new) == expected


def test_components_are_those_of_a_plain_search():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 200, (120,), generator=generator).numpy() for _ in range(2))
    root = components(200, [(a, b)])
    parent = list(range(200))

    def find(x: int) -> int:
        while parent[x] != x:
            x = parent[x]
        return x

    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        low, high = sorted((find(x), find(y)))
        parent[high] = low
    assert root.tolist() == [find(x) for x in range(200)]


@pytest.mark.parametrize("size", [2, 3, 4, 8, 14, 28, 64])
def test_few_plans_separate_groups_of_one_size(size):
    graph = SimpleNamespace(
        groups={f"{of}.{number}": SimpleNamespace(size=of) for of in (size, 16) for number in range(40)}
    )
    plans = list(different_widths(graph))
    for of in (size, 16):
        widths = [tuple(plan.widths[f"{of}.{number}"] for plan in plans) for number in range(40)]
        assert len(set(widths)) == 40
        assert all(max(1, of // 2) <= width <= of for each in widths for width in each)
    assert len(plans) <= 6
