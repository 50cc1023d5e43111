"""The daemon's side of spawner and shims."""
