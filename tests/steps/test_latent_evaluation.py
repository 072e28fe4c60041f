"""Measuring generators from noise: their latent spaces, and the content of their images."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from torch import nn

from gancompress.data import parse_data
from gancompress.errors import DataError, MetricError
from gancompress.evaluation import MetricResult
from gancompress.networks.registry import build
from gancompress.steps.evaluation import Evaluation
from gancompress.steps.metric_options import MetricOptions
from gancompress.steps.step import Context
from gancompress.tasks import LatentTask, Task, find_task
from tests.evaluation.latent.spaces import small_stylegan2

NUM_IMAGES = 6
LATENT = {"num_pairs": 8, "num_morphs": 2, "num_morph_steps": 3, "projection": {"num_images": 3, "num_steps": 2}}


class Maps(nn.Module):
    """Two maps."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x, x[:, :, ::2, ::2] ** 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("latent")
    (folder / "test").mkdir()
    for i in range(NUM_IMAGES):
        Image.effect_noise((16, 16), 20 * i + 20).convert("RGB").save(folder / "test" / f"{i}.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript itself
        torch.jit.script(Maps()).save(str(folder / "maps.pt"))
        torch.jit.script(nn.Sequential(nn.AvgPool2d(8), nn.Flatten())).save(str(folder / "pool.pt"))
    return folder


def context_of(folder: Path, task: Task | None = None) -> Context:
    data = parse_data({"kind": "images", "root": str(folder), "transform": {"resize": "none"},
                       "splits": {"test": {"folder": "test"}}})  # fmt: skip
    task = task or LatentTask(latent_size=6)
    return Context(task, data, None, folder, Accelerator(cpu=True), log=None)  # type: ignore[arg-type]


def options_of(folder: Path, **others) -> MetricOptions:
    networks = {name: {"path": str(folder / f"{name}.pt"), "size": [16, 16]} for name in ("maps", "pool")}
    kept = {"batch_size": 4, "reference_folder": str(folder / "references"), "latent": LATENT}
    return MetricOptions(networks=networks, **{**kept, **others})


@pytest.fixture(scope="module")
def generator() -> nn.Module:
    return small_stylegan2(torch.float32)


def measured(folder, generator, *names, **others) -> dict[str, MetricResult]:
    results = Evaluation(options_of(folder, **others), names, context_of(folder), "test").of(generator)
    assert [result.name for result in results] == list(names)
    return {result.name: result for result in results}


def test_all_metrics_of_a_latent_space_come_beside_those_of_images(folder, generator):
    names = ["ppl_w_maps", "fd_pool", "ppl_z_maps", "ppl_wfull_maps", "ppl_zfull_maps", "ppl_cagc_maps"]
    names += ["morph_step_maps", "morph_jump_maps", "projection_psnr_maps", "projection_lpips_maps"]
    found, again = (measured(folder, generator, *names) for _ in range(2))
    assert {n: r.value for n, r in found.items()} == {n: r.value for n, r in again.items()}
    counts = {"ppl": 8, "fd": NUM_IMAGES, "morph": 2, "projection": 3}
    assert {n: r.num_images for n, r in found.items()} == {n: counts[n.partition("_")[0]] for n in names}
    assert all("maps of maps, without learned weights" in r.protocol for n, r in found.items() if n != "fd_pool")
    assert "divided by 0.0001^2" in found["ppl_w_maps"].protocol
    assert "divided" not in found["ppl_cagc_maps"].protocol
    assert found["projection_psnr_maps"].better == "higher"
    assert found["ppl_w_maps"].better == "lower"


def test_a_generator_without_styles_is_measured_in_z(folder):
    torch.manual_seed(0)
    sngan = build("sngan", {"ngf": 4, "latent_size": 6, "num_blocks": 2})
    found = measured(folder, sngan, "ppl_z_maps", "morph_step_maps", "projection_psnr_maps")
    assert "along an arc in Z" in found["morph_step_maps"].protocol
    assert "into Z" in found["projection_psnr_maps"].protocol
    with pytest.raises(MetricError, match="ppl_w_maps: got a SnganGenerator, expected a generator with styles"):
        measured(folder, sngan, "ppl_w_maps")


def test_latent_metrics_are_refused_where_they_have_no_meaning(folder, generator):
    options = options_of(folder)
    with pytest.raises(MetricError, match="ppl_z_maps: got the task 'unpaired', expected 'latent'"):
        Evaluation(options, ["ppl_z_maps"], context_of(folder, find_task("unpaired")), "test")
    with pytest.raises(MetricError, match="ppl_z_maps: got a teacher to compare with, expected none"):
        Evaluation(options, ["ppl_z_maps"], context_of(folder), "test", teacher=generator)


def test_an_onnx_network_passes_no_gradient(folder, generator):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    assert onnxruntime
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value], [output])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])
    onnx.save(model, str(folder / "same.onnx"))
    networks = {"same": {"path": str(folder / "same.onnx")}}
    with pytest.raises(MetricError, match=r"same\.onnx: got an ONNX network, through which no gradient passes"):
        Evaluation(MetricOptions(networks=networks), ["ppl_z_same"], context_of(folder), "test")


def test_the_distance_of_the_content_is_that_of_images_times_the_mask(folder, generator):
    """Masks of everything change nothing, and a change outside the ellipse is not seen."""
    whole = measured(folder, generator, "fd_pool", "fd_pool_content", "kd_pool_content", content_mask="none")
    assert whole["fd_pool_content"].value == pytest.approx(whole["fd_pool"].value, rel=1e-6)
    assert "times the content mask none" in whole["fd_pool_content"].protocol
    mask = {"kind": "ellipse", "height": 0.5, "width": 0.5}

    class Framed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, latent: torch.Tensor) -> torch.Tensor:
            images = generator(latent).clone()
            images[:, :, :3] = 1
            return images

    (inside, framed) = (
        measured(folder, network, "fd_pool", "fd_pool_content", content_mask=mask) for network in (generator, Framed())
    )
    assert framed["fd_pool_content"].value == inside["fd_pool_content"].value
    assert framed["fd_pool"].value != inside["fd_pool"].value


def test_features_of_the_content_are_kept_by_the_masks_options(folder, generator, tmp_path):
    def kept(mask) -> int:
        measured(folder, generator, "fd_pool_content", content_mask=mask, reference_folder=str(tmp_path))
        return len(list(tmp_path.iterdir()))

    ellipse = {"kind": "ellipse", "height": 0.5}
    assert [kept(ellipse), kept(ellipse), kept("ellipse")] == [1, 1, 2]
    assert kept({"kind": "function", "function": f"{__name__}:left_half"}) == 2  # whose code may change


def left_half(images: torch.Tensor) -> torch.Tensor:
    return (torch.arange(images.shape[3]) < images.shape[3] // 2).expand(len(images), 1, *images.shape[2:]).float()


def test_images_from_noise_have_no_names_for_a_folder_of_masks(folder, generator, tmp_path):
    for i in range(NUM_IMAGES):
        Image.new("L", (16, 16), 255).save(tmp_path / f"{i}.png")
    with pytest.raises(DataError, match="images from noise have none: use another kind of mask"):
        measured(folder, generator, "fd_pool_content", content_mask={"kind": "folder", "root": str(tmp_path)})


def test_metrics_of_content_want_a_mask(folder, generator):
    with pytest.raises(MetricError, match="fd_pool_content: got no mask of the content, expected one; set"):
        measured(folder, generator, "fd_pool_content")
