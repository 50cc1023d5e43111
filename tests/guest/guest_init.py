"""The guest's first process: mounts what a system has, runs the tests, tells the result, powers off.

Run without the site module, as there is none: paths are set here.
"""

import ctypes
import os
import subprocess
import sys
import traceback

PROJECT = "/tiffin"
RESULT = "guest result: "
_MOUNTS = (
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("devpts", "/dev/pts", "ptmxmode=666"),
    ("tmpfs", "/run", "mode=755"),
    ("cgroup2", "/sys/fs/cgroup", "nsdelegate"),
)
_MS_NOSUID, _RB_POWER_OFF = 2, 0x4321FEDC


def say(line: str) -> None:
    """Write a line to the console."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Be the system."""
    os.environ.update(
        PATH="/usr/bin:/bin:/sbin", HOME="/root", PYTHONPATH=f"{PROJECT}/src:/site:{PROJECT}",
        PYTHONDONTWRITEBYTECODE="1", TMPDIR="/var/tmp",
    )  # fmt: skip
    os.chdir(PROJECT)
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, place, options in _MOUNTS:
        os.makedirs(place, exist_ok=True)
        if libc.mount(kind.encode(), place.encode(), kind.encode(), _MS_NOSUID, options.encode()):
            say(f"cannot mount {place}: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["/bin/busybox", "--install", "-s", "/usr/bin"], check=False)
    subprocess.run(["ifconfig", "lo", "127.0.0.1", "up"], check=False)
    with open("/proc/cmdline", encoding="ascii") as file:
        words = file.read().partition(" -- ")[2].split()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words], check=False
    )
    say(f"{RESULT}{done.returncode}")


try:
    main()
except BaseException:  # noqa: BLE001  # the kernel would panic at its end
    traceback.print_exc()
finally:
    os.sync()
    ctypes.CDLL(None).reboot(ctypes.c_int(_RB_POWER_OFF))
