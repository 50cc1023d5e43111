"""A web page that says where it was served from: the process sees only its own container."""

import os
import socket
from pathlib import Path

from flask import Flask, render_template

app = Flask(__name__)


@app.get("/")
def index() -> str:
    processes = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    return render_template(
        "index.html",
        hostname=socket.gethostname(),
        address=socket.gethostbyname(socket.gethostname()),
        pid=os.getpid(),
        processes=len(processes),
        system=Path("/etc/debian_version").read_text().strip(),
    )


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)
