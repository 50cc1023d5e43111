"""Whole builds on real snapshots: stages, copies, runs, cache, results."""

import stat

import pytest
from tests.root.build.build_rig import Rig, tar_of

from tiffin.build.ops.run import RunFailed
from tiffin.errors import InvalidArgument, NotFound

pytestmark = pytest.mark.root


def test_multi_stage(rig: Rig) -> None:
    dockerfile = """
ARG BASE=base:1
FROM ${BASE} AS builder
ARG GREETING=hello
ENV NAME=world
WORKDIR /src
COPY app.txt .
RUN echo "$GREETING $NAME" > /src/out && cat app.txt

FROM base:1 AS unused
RUN false

FROM base:1
LABEL kind=test
COPY --from=builder --chown=app:staff /src/out /data/
USER app
EXPOSE 80
CMD ["cat", "/data/out"]
"""
    files = {"Dockerfile": dockerfile, "app.txt": "the app\n"}
    image = rig.build(files, arguments={"GREETING": "hi", "STRAY": "x"}, names=["multi:1"])
    assert rig.read(image, "data/out") == "hi world\n"
    status = rig.stat(image, "data/out")
    assert (status.st_uid, status.st_gid) == (1000, 50)
    config = image.config.config
    assert (config.user, config.cmd) == ("app", ("cat", "/data/out"))
    assert config.labels == {"kind": "test"}
    assert rig.store.resolve("multi:1").id == image.id
    assert "Step 1/13 : ARG BASE=base:1\n" in rig.log
    assert "the app\n" in rig.log
    assert "unused" not in rig.log
    assert "[Warning] One or more build-args [STRAY] were not consumed\n" in rig.log
    assert rig.log.endswith("Successfully tagged multi:1\n")
    history = [entry.created_by for entry in image.config.history]
    assert history == [
        "base", "LABEL kind=test",
        "COPY --from=builder --chown=app:staff /src/out /data/ # buildkit",
        "USER app", "EXPOSE map[80/tcp:{}]", 'CMD ["cat" "/data/out"]',
    ]  # fmt: skip

    again = rig.build(files, arguments={"GREETING": "hi", "STRAY": "x"}, names=["multi:1"])
    assert again.id == image.id
    assert rig.log.count("Using cache") == 10
    assert len(rig.executor.requests) == 1


def test_cache_follows_content_not_times(rig: Rig) -> None:
    dockerfile = "FROM base:1\nCOPY a /a\nRUN cat /a > /b\n"
    first = rig.build({"Dockerfile": dockerfile, "a": "1"})
    assert rig.build({"Dockerfile": dockerfile, "a": "1", "other": "x"}).id == first.id
    changed = rig.build({"Dockerfile": dockerfile, "a": "2"}, explains=True)
    assert changed.id != first.id
    assert "Not cached: file a changed" in rig.log
    assert "Not cached: parent step changed" in rig.log
    assert rig.read(changed, "b") == "2"
    rig.build({"Dockerfile": dockerfile, "a": ("2", 0o755)})
    assert rig.log.count("Using cache") == 0
    rig.build({"Dockerfile": dockerfile, "a": ("2", 0o755)}, no_cache=True)
    assert rig.log.count("Using cache") == 0


def test_failing_run(rig: Rig) -> None:
    with pytest.raises(RunFailed) as caught:
        rig.build({"Dockerfile": "FROM base:1\nRUN echo no; exit 3\n"})
    assert str(caught.value) == (
        "The command '/bin/sh -c echo no; exit 3' returned a non-zero code: 3"
    )
    assert caught.value.exit_code == 3
    assert "no\n" in rig.log


COPIES = r"""FROM base:1
WORKDIR /w
COPY one two/
COPY d .
COPY *.txt texts/
COPY --chmod=640 one /modes/octal
COPY --chmod=u=rwX,go=rX d /modes/tree
COPY d /lib/
COPY --exclude=*.md d /excluded/
COPY --parents d/sub/deep ./parents/
COPY link /followed
COPY <<EOT <<-'RAW' /here/
value $PATH
EOT
	tabs $PATH
	RAW
"""


