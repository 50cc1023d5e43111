"""Every option of the daemon: its flag, its key in daemon.json, its kind. One table for both."""

from dataclasses import dataclass

BOOL = "bool"
STRING = "string"
INTEGER = "int"
LIST = "list"
MAP = "map"
POOLS = "pool-options"
ULIMITS = "ulimit"
RUNTIMES = "runtime"
DRIVER_OPTIONS = "driver-options"
OBJECT = "object"
"""Kinds. A flag of the last seven may be repeated; `OBJECT` has no flag."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `key` is "" for what cannot stand in the file, `flag` for what is only there."""

    flag: str
    key: str
    kind: str
    help: str = ""
    short: str = ""
    ignored: bool = False
    """Accepted for the sake of existing files and unit definitions, with a warning."""


OPTIONS: tuple[Option, ...] = (
    Option("add-runtime", "runtimes", RUNTIMES, "Register another OCI runtime: name=path"),
    Option("bip", "bip", STRING, "IPv4 address and prefix of the default bridge"),
    Option("bip6", "bip6", STRING, "IPv6 address and prefix of the default bridge"),
    Option("bridge", "bridge", STRING, 'Name of the default bridge, or "none"', "b"),
    Option("cdi-spec-dir", "cdi-spec-dirs", LIST, "Directory of CDI device descriptions"),
    Option("config-file", "", STRING, "Daemon configuration file"),
    Option("data-root", "data-root", STRING, "Root directory of persistent state", "g"),
    Option("debug", "debug", BOOL, "Enable debug mode", "D"),
    Option(
        "default-address-pool",
        "default-address-pools",
        POOLS,
        "Address pool for new networks: base=10.0.0.0/8,size=24",
    ),
    Option("default-cgroupns-mode", "default-cgroupns-mode", STRING, '"host" or "private"'),
    Option("default-ipc-mode", "default-ipc-mode", STRING, '"shareable" or "private"'),
    Option("default-registry", "default-registry", STRING, "Registry of images named without one"),
    Option("default-runtime", "default-runtime", STRING, "Default runtime for containers"),
    Option("default-shm-size", "default-shm-size", STRING, "Default size of /dev/shm"),
    Option("default-ulimit", "default-ulimits", ULIMITS, "Default ulimits: nofile=1024:2048"),
    Option(
        "default-network-opt",
        "default-network-opts",
        DRIVER_OPTIONS,
        "Option of new networks of a driver: bridge=key=value",
    ),
    Option("dns", "dns", LIST, "DNS server for containers"),
    Option("dns-opt", "dns-opts", LIST, "DNS option for containers"),
    Option("dns-search", "dns-search", LIST, "DNS search domain for containers"),
    Option("exec-root", "exec-root", STRING, "Root directory of state until the next boot"),
    Option("fixed-cidr", "fixed-cidr", STRING, "IPv4 range for addresses of the default bridge"),
    Option("fixed-cidr-v6", "fixed-cidr-v6", STRING, "IPv6 range for the default bridge"),
    Option("group", "group", STRING, "Group that may use the unix socket", "G"),
    Option("host", "hosts", LIST, "Socket to listen on: unix://, tcp:// or fd://", "H"),
    Option("icc", "icc", BOOL, "Let containers of the default bridge reach one another"),
    Option("init", "init", BOOL, "Run an init in every container"),
    Option("init-path", "init-path", STRING, "Init for containers of other OCI runtimes"),
    Option("insecure-registry", "insecure-registries", LIST, "Registry without verified TLS"),
    Option("ip", "ip", STRING, "Default address to publish ports on"),
    Option("ip-forward", "ip-forward", BOOL, "Enable forwarding of packets in the kernel"),
    Option("ip-masq", "ip-masq", BOOL, "Masquerade the default bridge's addresses"),
    Option("ipv6", "ipv6", BOOL, "Enable IPv6 on the default bridge"),
    Option("label", "labels", LIST, "Label of this daemon: key=value"),
    Option("live-restore", "live-restore", BOOL, "Containers outlive the daemon (always)"),
    Option("log-driver", "log-driver", STRING, "Default log driver of containers"),
    Option("log-format", "log-format", STRING, 'Format of the daemon\'s log: "text" or "json"'),
    Option("log-level", "log-level", STRING, "debug, info, warn, error or fatal", "l"),
    Option("log-opt", "log-opts", MAP, "Default log option: key=value"),
    Option(
        "max-concurrent-downloads", "max-concurrent-downloads", INTEGER, "Layers pulled at a time"
    ),
    Option("max-concurrent-uploads", "max-concurrent-uploads", INTEGER, "Layers pushed at a time"),
    Option("max-download-attempts", "max-download-attempts", INTEGER, "Attempts for each layer"),
    Option("mtu", "mtu", INTEGER, "MTU of the default bridge"),
    Option("no-new-privileges", "no-new-privileges", BOOL, "Set no_new_privs by default"),
    Option("pidfile", "pidfile", STRING, "File for the daemon's process id", "p"),
    Option("registry-mirror", "registry-mirrors", LIST, "Mirror to prefer when pulling"),
    Option("seccomp-profile", "seccomp-profile", STRING, 'Default profile: a file, "unconfined"'),
    Option("shutdown-timeout", "shutdown-timeout", INTEGER, "Accepted; containers go on"),
    Option("storage-driver", "storage-driver", STRING, '"overlay2" or "native"', "s"),
    Option("tls", "tls", BOOL, "Use TLS; implied by --tlsverify"),
    Option("tlscacert", "tlscacert", STRING, "Trust client certificates signed by this CA"),
    Option("tlscert", "tlscert", STRING, "TLS certificate"),
    Option("tlskey", "tlskey", STRING, "TLS key"),
    Option("tlsverify", "tlsverify", BOOL, "Use TLS and verify clients"),
    Option("trash-age", "trash-age", STRING, "How long what was removed can be undone: 24h"),
    Option("trash-size", "trash-size", STRING, "How much of it is kept at most: 10GB"),
    Option("userland-proxy", "userland-proxy", BOOL, "Forward loopback traffic in user space"),
    Option("userns-remap", "userns-remap", STRING, "User whose subordinate ids containers get"),
    Option("cgroup-parent", "cgroup-parent", STRING, "Parent cgroup of all containers"),
    Option("", "proxies", OBJECT),
    Option("", "registries", OBJECT),
    Option("builder", "builder", OBJECT, ignored=True),
    Option("containerd", "containerd", STRING, ignored=True),
    Option("containerd-namespace", "containerd-namespace", STRING, ignored=True),
    Option("exec-opt", "exec-opts", LIST, ignored=True),
    Option("experimental", "experimental", BOOL, ignored=True),
    Option("feature", "features", MAP, "Switch a feature: cdi=false"),
    Option("firewall-backend", "firewall-backend", STRING, ignored=True),
    Option("ip6tables", "ip6tables", BOOL, ignored=True),
    Option("iptables", "iptables", BOOL, ignored=True),
    Option("metrics-addr", "metrics-addr", STRING, ignored=True),
    Option("oom-score-adjust", "oom-score-adjust", INTEGER, ignored=True),
    Option("raw-logs", "raw-logs", BOOL, ignored=True),
    Option("storage-opt", "storage-opts", LIST, ignored=True),
    Option("userland-proxy-path", "userland-proxy-path", STRING, ignored=True),
    Option("authorization-plugin", "authorization-plugins", LIST, ignored=True),
    Option("selinux-enabled", "selinux-enabled", BOOL, ignored=True),
    Option("validate", "", BOOL, "Check the configuration and exit"),
    Option("version", "", BOOL, "Print the version and exit", "v"),
    Option("help", "", BOOL, "Print this help and exit", "h"),
)

BY_FLAG = {option.flag: option for option in OPTIONS if option.flag}
BY_SHORT = {option.short: option for option in OPTIONS if option.short}
BY_KEY = {option.key: option for option in OPTIONS if option.key}
REPEATED = frozenset({LIST, MAP, POOLS, ULIMITS, RUNTIMES, DRIVER_OPTIONS})
