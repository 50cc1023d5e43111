"""What the spawner does not load is there when it is used. In a process of its own."""

import subprocess
import sys

SCRIPT = """
import sys
from tiffin.shim.lean import defer
defer('urllib.parse', 'quote_from_bytes')
from pathlib import Path
from urllib.parse import quote_from_bytes
spared = 'urllib' not in sys.modules or type(sys.modules['urllib.parse']).__name__ == '_Deferred'
assert spared
assert Path('/a b').as_uri() == 'file:///a%20b'
assert quote_from_bytes(b'a b') == 'a%20b'
assert type(sys.modules['urllib.parse']).__name__ == 'module'
from urllib.parse import urlsplit
assert urlsplit('http://a/b').path == '/b'
"""


def test_urls_are_made_by_the_real_module() -> None:
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path}\n{SCRIPT}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
