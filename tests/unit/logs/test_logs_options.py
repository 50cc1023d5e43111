import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.logs import select
from tiffin.logs.attributes import LogSubject, attributes
from tiffin.logs.options import REGISTERED, FileOptions, parse
from tiffin.logs.times import fixed_width, parse_time
from tiffin.spec.times import format_time

GELF_UDP = {"gelf-address": "udp://127.0.0.1:12201"}
GELF_TCP = {"gelf-address": "tcp://127.0.0.1:12201"}
NAMES = [
    *("max-size", "max-file", "compress", "mode", "max-buffer-size", "cache-disabled", "tag"),
    *("syslog-address", "syslog-facility", "fluentd-address", "fluentd-retry-wait"),
    *("fluentd-max-retries", "gelf-address", "gelf-compression-level", "cache-max-size"),
]


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("json-file", {"x": "1"}, "unknown log opt 'x' for json-file log driver"),
        ("fluentd2", {}, "logger: no log driver named 'fluentd2' is registered"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "two"}, "max-file"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max-size": "big"}, "max-size"),
        ("json-file", {"compress": "perhaps"}, "compress"),
        ("json-file", {"compress": "true", "max-file": "1"}, "compress cannot be true"),
        ("json-file", {"mode": "odd"}, "logging mode not supported: odd"),
        ("json-file", {"max-buffer-size": "1m"}, "max-buffer-size option is only supported"),
        (
            "local",
            {"mode": "non-blocking", "max-buffer-size": "x"},
            "error parsing option max-buffer-size: invalid size: 'x'",
        ),
        ("local", {"x": "1"}, "unknown log opt 'x' for log driver local"),
        ("journald", {"x": "1"}, "unknown log opt 'x' for journald log driver"),
        ("journald", {"cache-disabled": "x"}, "invalid value for option cache-disabled: x"),
        ("syslog", {"cache-max-file": "0"}, "max-file cannot be less than 1"),
        ("syslog", {"x": "1"}, "unknown log opt 'x' for syslog log driver"),
        ("syslog", {"syslog-address": "http://a"}, "unsupported scheme: 'http'"),
        ("syslog", {"syslog-address": "tcp://a:port"}, 'invalid port ":port" after host'),
        ("syslog", {"syslog-address": "unix:///nope"}, "stat /nope: no such file or directory"),
        ("syslog", {"syslog-facility": "24"}, "invalid syslog facility"),
        ("syslog", {"syslog-format": "rfc1"}, "Invalid syslog format"),
        ("fluentd", {"x": "1"}, "unknown log opt 'x' for fluentd log driver"),
        ("fluentd", {"fluentd-address": "udp://a"}, "invalid fluentd-address (udp://a): unsupp"),
        ("fluentd", {"fluentd-address": "a:1/b"}, "should not contain a path element"),
        ("fluentd", {"fluentd-address": "unix:///"}, "path is empty"),
        ("fluentd", {"fluentd-async": "si"}, 'strconv.ParseBool: parsing "si": invalid syntax'),
        ("fluentd", {"fluentd-retry-wait": "5"}, 'time: missing unit in duration "5"'),
        ("fluentd", {"fluentd-max-retries": "4000000000"}, "fluentd-max-retries: value out of"),
        ("fluentd", {"fluentd-async-reconnect-interval": "1ms"}, "between 100ms and 10s"),
        ("fluentd", {"fluentd-write-timeout": "-1s"}, "a duration that is non-negative"),
        ("gelf", {}, "gelf-address is a required parameter"),
        ("gelf", {"gelf-address": "unix:///a"}, "gelf: endpoint needs to be TCP or UDP"),
        ("gelf", {"gelf-address": "udp://a"}, "please provide gelf-address as proto://host:port"),
        ("gelf", GELF_TCP | {"gelf-compression-type": "gzip"}, "only supported on UDP"),
        ("gelf", GELF_TCP | {"gelf-tcp-max-reconnect": "-1"}, "must be a positive integer"),
        ("gelf", GELF_UDP | {"gelf-tcp-max-reconnect": "1"}, "is only valid for TCP"),
        ("gelf", GELF_UDP | {"gelf-compression-level": "10"}, 'unknown value "10" for log opt'),
        ("gelf", GELF_UDP | {"x": "1"}, 'unknown log opt "x" for gelf log driver'),
    ],
)
def test_bad_options_are_refused(driver: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        select.validate(driver, options)


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("none", {"anything": "goes"}),
        ("json-file", {"mode": "non-blocking", "max-buffer-size": "4m", "cache-disabled": "1"}),
        ("journald", {"tag": "x", "labels": "a", "env-regex": "b", "cache-max-size": "5m"}),
        ("syslog", {"syslog-address": "tcp+tls://[::1]", "syslog-facility": "23"}),
        ("fluentd", {"fluentd-address": "unix:///a", "fluentd-async-reconnect-interval": "2.5s"}),
        ("gelf", {"gelf-address": "udp://host:12201", "gelf-compression-level": "-1"}),
    ],
)
def test_good_options_are_accepted(driver: str, options: dict[str, str]) -> None:
    select.validate(driver, options)


