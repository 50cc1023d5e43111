"""Tiffin, a container platform in Python.

The packages below are the layers of ARCHITECTURE.md; imports between them only go down.
"""

__version__ = "0.1.0"
