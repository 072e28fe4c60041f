"""Channel graph of a module: coupled channels, channel plans, and narrow networks. Independent of network families."""

from gancompress.channels.blocks import Block, LeftOut, leave_out, left_out_of, without_blocks
from gancompress.channels.graph import ChannelGraph, ChannelGroup, FixedChannels
from gancompress.channels.layout import Axis, Extent, Segment
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
    "Segment",
    "Slot",
    "SubNetwork",
    "check_complete",
    "leave_out",
    "left_out_of",
    "materialise",
    "narrow",
    "reorder",
    "reordered",
    "resized_attributes",
    "slots_from_widths",
    "trace",
    "widths_from_slots",
    "without_blocks",
]