@given(st.sampled_from(REGISTERED), st.dictionaries(st.sampled_from(NAMES), st.text(max_size=12)))
def test_whatever_the_options_they_are_accepted_or_refused(
    driver: str, options: dict[str, str]
) -> None:
    with contextlib.suppress(InvalidArgument):
        select.validate(driver, options)


def test_rotation_is_on_by_default() -> None:
    assert parse("json-file", {}) == FileOptions(20_000_000, 5, compress=False)
    assert parse("local", {}) == FileOptions(20_000_000, 5, compress=True)
    assert parse("json-file", {"max-size": "-1"}).max_size == 0
    assert parse("json-file", {"max-size": "10m", "max-file": "2", "compress": "true"}) == (
        FileOptions(10_000_000, 2, compress=True)
    )


def test_none_keeps_nothing_and_cannot_be_read(tmp_path: Path) -> None:
    driver = select.writer("none", tmp_path, {})
    driver.write("stdout", b"x\n", 1)
    driver.close()
    assert list(tmp_path.iterdir()) == []
    assert select.log_file("none", tmp_path) is None
    with pytest.raises(FailedPrecondition, match="does not support reading"):
        select.reader("none", tmp_path)


def test_attributes_come_from_labels_environment_and_tag() -> None:
    subject = LogSubject(
        id="0123456789abcdef",
        name="/web",
        image_name="app:1",
        labels={"team": "a", "tier.x": "b", "other": "c"},
        env=("A=1", "B_X=2", "C=3"),
    )
    options = {
        "labels": "team,absent",
        "labels-regex": "^tier",
        "env": "A",
        "env-regex": "_X$",
        "tag": "{{.Name}}/{{.ID}} {{ .ImageName }}",
    }
    assert attributes(options, subject) == {
        "team": "a",
        "tier.x": "b",
        "A": "1",
        "B_X": "2",
        "tag": "web/0123456789ab app:1",
    }
    template = '{{upper .Name}}.{{index .ContainerLabels "team"}}.{{.DaemonName}}'
    assert attributes({"tag": template}, subject) == {"tag": "WEB.a.docker"}
    with pytest.raises(InvalidArgument, match=r"log-tag:1:2: .*Nope"):
        attributes({"tag": "{{.Nope}}"}, subject)
    with pytest.raises(InvalidArgument, match="error parsing regexp"):
        attributes({"env-regex": "("}, subject)


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_times_round_trip(time_ns: int) -> None:
    text = format_time(time_ns)
    assert parse_time(text) == time_ns
    assert parse_time(fixed_width(text)) == time_ns
    assert len(fixed_width(text)) == 30
