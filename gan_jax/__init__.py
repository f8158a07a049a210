"""gan_jax: the GAN family in pure JAX.

Importing it imports nothing else: `gan_jax.losses` needs only JAX, `gan_jax.load` the whole library.
"""

import importlib
from typing import Any

from gan_jax.base import lazy, moved

__version__ = '0.1.0'

moved.install()
_attach, __dir__, __all__ = lazy.attach(__name__, __path__, sample=['load'])


def __getattr__(name: str) -> Any:
  # `gan_jax.minimax` and the like: names of modules that have moved into a room.
  return importlib.import_module(f'gan_jax.{name}') if name in moved.MOVED else _attach(name)
