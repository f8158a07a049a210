"""Packages whose parts are imported when they are first used."""

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lazy_loader


def attach(
  package: str, path: Iterable[str], **names: Iterable[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
  """`__getattr__`, `__dir__` and `__all__` of a package: its modules, and some of their names.

  Args:
    package: its `__name__`.
    path: its `__path__`.
    **names: {module: names of it that the package gives as its own}.
  """
  modules = {module.name for module in pkgutil.iter_modules(path)}
  taken: Mapping[str, list[str]] = {module: list(given) for module, given in names.items()}
  return lazy_loader.attach(package, modules, taken)
