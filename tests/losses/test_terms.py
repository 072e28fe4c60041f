"""The grammar of loss terms: weights, names, functions and terms of other packages."""

from __future__ import annotations

import pytest
import torch
import yaml

import gancompress.losses
from gancompress.errors import ConfigError
from gancompress.losses import L1, TERMS, Adversarial, Comparison, Features, Function, Networks, named
from gancompress.objectives.distillation_options import DEFAULT_TERMS, DistillationOptions
from tests.outside.edges import Edges, brightness, unreduced

NOTHING = Networks((), {}, {}, False, torch.zeros(1, 3, 8, 8))


def compared() -> Comparison:
    torch.manual_seed(0)
    return Comparison(torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8), {}, {})


def test_every_kind_is_a_public_class_with_a_weight_by_position():
    own = {kind: term for kind, term in TERMS.items() if term.__module__.startswith("gancompress.")}
    assert len(own) > 10
    for kind, term in own.items():
        assert getattr(gancompress.losses, term.__name__) is term
        if kind != "function":
            assert term(3) == TERMS.parse({"kind": kind, "weight": 3})
            assert term().weight == 1.0
            assert TERMS.parse(term(2).model_dump(mode="json")) == term(2)


def test_names_of_terms_in_logs():
    terms = (L1(1), Features(0), L1(2), Function(1, function=brightness), Function(function=lambda a, b: a.mean()))
    assert list(named(terms)) == ["l1", "l1_2", "brightness", "function"]


@pytest.mark.parametrize(
    "given",
    [
        brightness,
        "tests.outside.edges:brightness",
        {"kind": "tests.outside.edges:brightness"},
        {"kind": "function", "function": "tests.outside.edges:brightness"},
    ],
)
def test_a_plain_function_is_a_term(given):
    (term,) = DistillationOptions(terms=[given]).terms
    c = compared()
    assert term.build(NOTHING).loss(c) == brightness(c.image, c.target)
    written = {"kind": "function", "weight": 1.0, "function": "tests.outside.edges:brightness"}
    assert term.model_dump(mode="json") == written
    assert TERMS.parse(written).model_dump(mode="json") == written


def test_a_function_returns_a_scalar():
    with pytest.raises(ConfigError, match=r"edges:unreduced returned shape \(2, 3, 8, 8\), expected a scalar tensor"):
        Function(function=unreduced).build(NOTHING).loss(compared())
    with pytest.raises(ConfigError, match="function: got a int, expected a function"):
        Function(function=3)


def test_a_term_of_another_package_from_python_and_from_a_recipe():
    c = compared()
    expected = ((c.image[..., 2:] - c.image[..., :-2]) - (c.target[..., 2:] - c.target[..., :-2])).abs().mean()
    by_path = "{kind: 'tests.outside.edges:Edges', weight: 5, step: 2}"
    for given in (Edges(5, step=2), {"kind": "edges", "weight": 5, "step": 2}, yaml.safe_load(by_path)):
        options = DistillationOptions(terms=[given, "l1"])
        assert options.terms == (Edges(5, step=2), L1(1))
        assert list(options.weighted) == ["edges", "l1"]
        assert options.terms[0].build(NOTHING).loss(c).item() == pytest.approx(expected.item())
        again = DistillationOptions(**yaml.safe_load(yaml.safe_dump(options.model_dump(mode="json"))))
        assert again == options


MISTAKES = {
    "two discriminators": ([Adversarial(1), Adversarial(2)], "terms: got gan and gan_2, expected one adversarial term"),
    "a kind that is not one": (["l3"], r"terms\.0: got 'l3', expected a loss term; did you mean 'l2'\?"),
    "an option that is not one": (
        [{"kind": "l1", "wait": 1}],
        r"terms\.0\.wait: unknown option, did you mean 'weight'\?",
    ),
    "a class without a weight": ([L1], r"terms\.0: got the class L1, expected options; write L1\(\.\.\.\)"),
    "a term of CycleGAN": (["cycle"], "got cycle, which needs a generator of the opposite direction, expected it in"),
    "no list": ("l1", r"terms: got 'l1', expected a valid tuple"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told_in_one_line(case):
    terms, message = MISTAKES[case]
    with pytest.raises(ConfigError, match=message) as error:
        DistillationOptions(terms=terms)
    assert "\n" not in str(error.value)


def test_the_default_terms():
    assert DistillationOptions().terms == DEFAULT_TERMS == (L1(100), Features(1), Adversarial(1, balance=1))
