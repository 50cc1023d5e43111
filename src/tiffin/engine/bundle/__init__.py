"""From a container's configuration to an OCI runtime configuration (`config.json`)."""
