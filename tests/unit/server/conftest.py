"""Fixtures of the server's tests."""

from tests.unit.server.server_serving import serve

__all__ = ["serve"]
