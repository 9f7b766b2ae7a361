"""What the administrator wrote, read strictly, as one immutable value.

``load`` turns text into ``Settings`` or says everything that is wrong with it, each with its place and a
remedy; ``schema`` and ``reference`` print what may be written.
"""

from gateway.settings.describe import reference, schema
from gateway.settings.loading import load, load_file

__all__ = ["load", "load_file", "reference", "schema"]
