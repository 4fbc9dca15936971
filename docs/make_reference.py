"""Write reference/configuration.md from the traits in the code; a test compares the two.

Run it after a change of a trait: ``python docs/make_reference.py``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traitlets import Enum, Float, Integer, TraitType
from traitlets.config import Configurable

import jupyter_rtc

PAGE = Path(__file__).parent / "reference" / "configuration.md"

INTRODUCTION = """\
# Configuration

<!-- Written by docs/make_reference.py from the traits in the code. Change them there. -->

Every option of jupyter_rtc, by the class that it belongs to. Set one in `jupyter_server_config.py`
(`c.Documents.save_delay = 2.0`) or on the command line (`jupyter lab --Documents.save_delay=2.0`);
[Configure](../how-to/configure.md) has recipes. Sizes are in bytes, times in seconds.
"""


def configurables() -> list[type[Configurable]]:
    """Return the classes of the package that have options of their own, the extension first."""
    for module in pkgutil.walk_packages(jupyter_rtc.__path__, "jupyter_rtc."):
        importlib.import_module(module.name)
    ours = {cls for cls in _subclasses(Configurable) if cls.__module__.startswith("jupyter_rtc.")}
    named = [cls for cls in ours if own_traits(cls)]
    return sorted(named, key=lambda cls: (not hasattr(cls, "extension_url"), cls.__name__))


def own_traits(cls: type[Configurable]) -> dict[str, TraitType[Any, Any]]:
    """Return the options that a class declares itself, in the order of its source."""
    return {name: trait for name, trait in vars(cls).items() if name in cls.class_own_traits(config=True)}


def default(trait: TraitType[Any, Any]) -> str:
    """Return an option's default as one would write it down."""
    value = trait.default()
    return f"{value.__module__}.{value.__name__}" if inspect.isclass(value) else repr(value)


def kind(trait: TraitType[Any, Any]) -> str:
    """Return an option's type, and what it may be."""
    if isinstance(trait, Enum):
        return "one of " + ", ".join(f"`{value}`" for value in trait.values or ())
    name = type(trait).__name__
    if isinstance(trait, Float | Integer) and trait.min is not None:
        return f"{name}, at least {trait.min:g}"
    return name


def render() -> str:
    """Return the whole page."""
    return INTRODUCTION + "".join(_section(cls) for cls in configurables())


def _section(cls: type[Configurable]) -> str:
    first_line = inspect.cleandoc(cls.__doc__ or "").splitlines()[0]
    rows = [
        f"| `{cls.__name__}.{name}` | {kind(trait)} | `{default(trait)}` | {trait.help.replace('|', chr(92) + '|')} |\n"
        for name, trait in own_traits(cls).items()
    ]
    return (
        f"\n## {cls.__name__}\n\n{first_line}\n\n| option | type | default | what it does |\n|---|---|---|---|\n"
        + "".join(rows)
    )


def _subclasses(cls: type[Configurable]) -> Iterator[type[Configurable]]:
    for found in cls.__subclasses__():
        yield found
        yield from _subclasses(found)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
