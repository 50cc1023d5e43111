"""Run a registry of one's own. The server itself is `tiffin.distribution`, imported only to serve."""
