"""A thin client of the REST API: works against any compatible engine. Standard library only."""
