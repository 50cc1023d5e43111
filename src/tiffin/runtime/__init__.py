"""From an OCI bundle to running processes: the contract in `runtime.py`. Standard library only."""
