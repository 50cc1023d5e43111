"""Use-cases of networks: created, listed, connected; containers get their endpoints from here."""
