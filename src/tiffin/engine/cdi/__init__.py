"""The Container Device Interface: devices that their vendors describe in files (CDI 1.1.0)."""

DEFAULT_DIRECTORIES = ("/etc/cdi", "/var/run/cdi")
"""Where vendors put their files, the directory that wins last."""
