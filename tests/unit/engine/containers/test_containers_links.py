import pytest

from tiffin.api.types.containers import Config
from tiffin.engine.containers.links import describe, split_link


@pytest.mark.parametrize(
    ("link", "parts"),
    [
        ("db", ("db", "db")),
        ("db:data", ("db", "data")),
        ("/db:/web/data", ("db", "data")),
    ],
)
def test_the_parts_of_a_link(link: str, parts: tuple[str, str]) -> None:
    assert split_link(link) == parts


def test_a_linked_container_is_described() -> None:
    config = Config(exposed_ports={"6379/tcp": {}, "53/udp": {}}, env=["A=b=c", "HOME=/", "GONE"])
    assert list(describe("/web/my-db", "my-db", "10.0.0.2", config)) == [
        "MY_DB_PORT=udp://10.0.0.2:53",
        "MY_DB_PORT_53_UDP=udp://10.0.0.2:53",
        "MY_DB_PORT_53_UDP_ADDR=10.0.0.2",
        "MY_DB_PORT_53_UDP_PORT=53",
        "MY_DB_PORT_53_UDP_PROTO=udp",
        "MY_DB_PORT_6379_TCP=tcp://10.0.0.2:6379",
        "MY_DB_PORT_6379_TCP_ADDR=10.0.0.2",
        "MY_DB_PORT_6379_TCP_PORT=6379",
        "MY_DB_PORT_6379_TCP_PROTO=tcp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_A=b=c",
    ]
