"""The old spelling of loss terms in recipes and run directories, from before they were a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gancompress.losses import TERMS
from gancompress.options import as_tuple

_OWN_WEIGHT = {
    "multi_scale_rgb": "drafts",
    **{
        name: name
        for name in (
            *("ssim", "perceptual", "lpips", "feature_matching", "relation", "total_variation", "channels"),
            *("kernel_alignment", "fsp", "latent_directions"),
        )
    },
}
"""Keys of terms that had options, each with its weight among them, by today's kind."""

_LAMBDAS = {
    "reconstruction": ("lambda_reconstruction", 100),
    "features": ("lambda_features", 1),
    "gan": ("lambda_gan", 1),
}
"""Keys of the weights of the other terms, and the weights that those had by default."""

_OF_GAN = {"form": ("gan", "hinge"), "balance": ("gan_balance", 0.1), "real": ("real", "auto")}
"""Keys of the options of the adversarial term, and the defaults that those had."""

_KEYS = (*(key for key, _ in (*_LAMBDAS.values(), *_OF_GAN.values())), *_OWN_WEIGHT.values(), "reconstruction")

_OF_TEACHERS = {
    "pix2pix": {"gan": "hinge", "lambda_gan": 1.0, "gan_balance": None, "lambda_reconstruction": 100.0},
    "gaugan": {
        **{"gan": "hinge", "lambda_gan": 1.0, "lambda_feature_matching": 10.0, "lambda_perceptual": 10.0},
        "perceptual": {"published": "spade"},
    },
    "cyclegan": {"gan": "lsgan", "lambda_cycle": 10.0, "lambda_identity": 0.5},
    "sngan": {"gan": "hinge"},
}
"""Options of loss terms that the methods of teachers had, with their defaults."""


def with_terms(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a distillation with its terms as a list.

    Args:
        options: Options as written in a recipe, in the old spelling or in today's.

    Raises:
        ValueError: There are terms in both spellings.
    """
    old = [key for key in options if key in _KEYS]
    if not old:
        return options
    _check_single_spelling(options, old)
    return {**{key: value for key, value in options.items() if key not in old}, "terms": _terms(options)}


def with_teacher_terms(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a teacher's training with the terms of its method as a list.

    Args:
        options: Options as written in a recipe, in the old spelling or in today's.

    Raises:
        ValueError: There are terms in both spellings, or the old ones of several methods.
    """
    given = {name: options[name] for name in _OF_TEACHERS if isinstance(options.get(name), Mapping)}
    old = [name for name, each in given.items() if each.keys() & _OF_TEACHERS[name].keys()]
    if not old:
        return options
    _check_single_spelling(options, old)
    if len(old) > 1:
        raise ValueError(f"got loss terms of {' and '.join(old)}, expected those of one method: write them as terms")
    (name,) = old
    rest = {key: value for key, value in given[name].items() if key not in _OF_TEACHERS[name]}
    kept = {key: value for key, value in options.items() if key != name}
    terms = _teacher_terms(name, {**_OF_TEACHERS[name], **given[name]})
    return {**kept, **({name: rest} if rest else {}), "terms": terms}


def _check_single_spelling(options: Mapping[str, Any], old: list[str]) -> None:
    if options.get("terms") is not None:
        raise ValueError(f"got {', '.join(old)} beside terms, expected all loss terms in the list of terms")


def _teacher_terms(method: str, o: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the terms of a teacher's method from its old options, all of them given."""
    gan = {"kind": "gan", "weight": o.get("lambda_gan", 1.0), "form": o["gan"], "balance": o.get("gan_balance")}
    terms = {
        "pix2pix": lambda: [{"kind": "l1", "weight": o["lambda_reconstruction"]}],
        "gaugan": lambda: [
            {"kind": "feature_matching", "weight": o["lambda_feature_matching"]},
            {"kind": "perceptual", "weight": o["lambda_perceptual"], **{"published": "omgd", **o["perceptual"]}},
        ],
        "cyclegan": lambda: [
            {"kind": "cycle", "weight": o["lambda_cycle"]},
            {"kind": "identity", "weight": o["lambda_cycle"] * o["lambda_identity"]},
        ],
        "sngan": list,
    }
    return [term for term in (gan, *terms[method]()) if term["weight"]]


def _terms(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the terms of a distillation from its old options."""
    terms: dict[str, dict[str, Any]] = {}
    for name, (key, default) in _LAMBDAS.items():
        kind = options.get("reconstruction", "l1") if name == "reconstruction" else name
        terms[kind] = {"kind": kind, "weight": options.get(key, default)}
    for kind, key in _OWN_WEIGHT.items():
        if isinstance(given := options.get(key), Mapping):
            terms[kind] = {"kind": kind, "weight": given.get("weight", 0), **_unusual(kind, given)}
    for name, (key, default) in _OF_GAN.items():
        given = options.get(key, default)
        if given != TERMS["gan"].model_fields[name].default:
            terms["gan"][name] = given
    gan = terms.pop("gan")
    return [term for term in (*terms.values(), gan) if term["weight"]]


def _unusual(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a term that differ from their defaults."""
    fields = TERMS[kind].model_fields
    defaults = {name: fields[name].default for name in given if name in fields}
    return {
        name: value for name, value in given.items() if name != "weight" and as_tuple(value) != defaults.get(name, ...)
    }
