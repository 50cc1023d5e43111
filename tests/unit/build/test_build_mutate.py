"""Config-only instructions, and `--change`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.build.changes import apply_changes, change_config
from tiffin.build.dockerfile.expand import expand
from tiffin.build.dockerfile.parser import parse_instruction
from tiffin.build.dockerfile.source import DockerfileError, SyntaxProblem
from tiffin.build.mutate import Edited, edit, environment, exposed_ports, is_signal, joined_path
from tiffin.errors import InvalidArgument
from tiffin.spec.container_config import ContainerConfig, Healthcheck
from tiffin.spec.image import ImageConfig


def edited(line: str, *, cmd_is_set: bool = False, **config: Any) -> Edited:  # noqa: ANN401
    before = ContainerConfig(**config)
    variables = environment(before)
    return edit(parse_instruction(line), before, lambda text: expand(text, variables),
                cmd_is_set=cmd_is_set)  # fmt: skip


@pytest.mark.parametrize(
    ("line", "member", "value", "history"),
    [
        ("CMD echo $A", "cmd", ("/bin/sh", "-c", "echo $A"), 'CMD ["/bin/sh" "-c" "echo $A"]'),
        ('CMD ["a", "b \\"c\\""]', "cmd", ("a", 'b "c"'), 'CMD ["a" "b \\"c\\""]'),
        ("CMD []", "cmd", (), "CMD []"),
        ('ENTRYPOINT ["x"]', "entrypoint", ("x",), 'ENTRYPOINT ["x"]'),
        ("ENV A=2 B=$A C='$A'", "env", ("A=2", "B=1", "C=$A"), "ENV A=2 B=1 C=$A"),
        ("ENV Z a  b", "env", ("A=1", "Z=a  b"), "ENV Z=a  b"),
        ("LABEL x=$A", "labels", {"old": "1", "x": "1"}, "LABEL x=1"),
        ("EXPOSE 80 53/UDP", "exposed_ports", ("80/tcp", "53/udp"),
         "EXPOSE map[53/udp:{} 80/tcp:{}]"),
        ("VOLUME /a $A", "volumes", ("/a", "1"), "VOLUME [/a 1]"),
        ("USER u:$A", "user", "u:1", "USER u:1"),
        ("WORKDIR sub/../x", "working_dir", "/w/x", "WORKDIR /w/x"),
        ("WORKDIR /", "working_dir", "/", "WORKDIR /"),
        ("STOPSIGNAL SIGRTMIN+3", "stop_signal", "SIGRTMIN+3", "STOPSIGNAL SIGRTMIN+3"),
        ('SHELL ["/bin/ash", "-c"]', "shell", ("/bin/ash", "-c"), "SHELL [/bin/ash -c]"),
        ("HEALTHCHECK NONE", "healthcheck", Healthcheck(("NONE",)), "HEALTHCHECK NONE"),
        ("HEALTHCHECK --retries=2 CMD x", "healthcheck", Healthcheck(("CMD-SHELL", "x"), retries=2),
         "HEALTHCHECK --retries=2 CMD x"),
        ("ONBUILD RUN $A", "on_build", ("RUN $A",), "ONBUILD RUN $A"),
    ],
)  # fmt: skip
def test_edits(line: str, member: str, value: object, history: str) -> None:
    result = edited(line, env=("A=1",), labels={"old": "1"}, working_dir="/w")
    assert getattr(result.config, member) == value
    assert result.created_by == history


def test_an_entrypoint_drops_the_inherited_command() -> None:
    assert edited('ENTRYPOINT ["x"]', cmd=("old",)).config.cmd is None
    assert edited('ENTRYPOINT ["x"]', cmd=("own",), cmd_is_set=True).config.cmd == ("own",)


def test_the_shell_form_uses_the_image_shell() -> None:
    assert edited("CMD x", shell=("/bin/bash", "-c")).config.cmd == ("/bin/bash", "-c", "x")


@pytest.mark.parametrize(
    ("spec", "ports"),
    [("80", ["80/tcp"]), ("1-3/udp", ["1/udp", "2/udp", "3/udp"]), ("9/sctp", ["9/sctp"])],
)
def test_ports(spec: str, ports: list[str]) -> None:
    assert exposed_ports(spec) == ports


@pytest.mark.parametrize("spec", ["x", "70000", "3-1", "80/foo", "80:80", "-1", "1-", ""])
def test_malformed_ports(spec: str) -> None:
    with pytest.raises(SyntaxProblem, match="invalid"):
        exposed_ports(spec)


def test_signals() -> None:
    good = ["9", "KILL", "sigterm", "SIGRTMIN", "RTMIN+15", "rtmax-1", "64"]
    bad = ["", "0", "65", "NOPE", "RTMIN+99", "-1", "SIG"]
    assert [name for name in good if not is_signal(name)] == []
    assert [name for name in bad if is_signal(name)] == []


@given(st.text("/.ab"), st.text("/.ab"))
def test_joined_paths_are_absolute_and_clean(current: str, path: str) -> None:
    joined = joined_path(current, path)
    assert joined.startswith("/")
    assert "//" not in joined
    assert not {"..", "."} & set(joined.split("/"))


def test_changes() -> None:
    base = ImageConfig(config=ContainerConfig(env=("A=1",), cmd=("old",)))
    changed = apply_changes(base, ["ENV B=$A", 'ENTRYPOINT ["e"]', "CMD c\nUSER u"]).config
    assert changed.env == ("A=1", "B=1")
    assert (changed.entrypoint, changed.cmd) == (("e",), ("/bin/sh", "-c", "c"))
    assert changed.user == "u"
    assert apply_changes(base, []) == base


@pytest.mark.parametrize("change", ["RUN x", "from a", "FOO x", "COPY a b", "ARG x", "SHELL []"])
def test_changes_that_are_not_allowed(change: str) -> None:
    word = change.split(maxsplit=1)[0]
    with pytest.raises(InvalidArgument, match=f"^{word} is not a valid change command$"):
        change_config(ContainerConfig(), [change])


def test_malformed_changes_are_located() -> None:
    with pytest.raises(DockerfileError, match="ENV must have two arguments"):
        change_config(ContainerConfig(), ["ENV x"])
    with pytest.raises(DockerfileError, match="invalid containerPort: x"):
        change_config(ContainerConfig(), ["EXPOSE x"])
