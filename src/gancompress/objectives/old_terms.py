"""The old spelling of loss terms in recipes, from before they were a list, translated for error messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

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


def respelled(options: Mapping[str, Any]) -> str | None:
    """Return an error message that shows options of the old spelling in the new one; None if there are none.

    Args:
        options: Options of a distillation as written in the recipe.
    """
    old = [key for key in options if key in _KEYS]
    if not old:
        return None
    terms = yaml.safe_dump(_terms(options), default_flow_style=True, sort_keys=False, width=1_000_000).strip()
    return f"got {', '.join(old)}, expected loss terms as a list; in their place write terms: {terms}"


def _terms(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the terms in the new spelling: those of an existing list, else those of the old defaults."""
    listed = as_tuple(options.get("terms"))
    terms = (
        {each["kind"]: dict(each) for each in listed if isinstance(each, Mapping) and "kind" in each}
        if _is_list(listed)
        else {}
    )
    for name, (key, default) in _LAMBDAS.items():
        kind = options.get("reconstruction", "l1") if name == "reconstruction" else name
        weight = options.get(key, None if "terms" in options else default)
        if weight is not None:
            terms[kind] = {**terms.get(kind, {"kind": kind}), "weight": weight}
    for kind, key in _OWN_WEIGHT.items():
        if isinstance(given := options.get(key), Mapping):
            terms[kind] = {"kind": kind, "weight": given.get("weight", 0), **_unusual(kind, given)}
    for name, (key, default) in _OF_GAN.items():
        given = options.get(key, default)
        if "gan" in terms and given != TERMS["gan"].model_fields[name].default:
            terms["gan"].setdefault(name, given)
    gan = terms.pop("gan", None)
    return [term for term in (*terms.values(), *([gan] if gan else [])) if term.get("weight")]


def _unusual(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a term that differ from their defaults."""
    fields = TERMS[kind].model_fields
    defaults = {name: fields[name].default for name in given if name in fields}
    return {
        name: value for name, value in given.items() if name != "weight" and as_tuple(value) != defaults.get(name, ...)
    }


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
