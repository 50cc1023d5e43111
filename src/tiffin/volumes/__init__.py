"""Volumes: the contract in `driver.py`, one implementation per file."""