def test_copy_rules(rig: Rig) -> None:
    image = rig.build({
        "Dockerfile": COPIES,
        "one": "1", "d": None, "d/x": "x", "d/y.md": "y", "d/sub": None, "d/sub/deep": "deep",
        "a.txt": "a", "b.txt": "b", "link": "->one",
    })  # fmt: skip
    assert rig.listing(image, "w") == ["parents", "sub", "texts", "two", "x", "y.md"]
    assert rig.read(image, "w/two/one") == "1"
    assert rig.listing(image, "w/texts") == ["a.txt", "b.txt"]
    assert stat.S_IMODE(rig.stat(image, "modes/octal").st_mode) == 0o640
    assert stat.S_IMODE(rig.stat(image, "modes/tree/x").st_mode) == 0o644
    assert stat.S_IMODE(rig.stat(image, "modes/tree/sub").st_mode) == 0o755
    assert stat.S_ISLNK(rig.stat(image, "lib").st_mode)
    assert rig.read(image, "usr/lib/x") == "x"
    assert rig.listing(image, "excluded") == ["sub", "x"]
    assert rig.read(image, "w/parents/d/sub/deep") == "deep"
    assert stat.S_ISREG(rig.stat(image, "followed").st_mode)
    assert rig.read(image, "here/EOT") == "value /bin\n"
    assert rig.read(image, "here/RAW") == "tabs $PATH\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("COPY nope /x", "in build context or excluded by .dockerignore: stat nope: file does not "),
        ("COPY no* /x", "COPY failed: no source files were specified"),
        ("COPY --from=7 a /x", "invalid from flag value 7"),
        ("COPY --chown=ghost a /x", "can't find uid for user ghost"),
        ("COPY --chmod=999 a /x", "invalid chmod parameter"),
        ("COPY a b /x", "When using COPY with more than one source file"),
        ("ADD https://example.com/x.git /x", "git repository"),
        ("STOPSIGNAL NOPE", "invalid signal: NOPE"),
    ],
)  # fmt: skip
def test_complaints(rig: Rig, line: str, message: str) -> None:
    with pytest.raises((InvalidArgument, NotFound)) as caught:
        rig.build({"Dockerfile": f"FROM base:1\n{line}\n", "a": "1", "b": "2"})
    assert message in str(caught.value)


def test_nothing_is_reached_outside(rig: Rig) -> None:
    """Links in the context and in the image never lead out of them."""
    dockerfile = """FROM base:1
COPY out /1
COPY up /2
RUN ln -s /../../../../tmp/escape /door && mkdir -p /tmp/escape
COPY f /door/
"""
    image = rig.build({
        "Dockerfile": dockerfile, "out": "->/etc/hostname", "up": "->../../../../etc/hostname",
        "etc": None, "etc/hostname": "inside", "f": "payload",
    })  # fmt: skip
    assert rig.read(image, "1") == "inside"
    assert rig.read(image, "2") == "inside"
    assert rig.read(image, "tmp/escape/f") == "payload"


def test_archives_are_added(rig: Rig) -> None:
    inner = tar_of({"x/y": "deep", "../../evil": "caught"})
    image = rig.build({"Dockerfile": "FROM base:1\nADD in.tar /t\nCOPY in.tar /t2\n"
                       "ADD --unpack=false in.tar /t3/\n", "in.tar": inner})  # fmt: skip
    assert rig.read(image, "t/x/y") == "deep"
    assert rig.listing(image, "t") == ["evil", "x"]
    assert stat.S_ISREG(rig.stat(image, "t2").st_mode)
    assert rig.listing(image, "t3") == ["in.tar"]


def test_urls_are_added(rig: Rig) -> None:
    rig.fetcher.files["http://x.test/f.bin"] = b"data"
    sha = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"
    image = rig.build({"Dockerfile": f"FROM base:1\nADD --checksum=sha256:{sha} "
                       "http://x.test/f.bin /d/\nADD http://x.test/f.bin /e\n"})  # fmt: skip
    assert rig.read(image, "d/f.bin") == "data"
    assert stat.S_IMODE(rig.stat(image, "e").st_mode) == 0o600
    with pytest.raises(InvalidArgument, match="digest mismatch"):
        rig.build({"Dockerfile": f"FROM base:1\nADD --checksum=sha256:{'0' * 64} "
                   "http://x.test/f.bin /d/\n"})  # fmt: skip


MOUNTS = r"""FROM base:1 AS data
RUN mkdir /made && echo from-stage > /made/f
FROM base:1
RUN --mount=type=bind,source=ctx,target=/m/ctx \
    --mount=type=bind,from=data,source=/made,target=/m/s \
    --mount=type=tmpfs,target=/scratch --mount=type=cache,target=/cache \
    cat /m/ctx/f /m/s/f > /result; touch /scratch/x /cache/kept
RUN --mount=type=cache,target=/cache ls /cache > /seen
RUN <<EOT
echo one > /script
echo two >> /script
EOT
RUN <<EOT
#!/bin/cat
as a file
EOT
"""


def test_mounts(rig: Rig) -> None:
    image = rig.build({"Dockerfile": MOUNTS, "ctx": None, "ctx/f": "from-context\n"})
    assert rig.read(image, "result") == "from-context\nfrom-stage\n"
    assert rig.read(image, "seen") == "kept\n"
    assert rig.read(image, "script") == "one\ntwo\n"
    assert "as a file" in rig.log
    names = rig.listing(image, "")
    assert not {"m", "scratch", "cache", "dev", "proc"} & set(names)


