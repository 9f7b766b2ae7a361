"""Every adapter keeps the contract of delivery semantics 5; and the suite that says so sees what breaks it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import adapters
import pytest
from adapters import knock
from adapters.defects import DEFECTS, exercise_of
from adapters.scene import Exercise
from adapters.suite import PROPERTIES, failures
from hypothesis import given, settings
from hypothesis import strategies as st

import gateway.adapters
from gateway.adapters.base import Parts

ROOT = Path(__file__).parents[2]
BUILT_IN = sorted(
    {module.name for module in iter_modules(gateway.adapters.__path__)} - gateway.adapters.SHARED
)
EXERCISES: dict[str, Exercise] = {
    module.name: exercise
    for module in iter_modules(adapters.__path__)
    if (exercise := getattr(import_module(f"adapters.{module.name}"), "EXERCISE", None)) is not None
}


def missing(name: str) -> str:
    """What is still to be written for adapter *name*, as a sentence; empty if it is all there."""
    exercise = EXERCISES.get(name)
    wanted = {
        f"tests/contract/adapters/{name}.py": exercise is not None and exercise.adapter.name == name,
        f"docs/protocols/{name}.md": (ROOT / "docs" / "protocols" / f"{name}.md").is_file(),
    }
    absent = [path for path, there in wanted.items() if not there]
    return f"write {' and '.join(absent)}" if absent else ""


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_adapter_comes_with_its_exercise_and_its_page(name: str) -> None:
    """An adapter is whole when the contract suite can play it and people can read about it."""
    assert not missing(name), missing(name)


def test_what_is_missing_is_named() -> None:
    """Who adds an adapter alone is told which files to write."""
    assert missing("nosuch") == "write tests/contract/adapters/nosuch.py and docs/protocols/nosuch.md"


@pytest.mark.parametrize("check", [check for _, check in PROPERTIES], ids=[name for name, _ in PROPERTIES])
@pytest.mark.parametrize("name", EXERCISES)
def test_adapter_keeps_the_contract(name, check) -> None:
    """What the property's own docstring says holds for every adapter."""
    check(EXERCISES[name])


@given(st.text(max_size=400), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_what_is_measured_once_is_measured_the_same_again(text: str, size: int) -> None:
    """A text as the device shows it goes out as it is, and where it fits a shorter one does: or it could not
    be cut and split."""
    for name in BUILT_IN:
        exercise = EXERCISES[name]
        for way in exercise.ways:
            measure = exercise.adapter.measure(way)
            found = measure(text)
            assert measure("".join(found.texts)) == Parts(texts=found.texts, fits=found.fits), name
            assert measure(text[:size]).fits or not found.fits, name


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_the_suite_finds(defect) -> None:
    """An adapter with one mistake fails the property that is about it."""
    found = failures(exercise_of(defect))
    assert DEFECTS[defect] in found, f"found instead: {found}"


def test_every_property_is_proven() -> None:
    """No property is there that nothing was ever seen to break, and knock itself breaks none."""
    assert set(DEFECTS.values()) == {name for name, _ in PROPERTIES}
    assert not failures(knock.EXERCISE)
