"""gan_jax: the GAN family in pure JAX.

Importing it imports nothing else: `gan_jax.losses` needs only JAX, `gan_jax.load` the whole library.
"""

import importlib
from typing import Any

__version__ = '0.1.0'

_MODULES = ('losses', 'nets', 'games', 'minimax', 'dynamics', 'game', 'data', 'train', 'sample', 'evaluate', 'config')


def __getattr__(name: str) -> Any:
  if name == 'load':
    return importlib.import_module('gan_jax.sample').load
  if name in _MODULES:
    return importlib.import_module(f'gan_jax.{name}')
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return sorted([*globals(), 'load', *_MODULES])
