"""Lazy packages: Python imports their modules when they are first used."""

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lazy_loader


def attach(
  package: str, path: Iterable[str], **names: Iterable[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
  """`__getattr__`, `__dir__` and `__all__` of a package: its modules, and some names from them.

  Args:
    package: the package's `__name__`.
    path: the package's `__path__`.
    **names: {module: names of the module that are also names of the package}.
  """
  modules = {module.name for module in pkgutil.iter_modules(path)}
  attributes: Mapping[str, list[str]] = {module: list(listed) for module, listed in names.items()}
  return lazy_loader.attach(package, modules, attributes)
