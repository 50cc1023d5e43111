"""Composition root: reads the configuration, picks the technologies, wires, recovers, serves."""
