"""Quality-cost front of a search, and sentences on the certainty of its choice."""

from __future__ import annotations

from collections.abc import Iterable

from gancompress.report.data import Better, Candidate, SearchFacts


def pareto_front(candidates: Iterable[Candidate], better: Better) -> list[Candidate]:
    """Return the candidates that no other one dominates, by rising cost.

    One dominates another if it is no worse in cost and quality and better in one of them; of equals the first stays.
    Candidates without a finite quality (NaN) are never on the front.
    """
    sign = 1 if better == "lower" else -1
    known = (candidate for candidate in candidates if candidate.value == candidate.value)
    front: list[Candidate] = []
    for candidate in sorted(known, key=lambda candidate: (candidate.cost, sign * candidate.value)):
        if not front or sign * candidate.value < sign * front[-1].value:
            front.append(candidate)
    return front


def certainty(search: SearchFacts) -> list[str]:
    """Return sentences on the budget spent, the noise of the search and the rank correlation of its metric."""
    sentences = []
    if search.final_cost is not None and search.budget:
        sentences.append(f"The network spends {100 * search.final_cost / search.budget:.1f} % of the budget.")
    if search.num_compared:
        sentences.append(
            f"{search.num_undecided} of the {search.num_compared} next best plans may be as good as the chosen one: "
            f"the 95 % interval of the difference in {search.metric} over the images holds 0."
        )
    if search.agreement is not None:
        found = search.agreement
        spearman, kendall = (
            f"{value:.2f} (95 % interval {low:.2f} to {high:.2f})"
            for value, (low, high) in (
                (found.spearman, found.spearman_interval),
                (found.kendall, found.kendall_interval),
            )
        )
        sentences.append(
            f"Rank correlation of {search.metric} before and after fine-tuning, over {found.num_pairs} random plans at "
            f"the budget: Spearman {spearman}, Kendall {kendall}."
        )
    return sentences
