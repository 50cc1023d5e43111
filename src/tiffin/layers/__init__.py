"""Layers as tar streams: applying one to a tree, and making one from a snapshot's changes."""
