"""Names of log options that several drivers share."""

ATTRIBUTES = frozenset({"labels", "labels-regex", "env", "env-regex", "tag"})
"""Those that say what each record tells of its container (`logs/attributes.py`)."""
