"""The engine's durable state: one SQLite file, small repositories above it."""
