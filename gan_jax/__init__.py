"""gan_jax: the GAN family in pure JAX.

`import gan_jax` imports nothing else. Each name is imported when it is first used: `gan_jax.losses` needs only JAX and
chex, `gan_jax.load` needs the whole library.
"""

import importlib
from typing import Any

from gan_jax.base import lazy, moved

__version__ = '0.1.0'

moved.install()
_attach, __dir__, __all__ = lazy.attach(__name__, __path__, sample=['load'])


def __getattr__(name: str) -> Any:
  # Old module names still work: `gan_jax.minimax` is now `gan_jax.optim.minimax`.
  return importlib.import_module(f'gan_jax.{name}') if name in moved.MOVED else _attach(name)
