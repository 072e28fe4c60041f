from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from gancompress.report import Better, Candidate, RankFacts, SearchFacts, pareto_front
from gancompress.report.front import certainty


def beats(one: Candidate, other: Candidate, better: Better) -> bool:
    sign = 1 if better == "lower" else -1
    a, b = (one.cost, sign * one.value), (other.cost, sign * other.value)
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("seed", range(20))
def test_front_equals_brute_force(better: Better, seed: int):
    rng = random.Random(seed)
    # few levels, so that ties in cost, in quality and in both are common
    candidates = [Candidate(str(i), rng.randrange(12), rng.randrange(12)) for i in range(40)]
    unbeaten = [one for one in candidates if not any(beats(other, one, better) for other in candidates)]
    front = pareto_front(candidates, better)
    assert [(c.cost, c.value) for c in front] == sorted({(c.cost, c.value) for c in unbeaten})


def test_unknown_quality_is_never_on_the_front():
    assert pareto_front([Candidate("a", 1.0, math.nan), known := Candidate("b", 2.0, 3.0)], "lower") == [known]
    assert pareto_front([], "higher") == []


def test_how_far_a_choice_can_be_trusted_is_put_in_sentences():
    search = SearchFacts("ssim", "higher", "MACs", [Candidate("8_8", 90.0, 0.5, True)], budget=100.0)
    assert certainty(search) == []
    ranks = RankFacts(0.25, 0.125, (-0.5, 0.75), (-0.25, 0.5), 12)
    known = replace(search, final_cost=98.5, num_compared=9, num_undecided=4, agreement=ranks)
    assert certainty(known) == [
        "The network spends 98.5 % of the budget.",
        "4 of the 9 next best plans may be as good as the chosen one: the 95 % interval of the difference in ssim "
        "over the images holds 0.",
        "Rank correlation of ssim before and after fine-tuning, over 12 random plans at the budget: Spearman 0.25 (95 "
        "% interval -0.50 to 0.75), Kendall 0.12 (95 % interval -0.25 to 0.50).",
    ]
