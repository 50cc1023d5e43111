"""How commit merges configs."""

from tiffin.api.types.containers import Config, HealthConfig
from tiffin.engine.commit import command_of, merged_config
from tiffin.spec.container_config import Healthcheck

CONTAINER = Config(
    user="u", env=["A=1", "B=2"], cmd=["run"], entrypoint=["entry"], working_dir="/w",
    labels={"a": "1", "b": "2"}, exposed_ports={"80/tcp": {}}, volumes={"/v": {}},
    stop_signal="SIGINT", healthcheck=HealthConfig(test=["NONE"]), hostname="gone",
)  # fmt: skip


def test_without_an_override() -> None:
    found = merged_config(CONTAINER, None, [])
    assert (found.user, found.env, found.cmd) == ("u", ("A=1", "B=2"), ("run",))
    assert (found.entrypoint, found.working_dir) == (("entry",), "/w")
    assert found.healthcheck == Healthcheck(("NONE",))
    assert "hostname" not in str(found.to_json()).lower()


def test_changes_alone() -> None:
    found = merged_config(CONTAINER, None, ['CMD ["x"]', "ENV B=3 C=$A", "LABEL c=3"])
    assert found.cmd == ("x",)
    assert found.env == ("A=1", "B=3", "C=1")
    assert found.labels == {"a": "1", "b": "2", "c": "3"}


def test_an_override_wins_and_its_gaps_are_filled() -> None:
    override = Config(user="o", env=["B=9"], cmd=["own"], labels={"b": "9"},
                      exposed_ports={"90/tcp": {}})  # fmt: skip
    found = merged_config(CONTAINER, override, [])
    assert (found.user, found.env) == ("o", ("B=9", "A=1"))
    assert found.labels == {"a": "1", "b": "9"}
    assert found.exposed_ports == ("90/tcp", "80/tcp")
    assert (found.cmd, found.entrypoint) == (("own",), ("entry",))
    assert (found.working_dir, found.stop_signal) == ("/w", "SIGINT")


def test_an_empty_override_is_the_container() -> None:
    assert merged_config(CONTAINER, Config(), []) == merged_config(CONTAINER, None, [])


def test_an_own_entrypoint_drops_the_inherited_command() -> None:
    found = merged_config(CONTAINER, Config(entrypoint=["e"]), [])
    assert (found.entrypoint, found.cmd) == (("e",), None)


def test_the_command_for_history() -> None:
    assert command_of(CONTAINER) == "entry run"
    assert command_of(Config(cmd="one")) == "one"
