"""Use-cases of containers: one module each, over a small model of spec and instance."""
