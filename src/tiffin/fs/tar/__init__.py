"""Tar streams, read and written without seeking; nothing here touches a path.

The reader takes v7, ustar, star, GNU (long names, sparse, base 256) and PAX; the writer makes
ustar with PAX records where ustar cannot say it, the same bytes for the same entries.
"""

from tiffin.fs.tar.entry import Entry, EntryKind
from tiffin.fs.tar.reader import TarReader
from tiffin.fs.tar.writer import TarWriter

__all__ = ["Entry", "EntryKind", "TarReader", "TarWriter"]
