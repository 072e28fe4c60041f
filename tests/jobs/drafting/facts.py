"""Networks, folders and a request that drafts are made of."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from gancompress.jobs.drafting import Request
from gancompress.jobs.drafting.image_folder import ImageFolder
from gancompress.jobs.drafting.recognition import Recognised
from gancompress.networks.image_format import Images

PHOTOS = ImageFolder("photos", {f"{number:04d}": (192, 256) for number in range(300)}, {"RGB": 300})
FEW = ImageFolder("few", {f"{number}": (100, 90) for number in range(10)}, {"RGB": 10})
STYLE = Recognised("cartoongan", 11_000_000, 3, 3, multiple=4, images=Images())
UPSCALER = Recognised("rrdbnet", 16_000_000, 3, 3, Fraction(4), images=Images())
OWN = Recognised("nets:Net", 1_000, 1, 1, images=Images.parse("0..1"), range_from="measured")
FIXED = replace(STYLE, multiple=128, fixed_side=128)
ASKED = Request("x.pth", "photos", smaller=10)
