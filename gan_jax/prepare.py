"""Prepares a TFDS data set as array_record files, without TensorFlow.

    python -m gan_jax.prepare --name mnist [--data_dir ~/tensorflow_datasets]

It downloads the files that the builder of the set names (this needs a network), and writes the set to TFDS_DATA_DIR.
Builders that compute with TensorFlow cannot run; docs/data.md lists the builders that were tried.
"""

import contextlib
import importlib.util
import io
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags
from etils import epath
from PIL import Image

from gan_jax.base import command, console
from gan_jax.base.errors import UserError
from gan_jax.data.sources.prepared import data_dir


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
  """Replaces TensorFlow in a builder that uses it only to open files (MNIST's)."""

  def __getattr__(self, name: str) -> Any:
    if name.startswith('__'):
      raise AttributeError(name)
    raise ImportError(f'the builder uses {self.__name__}.{name}')


@contextlib.contextmanager
def files_open(builder: Any) -> Iterator[None]:
  """Lets a builder open files with `tf.io.gfile.GFile` although TensorFlow is not installed."""
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
  """Downloads a data set and writes it as array_record files.

  Args:
    name: name of the TFDS builder, or BUILDER/CONFIG.
    folder: folder of the prepared sets.

  Raises:
    UserError: the builder does not exist or needs TensorFlow, or the download failed.
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
      f'the builder of {name!r} needs TensorFlow ({error}): prepare the set on a machine that has TensorFlow'
    ) from error
  except tfds.core.registered.DatasetNotFoundError as error:
    raise UserError(f'TFDS has no data set {name!r}: see https://www.tensorflow.org/datasets/catalog') from error
  except Exception as error:  # a download can fail with any exception
    reason = ' '.join(str(error).split())[:300] or type(error).__name__
    raise UserError(
      f'{name!r} was not prepared ({type(error).__name__}: {reason}): check the network, the free space in {folder}, '
      'and the notes on the set in the TFDS catalog (some sets must be downloaded by hand)'
    ) from error


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('name', None, 'TFDS name, such as mnist or cycle_gan/horse2zebra.', flag_values=values)
  flags.DEFINE_string('data_dir', None, 'Where to write; TFDS_DATA_DIR by default.', flag_values=values)


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  command.no_rest(rest)
  command.require(values, 'name')
  folder = values.data_dir or str(data_dir())
  with command.writable(folder):
    os.makedirs(folder, exist_ok=True)
  prepare(values.name, folder)
  console.say(f'{values.name} is prepared in {folder}')


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
