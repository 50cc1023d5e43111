"""Runs tests in a guest with control groups v2, under software emulation.

    python -m tests.guest.guest_run [pytest's arguments]

Without names of tests, those in `tests/guest/inside` and those of `tests/root` that concern groups
and the runtime's life. Prints what the guest says; ends with pytest's status there.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.guest import guest_image

CACHE = Path(__file__).parent / ".cache"
TIMEOUT_S = 900
RESULT = "guest result: "
DEFAULT = (
    "tests/guest/inside",
    "tests/root/linux/test_linux_cgroups_real.py",
    "tests/root/runtime/test_runtime_life.py",
)


def say(line: str) -> None:
    """Write a line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Build, boot, and pass on what is said."""
    with tempfile.TemporaryDirectory(prefix="tiffin-guest-") as place:
        began = time.monotonic()
        image = guest_image.build(CACHE, Path(place))
        say(f"built in {time.monotonic() - began:.0f} s")
        names_tests = any(not argument.startswith("-") for argument in arguments)
        return boot(image, [*arguments, *(() if names_tests else DEFAULT)])


def boot(image: guest_image.GuestImage, arguments: list[str]) -> int:
    """Boot a guest that runs pytest with these arguments; return its status, 70 if it told none."""
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024",
        "-cpu", "max", "-no-reboot", "-display", "none", "-serial", "stdio", "-monitor", "none",
        "-nic", "none", "-kernel", str(image.kernel), "-initrd", str(image.initramfs),
        "-drive", f"file={image.root},format=raw,if=virtio,cache=unsafe",
        "-drive", f"file={image.data},format=raw,if=virtio,cache=unsafe",
        "-drive", f"file={image.xfs},format=raw,if=virtio,cache=unsafe",
        "-append", f"console=ttyS0 loglevel=1 panic=-1 mitigations=off -- {' '.join(arguments)}",
    ]  # fmt: skip
    status = 70
    with subprocess.Popen(
        ["timeout", str(TIMEOUT_S), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as emulator:
        assert emulator.stdout is not None
        for raw in emulator.stdout:
            line = raw.decode(errors="replace").rstrip()
            if line.startswith(RESULT):
                status = int(line.removeprefix(RESULT))
            say(line)
    return status


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
