"""Images as immutable views over the content store, and their sources and sinks."""
