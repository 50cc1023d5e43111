"""What malloc and the garbage collector hold: little of it, and given back."""

import ctypes
import gc

_M_ARENA_MAX = -8
"""mallopt(3): how many heaps the threads of a process share."""


def share_heaps() -> None:
    """Have all threads share one malloc heap: each further one keeps pages that it once used."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Collect garbage and return what malloc holds but nobody uses to the kernel."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
