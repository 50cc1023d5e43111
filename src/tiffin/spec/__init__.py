"""The vocabulary of OCI and Docker as frozen values. No I/O, standard library only."""
