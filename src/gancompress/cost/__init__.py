"""Cost of a network: MACs, parameters and memory, by a closed form over the channel graph or by running it once."""

from gancompress.cost.budget import amount, filled_plan, widest_plan
from gancompress.cost.closed_form import Cost, CostModel
from gancompress.cost.conventions import CONVENTIONS, Convention, Macs
from gancompress.cost.measured import LayerCost, MeasuredCost, measure

__all__ = [
    "CONVENTIONS",
    "Convention",
    "Cost",
    "CostModel",
    "LayerCost",
    "Macs",
    "MeasuredCost",
    "amount",
    "filled_plan",
    "measure",
    "widest_plan",
]
