"""Channel graph of a module: coupled channels, channel plans, and narrow networks. Independent of network families."""

from gancompress.channels.blocks import Block
from gancompress.channels.graph import ChannelGraph, ChannelGroup, FixedChannels
from gancompress.channels.layout import Axis, Extent, Segment
from gancompress.channels.left_out import (
    LeftOut,
    LeftOutBranch,
    is_branch,
    leave_out,
    left_out_of,
    lies_in,
    modules_of,
    outermost,
    owner_of,
    without_blocks,
)
from gancompress.channels.narrow import check_complete, narrow, reorder
from gancompress.channels.plan import ChannelPlan
from gancompress.channels.slots import Slot, slots_from_widths, widths_from_slots
from gancompress.channels.subnetwork import SubNetwork, materialise, reordered, resized_attributes
from gancompress.channels.trace import trace

__all__ = [
    "Axis",
    "Block",
    "ChannelGraph",
    "ChannelGroup",
    "ChannelPlan",
    "Extent",
    "FixedChannels",
    "LeftOut",
    "LeftOutBranch",
    "Segment",
    "Slot",
    "SubNetwork",
    "check_complete",
    "is_branch",
    "leave_out",
    "left_out_of",
    "lies_in",
    "materialise",
    "modules_of",
    "narrow",
    "outermost",
    "owner_of",
    "reorder",
    "reordered",
    "resized_attributes",
    "slots_from_widths",
    "trace",
    "widths_from_slots",
    "without_blocks",
]
