"""The client side of the OCI distribution protocol."""
