"""The cache folder: compiled programs, trained classifiers, reference statistics, downloads. You may delete it."""

import os
import pathlib

from gan_jax.base.errors import UserError


def folder(kind: str) -> pathlib.Path:
  """The folder GAN_JAX_CACHE/kind, by default gan_jax/kind in XDG_CACHE_HOME or ~/.cache. It is made if necessary.

  Args:
    kind: a subfolder, such as 'classifiers'.

  Raises:
    UserError: the folder cannot be made.
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
