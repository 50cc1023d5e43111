"""The Engine REST API over HTTP."""
