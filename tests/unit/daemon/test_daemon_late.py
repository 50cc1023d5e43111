"""Stand-ins for modules: real at the first use, gone from `sys.modules` after the block."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.daemon.late import absent_modules, late_modules

SOURCE = """
VALUE = [1, 2]
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
    assert fault[int]
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
