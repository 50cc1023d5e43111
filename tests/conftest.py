"""What every test may rely on."""

from hypothesis import settings

# An example may take long on a busy machine, which says nothing about what it shows.
settings.register_profile("tiffin", deadline=None)
settings.load_profile("tiffin")
