"""`tiffin` beside the real client, word for word: the same commands against one daemon."""

import re
import shlex
from collections.abc import Iterator

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e

AGE = r"(?:\d+|About an?|Less than a) (?:seconds?|minutes?)(?: ago)?"
CHANGING = (
    (r"DEPRECATED: The legacy builder[^\n]*\n[^\n]*\n[^\n]*\n\n", ""),
    (r"\b[0-9a-f]{64}\b", "ID"),
    (r"\b[0-9a-f]{12}\b", "id"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", "TIME"),
    (rf"{AGE} *", "AGE "),
    (r"endpoint \w+_\w+", "endpoint NAME"),
    (r" +\n", "\n"),
    (r"(?<=\S)  +", "  "),
)

READING = """
ps | ps -a | ps -aq | ps -a --no-trunc | ps -as | ps -a --format json | ps -aq --format {{.Names}}
ps -a --format 'table {{.Names}}\t{{.Label "a"}}'
ps --format '{{upper .Names}} {{.Ports}} {{.Mounts}}'
ps --format '{{json .Names}} {{truncate .ID 2}}' | ps -a --filter status=exited | ps --filter foo
ps -n 1 | ps --filter foo=bar | container ls -a | images | images -q | images --digests
images --format json | images nosuch | images --filter bogus=1 | history bb | history -q bb
history -H=false bb | history nosuch | inspect web net1 vol1 | inspect nosuch
inspect --type image web | inspect -f '{{.State.Status}} {{json .Config.Labels}}' web
inspect -f '{{.Config.Labels.zz}}' web | inspect -f '{{if .State.Health}}h{{else}}none{{end}}' web
inspect -f '{{.X' web
inspect -f '{{range $p, $b := .NetworkSettings.Ports}}{{$p}}={{(index $b 0).HostPort}} {{end}}' web
inspect -f '{{.HostConfig.PortBindings}} {{.Config.Env}} {{.HostConfig.CapAdd}}' web
container inspect nosuch | image inspect nosuch | network inspect nosuch | volume inspect nosuch
image inspect -f '{{.Config.Cmd}} {{.Os}}' bb | network ls | network ls -q
network ls --format json | network ls --filter bad=1 | volume ls | volume ls --format json
volume ls --filter dangling=true | logs web | logs --tail 1 web | logs --since 10m web
logs --since nope web | logs nosuch | port web | port web 80 | port web 99 | port web abc
top web | top done | diff web | diff nosuch | wait done | wait nosuch
events --since 1h --until 0s --filter type=image
events --since 1h --until 0s --filter event=create --format '{{.Type}} {{.Status}} {{.From}}'
events --since x | system df | system df --format json | info -f '{{.Name}} {{.NCPU}}'
context ls | version -f '{{.Server.APIVersion}} {{.Server.Os}}' | context show
context use nosuch | context rm nosuch | stats --no-stream done --format '{{.Name}} {{.PIDs}}'
attach done | exec done ls | save nosuch | load -i /nosuch | exec web nosuchprog
exec web sh -c 'exit 7' | exec -w /nosuch web ls | exec -u nosuch web id
exec -e A=1 web sh -c 'echo $A' | exec web | exec nosuch ls | exec -it web sh
"""

REFUSED = """
nosuch | container nosuch | --nosuch | ps --nosuch | ps -x | ps extra | stop | stop -t x web
tag a | run | run --nosuch | run -p abc bb | run -p 1-3:4-5 bb | run -v a:b:c:d bb | run -e =x bb
run --ulimit x bb | run --mount x bb | run --mount type=volume,dst= bb | run --dns x bb
run --pid nope bb | run --sysctl x=1 bb | run --add-host x bb | run --restart x:y bb
run --rm --restart always bb | run --memory x bb | run --memory 1k bb | run --cpus x bb
run --attach nope bb | run -d -a stdout bb | run --network name=net1,bad=1 bb
run --network-alias x bb | run --mac-address zz bb | run Bad | run --security-opt nope bb
run --device a:b:c:d bb | run --gpus x bb | run --label =x bb | run --device-read-bps x bb
run --pull nope bb | run --name web bb | run --rm bb nosuchprog | run --rm bb /etc
run --env-file /nosuch bb | run --rm --network nosuch bb | run --rm -u nosuch bb
run --rm --cap-add NOPE bb | create --pid nope bb | create --name web bb | start nosuch
start done nosuch | stop nosuch | kill done | kill -s NOPE web | restart nosuch | pause done
unpause web | rm nosuch | rm -f nosuch | rm web | rmi nosuch | rename web web2 x | rename nosuch x
update web | update --memory 1 web | tag bb UPPER | tag nosuch x | commit nosuch x
import /nosuch | export nosuch | cp a b | cp web:/x other:/y | cp web:/nosuch . | cp x nosuch:/
network create net1 | network create -d nosuch n | network connect nosuch web
network disconnect net1 web | volume create 'bad name' | volume create -d nosuch v
volume rm vol1 | volume rm nosuch | volume prune | network prune | image prune -a
container prune | system prune | system prune --filter label=x | builder prune | build
build /nosuch | build -t BAD . | pull bb:bad:tag | load | login --bad | logout example.invalid
help nosuch | search | context import | context create default | events --filter x
network ls --filter x
"""


def each(text: str) -> list[str]:
    lines = " | ".join(text.strip().splitlines())
    return [command.strip() for command in re.split(r" \| ", lines)]


@pytest.fixture(scope="module")
def furnished(daemon: Daemon, busybox: str) -> Iterator[Daemon]:
    """A daemon with one of everything."""
    docker = daemon.docker
    docker("tag", busybox, "bb:other")
    docker("volume", "create", "--label", "v=1", "vol1")
    docker("network", "create", "--label", "n=1", "net1")
    docker("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "--label", "a=b", "-v", "vol1:/data",
           "-e", "FOO=bar", busybox, "sh", "-c", "echo out; echo err >&2; sleep 10000")  # fmt: skip
    docker("run", "--name", "done", busybox, "sh", "-c", "exit 3", check=False)
    docker("create", "--name", "made", busybox, "ls")
    docker("exec", "web", "sh", "-c", "echo hi > /newfile; mkdir /dir1")
    yield daemon
    docker("rm", "-f", "web", "done", "made")


def plain(text: str) -> str:
    text = text.replace("tiffin", "docker")
    for pattern, replacement in CHANGING:
        text = re.sub(pattern, replacement, text)
    return text


def both(daemon: Daemon, command: str) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    words = shlex.split(command)
    theirs = daemon.docker(*words, check=False)
    ours = daemon.tiffin(*words, check=False)
    told = [(done.returncode, plain(done.stdout), plain(done.stderr)) for done in (theirs, ours)]
    return told[0], told[1]


@pytest.mark.parametrize("command", [*each(READING), *each(REFUSED)])
def test_the_same_words_have_the_same_answer(furnished: Daemon, command: str) -> None:
    theirs, ours = both(furnished, command)
    assert ours == theirs


@pytest.mark.parametrize(
    "steps",
    [
        "create --name NAME bb sleep 100; start NAME; pause NAME; unpause NAME; kill -s USR1 NAME",
        "rename NAME NAME2; restart -t 0 NAME2; stop -t 0 NAME2; rm NAME2",
        "run -d --name NAME bb sleep 100; update --memory 32m --memory-swap 64m NAME; rm -f NAME",
        "run --rm bb sh -c 'echo o && echo e >&2 && exit 5'",
        "run --rm -a stderr bb sh -c 'echo o && echo e >&2'",
        "run --rm -u 1000 --hostname h -w /tmp -e A=b bb sh -c 'id && hostname && pwd && echo $A'",
        "network create --label a=b NAME; network connect --alias x NAME web",
        "network disconnect NAME web; network rm NAME",
        "volume create NAME; volume rm NAME",
        "tag bb NAME:x; rmi NAME:x",
        "cp web:/newfile -; cp web:/etc /tmp/NAME-etc; cp /tmp/NAME-etc web:/tmp",
    ],
)
def test_whole_lives(furnished: Daemon, steps: str) -> None:
    for step in steps.split("; "):
        told = []
        for client, name in ((furnished.docker, "one"), (furnished.tiffin, "two")):
            done = client(*shlex.split(step.replace("NAME", f"life-{name}")), check=False)
            told.append(
                tuple(
                    plain(text).replace(name, "NAME")
                    for text in (str(done.returncode), done.stdout, done.stderr)
                )
            )
        assert told[0] == told[1], step


def test_help_names_the_same_flags(furnished: Daemon) -> None:
    left_out = {"cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops", "checkpoint",
                "checkpoint-dir", "tree", "explain", "squash"}  # fmt: skip
    beyond = {"pull": {"all-platforms"}, "save": {"platform"}}  # ours can do more
    flag = re.compile(r"^  (?:-(\w), |    )--([\w-]+)(?: (\w[\w-]*))?", re.MULTILINE)
    for command in ("run", "create", "ps", "build", "exec", "logs", "stop", "rm", "network create",
                    "network connect", "images", "pull", "events", "update", "system df", "volume ls",
                    "start", "commit", "cp", "save", "stats", "context create", "login"):  # fmt: skip
        told = [
            {found[1]: found for found in flag.findall(client(*command.split(), "--help").stdout)}
            for client in (furnished.docker, furnished.tiffin)
        ]
        apart = left_out | beyond.get(command, set())
        ours, theirs = ({n: f for n, f in one.items() if n not in apart} for one in told[::-1])
        assert ours == theirs, command
