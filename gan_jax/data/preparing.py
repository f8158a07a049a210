"""Prepares TFDS sets as array_record files, without TensorFlow."""

import contextlib
import importlib.util
import io
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from gan_jax.base.errors import UserError


@contextlib.contextmanager
def pillow_encodes() -> Iterator[None]:
  """Lets TFDS encode pictures that builders give as arrays (MNIST's, CIFAR's) with Pillow instead of TensorFlow."""
  from tensorflow_datasets.core.features import image_feature

  def encode(self: Any, image: np.ndarray) -> bytes:
    if image.dtype not in (np.uint8, np.uint16):
      raise UserError(f'pictures of dtype {image.dtype} cannot be encoded without TensorFlow')
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, self.encoding_format or 'png')
    return buffer.getvalue()

  encoder: Any = image_feature._ImageEncoder
  original, encoder._encode_image = encoder._encode_image, encode
  try:
    yield
  finally:
    encoder._encode_image = original


class _OnlyFiles(types.ModuleType):
  """What stands in for TensorFlow in a builder that uses it only to open files (MNIST's)."""

  def __getattr__(self, name: str) -> Any:
    if name.startswith('__'):
      raise AttributeError(name)
    raise ImportError(f'it uses {self.__name__}.{name}')


@contextlib.contextmanager
def files_open(builder: Any) -> Iterator[None]:
  """Lets a builder open files by `tf.io.gfile.GFile` where TensorFlow is not installed."""
  module: Any = sys.modules[type(builder).__module__]
  original = getattr(module, 'tf', None)
  if original is None or importlib.util.find_spec('tensorflow') is not None:
    yield
    return
  tensorflow, io_module, gfile = (_OnlyFiles(f'tf{part}') for part in ('', '.io', '.io.gfile'))
  tensorflow.io, io_module.gfile = io_module, gfile  # type: ignore[attr-defined]
  gfile.GFile = lambda name, mode='r': epath.Path(name).open(mode)  # type: ignore[attr-defined]
  module.tf = tensorflow
  try:
    yield
  finally:
    module.tf = original


def prepare(name: str, folder: os.PathLike | str) -> None:
  """Downloads and writes a set.

  Args:
    name: of the builder, and of its config after a slash.
    folder: where prepared sets lie.

  Raises:
    UserError: no such builder, no network, or a builder that needs TensorFlow.
  """
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core.utils import gcs_utils

  # Without a network, TFDS would ask Google's cloud storage for minutes.
  gcs_utils._is_gcs_disabled = True
  try:
    builder = tfds.builder(name, data_dir=os.fspath(folder), file_format='array_record')
    with pillow_encodes(), files_open(builder):
      builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
  except ImportError as error:
    raise UserError(
      f'the builder of {name!r} needs TensorFlow ({error}): prepare it where that is installed'
    ) from error
  except tfds.core.registered.DatasetNotFoundError as error:
    raise UserError(f'TFDS has no data set {name!r}: see https://www.tensorflow.org/datasets/catalog') from error
  except Exception as error:  # whatever a download makes of itself
    reason = ' '.join(str(error).split())[:300] or type(error).__name__
    raise UserError(
      f'{name!r} was not prepared ({type(error).__name__}: {reason}): look at the network, at the room in {folder}, '
      'and at the notes on the set in the catalog (some must be downloaded by hand)'
    ) from error
