"""The folder of what can be made again: compiled programs, trained classifiers, reference statistics, downloads."""

import os
import pathlib

from gan_jax.base.errors import UserError


def folder(kind: str) -> pathlib.Path:
  """GAN_JAX_CACHE/kind, by default in XDG_CACHE_HOME or ~/.cache; made if it is not there.

  Args:
    kind: such as 'classifiers'.

  Raises:
    UserError: it cannot be made.
  """
  base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  root = os.environ.get('GAN_JAX_CACHE') or pathlib.Path(base) / 'gan_jax'
  path = pathlib.Path(root).expanduser() / kind
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f'cannot make {path} ({error.strerror}): set GAN_JAX_CACHE to a folder that can be written'
    ) from error
  return path
