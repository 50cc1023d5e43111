"""Container logs: the contracts in `driver.py`, one implementation per file.

Standard library only: the writing half lives in every container's shim.
"""
