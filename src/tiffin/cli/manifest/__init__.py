"""Lists of manifests: put together here, pushed to a registry."""
