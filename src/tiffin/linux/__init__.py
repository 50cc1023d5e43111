"""The kernel, thinly: calls raise OSError with errno and path, and hold no policy.

Standard library only: part of it is loaded by every container's shim.
"""
