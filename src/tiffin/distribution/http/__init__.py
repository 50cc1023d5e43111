"""The registry over HTTP: requests → calls, errors → answers."""
