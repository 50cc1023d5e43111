"""Stand-ins for modules: real at the first use, gone from `sys.modules` after the block."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.daemon.late import absent_modules, late_modules

SOURCE = """
VALUE = [1, 2]
LIMIT_S = 5.0
def double(number):
    return 2 * number
class Fault(Exception):
    pass
"""


@pytest.fixture
def dear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a module that can be imported and is not."""
    (tmp_path / "dear_module.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "dear_module"
    sys.modules.pop("dear_module", None)


def test_names_are_real_once_they_are_called(dear: str) -> None:
    with late_modules(dear):
        double = importlib.import_module(dear).double
    assert dear not in sys.modules
    assert double(2) == 4
    assert dear in sys.modules


def test_attributes_of_names_and_modules_are_real(dear: str) -> None:
    with late_modules(dear):
        module = importlib.import_module(dear)
        value = module.VALUE
    assert value.index(2) == 1
    assert module.VALUE == [1, 2]
    assert module.Fault is importlib.import_module(dear).Fault


def test_annotations_may_join_late_names(dear: str) -> None:
    with late_modules(dear):
        fault = importlib.import_module(dear).Fault
        assert None | fault
        assert fault | None
        assert fault[int] is fault
        assert list[fault] == list[fault]  # type: ignore[valid-type]
    assert dear not in sys.modules


def test_nothing_is_an_instance_before_the_module_is_loaded(dear: str) -> None:
    with late_modules(f"{dear}:Fault"):
        module = importlib.import_module(dear)
    assert not isinstance(ValueError(), module.Fault)
    assert dear not in sys.modules
    real = importlib.import_module(dear)
    assert isinstance(real.Fault(), module.Fault)


def test_inheriting_fails_at_once(dear: str) -> None:
    with late_modules(dear):
        fault = importlib.import_module(dear).Fault
        with pytest.raises(TypeError):
            type("Heir", (fault,), {})


def test_a_module_that_is_loaded_is_left_alone(dear: str) -> None:
    real = importlib.import_module(dear)
    with late_modules(dear):
        assert sys.modules[dear] is real
    assert sys.modules[dear] is real


def test_absent_modules_cannot_be_imported_and_come_back(dear: str) -> None:
    with absent_modules(dear), pytest.raises(ImportError):
        importlib.import_module(dear)
    real = importlib.import_module(dear)
    with absent_modules(dear), pytest.raises(ImportError):
        importlib.import_module(dear)
    assert sys.modules[dear] is real


def test_constants_are_real_whatever_is_asked_of_them(dear: str) -> None:
    with late_modules(dear):
        module = importlib.import_module(dear)
        values, limit, nobody = module.VALUE, module.LIMIT_S, module.LIMIT_S
    assert 2 in values
    assert list(values) == [1, 2]
    assert values[0] == 1
    assert len(values) == 2
    assert limit * 2 == 10.0
    assert 12 - limit == 7.0
    assert min(limit, 30) == 5.0
    assert limit == nobody == 5.0
    assert {limit: 1}[5.0] == 1
    assert f"{limit!s}" == "5.0"
    assert bool(limit)


def test_an_instance_is_told_from_others(dear: str) -> None:
    with late_modules(dear):
        fault = importlib.import_module(dear).Fault
    real = importlib.import_module(dear).Fault
    assert isinstance(real(), fault)
    assert isinstance(real(), (int, fault))
    assert not isinstance(ValueError(), fault)
    assert issubclass(real, fault)


def test_whoever_imported_names_has_the_real_ones_after_the_first_use(
    dear: str, tmp_path: Path
) -> None:
    importer = (
        "from dear_module import Fault, double\ndef is_one(it):\n    return type(it) is Fault\n"
    )
    (tmp_path / "dear_importer.py").write_text(importer)
    with late_modules(dear):
        module = importlib.import_module("dear_importer")
    assert module.double(2) == 4
    real = importlib.import_module(dear)
    assert module.Fault is real.Fault
    assert module.double is real.double
    assert module.is_one(real.Fault())
    del sys.modules["dear_importer"]
