"""`manifest annotate`: say what an image of a list runs on."""

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import STRINGS, Flag, Values, string
from tiffin.cli.manifest.local import Lists, parse

PLATFORMS = {
    "darwin": "386 amd64 arm arm64",
    "dragonfly": "amd64",
    "freebsd": "386 amd64 arm",
    "linux": "386 amd64 arm arm64 ppc64le mips64 mips64le riscv64 s390x",
    "netbsd": "386 amd64 arm",
    "openbsd": "386 amd64 arm",
    "plan9": "386 amd64",
    "solaris": "amd64",
    "windows": "386 amd64 arm arm64",
}
"""The combinations that Docker's client lets pass."""


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Change the platform that the list gives for one image."""
    name, manifest = map(parse, arguments)
    lists = Lists(context.settings.config)
    member = lists.member(name, manifest)
    if member is None:
        raise CommandFailed(
            f"manifest for image {manifest.familiar} does not exist in {name.familiar}"
        )
    platform = dict(member.platform)
    for flag, key in (("os", "os"), ("arch", "architecture"), ("variant", "variant"),
                      ("os-version", "os.version")):  # fmt: skip
        if values[flag]:
            platform[key] = values[flag]
    features = [*platform.get("os.features", []), *values["os-features"]]
    platform["os.features"] = list(dict.fromkeys(features))
    if platform.get("architecture") not in PLATFORMS.get(platform.get("os", ""), "").split():
        raise CommandFailed(
            "manifest entry for image has unsupported os/arch combination: "
            f"{values['os']}/{values['arch']}"
        )
    lists.put(name, manifest, member.with_platform(platform))
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] MANIFEST_LIST MANIFEST",
    summary="Add additional information to a local image manifest",
    run=run,
    minimum=2,
    maximum=2,
    flags=[
        string("arch", "Set architecture"),
        string("os", "Set operating system"),
        Flag("os-features", STRINGS, "Set operating system feature"),
        string("os-version", "Set operating system version"),
        string("variant", "Set architecture variant"),
    ],
)
