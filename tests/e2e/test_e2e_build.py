"""`build` with the real client."""

from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_build(daemon: Daemon, busybox: str, tmp_path: Path) -> None:
    dockerfile = f"""
ARG BASE={busybox}
FROM $BASE AS tools
ARG WORD=none
RUN echo "$WORD" > /word && mkdir /made && echo x > /made/x
FROM {busybox}
WORKDIR /app
ENV GREETING="hello world" \\
    OTHER=1
COPY --from=tools /word /made/ ./
COPY . .
COPY <<EOF /heredoc
one $GREETING
EOF
RUN <<EOF
set -e
echo two >> /heredoc
EOF
LABEL kind=test
EXPOSE 80/tcp
USER 1000
ENTRYPOINT ["cat"]
CMD ["/heredoc", "word", "x", "a.txt"]
"""
    write(tmp_path, Dockerfile=dockerfile, a_dot_txt="A\n", skip_dot_me="S")
    (tmp_path / ".dockerignore").write_text("*.me\n")
    done = daemon.docker("build", "-t", "made:1", "--build-arg", "WORD=w", str(tmp_path))
    assert "Successfully tagged made:1" in done.stdout
    assert daemon.docker("run", "--rm", "made:1").stdout == "one hello world\ntwo\nw\nx\nA\n"
    listing = daemon.docker("run", "--rm", "--entrypoint", "ls", "made:1", "/app").stdout.split()
    assert "skip.me" not in listing
    config = daemon.docker("inspect", "-f", "{{json .Config}}", "made:1").stdout
    for piece in ('"User":"1000"', '"WorkingDir":"/app"', '"80/tcp":{}', '"kind":"test"'):
        assert piece in config
    again = daemon.docker("build", "-t", "made:1", "--build-arg", "WORD=w", str(tmp_path))
    assert again.stdout.count("Using cache") >= 4
    (tmp_path / "a.txt").write_text("B\n")
    changed = daemon.docker("build", "-q", "-t", "made:2", "--build-arg", "WORD=w", str(tmp_path))
    assert changed.stdout.startswith("sha256:")
    assert daemon.docker("run", "--rm", "made:2").stdout.endswith("B\n")
    daemon.docker("rmi", "-f", "made:1", "made:2")


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("FROM {base}\nRUN false\n", "The command '/bin/sh -c false' returned a non-zero code: 1"),
        ("FROM {base}\nCOPY missing /x\n", "missing"),
        ("FROM {base}\nFOO bar\n", "unknown instruction: FOO"),
        ("RUN x\n", "no build stage in current context"),
        ("FROM localhost:1/no:such\n", "localhost:1"),
        ("", "cannot be empty"),
        ("FROM {base}\nCOPY --from=localhost:1/nope a b\n", "localhost:1"),
        ("FROM {base} AS x\nRUN echo ${{X:?gone}}\nENV A=${{Y:?gone}}\n", "gone"),
    ],
)
def test_faults(
    daemon: Daemon, busybox: str, tmp_path: Path, dockerfile: str, message: str
) -> None:
    write(tmp_path, Dockerfile=dockerfile.format(base=busybox))
    done = daemon.docker("build", str(tmp_path), check=False)
    assert done.returncode != 0
    assert message in done.stderr, done
    assert "Traceback" not in done.stderr


def test_copy_cannot_leave_the_context_or_the_image(
    daemon: Daemon, busybox: str, tmp_path: Path
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (tmp_path / "secret").write_text("host")
    (context / "link").symlink_to(tmp_path / "secret")
    write(context, Dockerfile=f"FROM {busybox}\nRUN ln -s {tmp_path} /out\nCOPY file /out/planted\n",
          file="x")  # fmt: skip
    daemon.docker("build", "-t", "contained:1", str(context), check=False)
    assert not (tmp_path / "planted").exists()
    up = tmp_path / "up"
    up.mkdir()
    write(up, Dockerfile=f"FROM {busybox}\nCOPY ../secret /secret\n")
    assert daemon.docker("build", str(up), check=False).returncode != 0
    daemon.docker("rmi", "contained:1", check=False)


def test_build_has_the_network_settings_asked_for(
    daemon: Daemon, busybox: str, tmp_path: Path
) -> None:
    write(
        tmp_path,
        Dockerfile=f"FROM {busybox}\nRUN ls /sys/class/net > /nets && grep far /etc/hosts\n",
    )
    done = daemon.docker("build", "-t", "nets:1", "--network", "none", "--add-host", "far:1.2.3.4",
                         "--no-cache", str(tmp_path))  # fmt: skip
    assert "1.2.3.4" in done.stdout
    assert daemon.docker("run", "--rm", "nets:1", "cat", "/nets").stdout.split() == ["lo"]
    daemon.docker("rmi", "nets:1")


def test_stages_that_are_not_needed_are_not_run(
    daemon: Daemon, busybox: str, tmp_path: Path
) -> None:
    write(tmp_path, Dockerfile=f"FROM {busybox} AS a\nRUN false\nFROM {busybox} AS b\nRUN true\n")
    daemon.docker("build", "--target", "b", str(tmp_path))
    assert daemon.docker("build", "--target", "a", str(tmp_path), check=False).returncode != 0