def test_onbuild_and_workdir(rig: Rig) -> None:
    rig.build({"Dockerfile": "FROM base:1\nWORKDIR /app\nONBUILD COPY f .\nONBUILD RUN cat f\n"},
              names=["trigger:1"])  # fmt: skip
    image = rig.build({"Dockerfile": "FROM trigger:1\nRUN echo after\n", "f": "payload\n"})
    assert "# Executing 2 build triggers\n" in rig.log
    assert "payload\n" in rig.log
    assert image.config.config.on_build == ()
    assert rig.read(image, "app/f") == "payload\n"


def test_from_scratch_and_plain_from(rig: Rig) -> None:
    image = rig.build({"Dockerfile": "FROM scratch\nCOPY f /\n", "f": "1"})
    assert rig.listing(image, "") == ["f"]
    base = rig.store.resolve("base:1")
    assert rig.build({"Dockerfile": "FROM base:1\n"}, names=["same:1"]).id == base.id
    assert rig.store.resolve("same:1").id == base.id


def test_reproducible_with_an_epoch(rig: Rig) -> None:
    files = {"Dockerfile": "FROM base:1\nCOPY a /new/a\nRUN date > /dev/null; touch /b\n",
             "a": "1"}  # fmt: skip
    arguments = {"SOURCE_DATE_EPOCH": "1600000001"}
    first = rig.build(files, arguments=arguments)
    second = rig.build(files, arguments=arguments, no_cache=True)
    assert first.id == second.id
    assert first.config.created == "2020-09-13T12:26:41Z"
    assert rig.stat(first, "b").st_mtime == 1600000001


def test_labels_target_and_dockerfile_name(rig: Rig) -> None:
    files = {"sub/My.Dockerfile": "FROM base:1 AS one\nENV A=1\nFROM one AS two\nENV A=2\n"}
    image = rig.build(files, dockerfile="sub/My.Dockerfile", target="ONE",
                      labels={"a": "$b 'c'"})  # fmt: skip
    assert image.config.config.labels == {"a": "$b 'c'"}
    assert "A=1" in image.config.config.env
    with pytest.raises(InvalidArgument, match='target stage "three" could not be found'):
        rig.build(files, dockerfile="sub/My.Dockerfile", target="three")
    with pytest.raises(InvalidArgument, match="Cannot locate specified Dockerfile: x"):
        rig.build(files, dockerfile="x")


def test_ignored_files(rig: Rig) -> None:
    image = rig.build({"Dockerfile": "FROM base:1\nCOPY . /ctx/\n", "a/keep": "1", "a/drop": "2",
                       "b": "3", ".dockerignore": "*\n!a/keep\n# no\n"})  # fmt: skip
    assert rig.listing(image, "ctx") == ["a"]
    assert rig.listing(image, "ctx/a") == ["keep"]


def test_independent_stages_run_in_parallel(rig: Rig) -> None:
    """Each of two stages waits for the other through a cache mount."""
    meet = "n=0; until test -e /c/{other}; do sleep 0.1; n=1$n; test $n != 11111111111110 || exit 1; done"
    meet = meet.replace("11111111111110", "1" * 100 + "0")
    dockerfile = "\n".join([
        "FROM base:1 AS one",
        "RUN --mount=type=cache,target=/c touch /c/one; " + meet.format(other="two"),
        "FROM base:1 AS two",
        "RUN --mount=type=cache,target=/c touch /c/two; " + meet.format(other="one"),
        "FROM base:1",
        "COPY --from=one /bin/sh /1", "COPY --from=two /bin/sh /2",
    ])  # fmt: skip
    rig.build({"Dockerfile": dockerfile})
    steps = [line for line in rig.log.splitlines() if line.startswith("Step")]
    assert [line.split("/")[0] for line in steps] == [f"Step {n}" for n in range(1, 8)]


def test_lost_layers_are_misses(rig: Rig) -> None:
    files = {"Dockerfile": "FROM base:1\nCOPY a /a\n", "a": "1"}
    image = rig.build(files)
    rig.store.remove(image.id)
    assert rig.build(files).id == image.id, "the cache keeps its layers"
    assert "Using cache" in rig.log
    rig.store.remove(image.id)
    rig.store.snapshotter.remove(image.chain_id)
    rebuilt = rig.build(files)
    assert "Using cache" not in rig.log
    assert rig.read(rebuilt, "a") == "1"


def test_steps_are_taken_from_an_image(rig: Rig) -> None:
    dockerfile = "FROM base:1\nENV A=1\nRUN echo made > /made\nRUN touch /more\nCOPY a /a\n"
    image = rig.build({"Dockerfile": dockerfile, "a": "1"}, names=["before:1"])
    rig.cache.forget(record.key for record in rig.cache.records())
    rig.build({"Dockerfile": dockerfile, "a": "1"}, cache_from=("before:1",))
    assert rig.log.count("Using cache") == 3
    assert len(rig.executor.requests) == 2
    changed = dockerfile.replace("echo made", "echo else")
    other = rig.build({"Dockerfile": changed, "a": "1"}, cache_from=("before:1",))
    assert rig.log.count("Using cache") == 1
    assert rig.read(other, "made") == "else\n"
    assert rig.read(image, "made") == "made\n"
