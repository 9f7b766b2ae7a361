"""The composition root: the only place that builds things, starts them and stops them in order.

``run`` is the daemon; ``specs`` and ``load`` are what the command line needs to look at a settings file
without one.
"""

from gateway.app.adapters import specs
from gateway.app.daemon import run
from gateway.app.files import catalogue, control_socket, listings_in, load, spool_folder, store_path
from gateway.app.plan import explain

__all__ = [
    "catalogue",
    "control_socket",
    "explain",
    "listings_in",
    "load",
    "run",
    "specs",
    "spool_folder",
    "store_path",
]
