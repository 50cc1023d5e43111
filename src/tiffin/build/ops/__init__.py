"""The operations of a build graph, one per module."""
