"""Loss terms in the old spelling: read as a list of terms, and refused beside one."""

from __future__ import annotations

import pytest

from gancompress.errors import ConfigError
from gancompress.jobs.steps import TrainTeacher
from gancompress.losses import MultiScaleRgb
from gancompress.objectives.distillation_options import DistillationOptions

DISTILLATION = {
    "weights": (
        {"lambda_reconstruction": 50, "ssim": {"weight": 5}, "lambda_features": 2},
        [
            {"kind": "l1", "weight": 50},
            {"kind": "features", "weight": 2},
            {"kind": "ssim", "weight": 5},
            {"kind": "gan", "balance": 0.1},
        ],
    ),
    "the options of the discriminator": (
        {"gan": "lsgan", "gan_balance": None, "real": "teacher", "lambda_features": 0},
        [{"kind": "l1", "weight": 100}, {"kind": "gan", "form": "lsgan", "balance": None, "real": "teacher"}],
    ),
    "no discriminator": (
        {"lambda_gan": 0, "reconstruction": "l2", "drafts": {"weight": 3, "taps": ["to_rgb.0"]}},
        [{"kind": "l2", "weight": 100}, {"kind": "features"}, MultiScaleRgb(3, taps=("to_rgb.0",))],
    ),
    "a whole dump": (
        {
            **{"gan": "hinge", "lambda_gan": 1.0, "gan_balance": 0.1, "real": "auto", "reconstruction": "l1"},
            **{"lambda_reconstruction": 0.0, "lambda_features": 1.0, "drafts": {"weight": 0.0, "distance": "l1"}},
            "relation": {"weight": 2.0, "items": ["rows", "columns", "patches"], "patch_px": 8},
        },
        [{"kind": "features"}, {"kind": "relation", "weight": 2.0, "patch_px": 8}, {"kind": "gan", "balance": 0.1}],
    ),
}


@pytest.mark.parametrize("case", DISTILLATION)
def test_a_distillation(case):
    old, terms = DISTILLATION[case]
    assert DistillationOptions(reconstruct="teacher", **old) == DistillationOptions(reconstruct="teacher", terms=terms)


GAN = {"kind": "gan", "balance": None}
TEACHERS = {
    "pix2pix": (
        {"pix2pix": {"lambda_reconstruction": 50, "gan_balance": 0.2}},
        {"terms": [{"kind": "gan", "balance": 0.2}, {"kind": "l1", "weight": 50}]},
    ),
    "gaugan": (
        {"gaugan": {"lambda_feature_matching": 0}},
        {"terms": [GAN, {"kind": "perceptual", "weight": 10, "published": "spade"}]},
    ),
    "a network of the perceptual distance": (
        {"gaugan": {"lambda_gan": 2, "perceptual": {"network": "n.pt", "content": [1.0]}}},
        {
            "terms": [
                {**GAN, "weight": 2},
                {"kind": "feature_matching", "weight": 10},
                {"kind": "perceptual", "weight": 10, "network": "n.pt", "content": [1.0]},
            ]
        },
    ),
    "cyclegan": (
        {"cyclegan": {"gan": "vanilla", "lambda_identity": 0.1, "pool_size": 3}},
        {
            "terms": [
                {**GAN, "form": "vanilla"},
                {"kind": "cycle", "weight": 10},
                {"kind": "identity", "weight": 1},
            ],
            "cyclegan": {"pool_size": 3},
        },
    ),
    "sngan": ({"sngan": {"gan": "wgan"}}, {"terms": [{**GAN, "form": "wgan"}]}),
    "nothing old": ({"sngan": {"num_critic": 2}}, {"sngan": {"num_critic": 2}}),
}


@pytest.mark.parametrize("case", TEACHERS)
def test_the_training_of_a_teacher(case):
    old, new = TEACHERS[case]
    assert TrainTeacher(network={"family": "resnet"}, **old) == TrainTeacher(network={"family": "resnet"}, **new)


REFUSED = {
    "a distillation in both": (
        lambda: DistillationOptions(terms=["l1"], lambda_gan=0),
        "got lambda_gan beside terms, expected all loss terms in the list of terms",
    ),
    "a teacher in both": (
        lambda: TrainTeacher(network={"family": "resnet"}, terms=["l1"], pix2pix={"gan": "hinge"}),
        "got pix2pix beside terms, expected all loss terms in the list of terms",
    ),
    "two methods": (
        lambda: TrainTeacher(network={"family": "resnet"}, gaugan={"gan": "hinge"}, cyclegan={"lambda_cycle": 1}),
        "got loss terms of gaugan and cyclegan, expected those of one method: write them as terms",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    make, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message):
        make()
