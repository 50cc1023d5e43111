"""Filesystem snapshots: the contract in `snapshotter.py`, one implementation per file."""
