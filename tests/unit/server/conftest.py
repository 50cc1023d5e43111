"""Fixtures of the server's tests."""

from server_serving import serve

__all__ = ["serve"]
