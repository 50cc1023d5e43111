# ruff: noqa: D102  # the name of a test says what it shows
"""What every volume driver must do; subclass it and give a `driver` fixture."""

from dataclasses import replace

import pytest

from tiffin.errors import InvalidArgument
from tiffin.volumes.driver import VolumeDriver, VolumeSpec


def volume(driver: VolumeDriver, **changes: object) -> VolumeSpec:
    """Return a volume of the driver."""
    spec = VolumeSpec("0" * 63 + "1", "data", driver.name, created_at="2026-01-02T03:04:05Z")
    return replace(spec, **changes)  # type: ignore[arg-type]


class VolumeDriverContract:
    """The suite; it needs no privileges."""

    def test_life_of_a_volume(self, driver: VolumeDriver) -> None:
        spec = volume(driver)
        driver.create(spec)
        mounts = driver.mounts(spec)
        assert mounts
        assert mounts[0].target == ""
        assert driver.mounts(spec) == mounts
        assert driver.mountpoint(spec)
        assert driver.usage(spec) >= -1
        driver.remove(spec)
        driver.create(spec)
        driver.remove(spec)

    def test_removing_twice_is_no_error(self, driver: VolumeDriver) -> None:
        spec = volume(driver)
        driver.create(spec)
        driver.remove(spec)
        driver.remove(spec)

    def test_creating_twice_keeps_it(self, driver: VolumeDriver) -> None:
        spec = volume(driver)
        driver.create(spec)
        mounts = driver.mounts(spec)
        driver.create(spec)
        assert driver.mounts(spec) == mounts

    def test_the_place_does_not_depend_on_the_name(self, driver: VolumeDriver) -> None:
        spec = volume(driver)
        driver.create(spec)
        renamed = replace(spec, name="renamed")
        assert driver.mounts(renamed) == driver.mounts(spec)
        assert driver.mountpoint(renamed) == driver.mountpoint(spec)

    def test_unknown_options(self, driver: VolumeDriver) -> None:
        with pytest.raises(InvalidArgument, match="nonsense"):
            driver.create(volume(driver, options={"nonsense": "x"}))
