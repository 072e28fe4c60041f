"""Page that runs generators in the browser of its visitor: a folder of static files, and a server for it."""

from gancompress.deploy.web.directions import principal_directions
from gancompress.deploy.web.manifest import Contents, Start, kind_of
from gancompress.deploy.web.page import is_page, write_page
from gancompress.deploy.web.runtime import runtime_folder
from gancompress.deploy.web.samples import drawn_inputs, drawn_label_maps, drawn_scenes, read_samples
from gancompress.deploy.web.server import PageServer

__all__ = [
    "Contents",
    "PageServer",
    "Start",
    "drawn_inputs",
    "drawn_label_maps",
    "drawn_scenes",
    "is_page",
    "kind_of",
    "principal_directions",
    "read_samples",
    "runtime_folder",
    "write_page",
]
