"""The features of FID, KID and the Inception score: Inception-v3 of 2015, with weights that the user brings or fetches.

The published weights are a PyTorch file of 96 MB. They are checked against their checksum before they are opened, read
without running anything in them (`gan_jax.base.torch_file`), and kept beside the download in the form used here.
"""

import contextlib
import hashlib
import http.client
import pathlib
import shutil
import urllib.request
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from gan_jax.base import cache
from gan_jax.base.errors import UserError
from gan_jax.base.files import writing
from gan_jax.base.torch_file import read_tensors
from gan_jax.features.base import Extractor
from gan_jax.nets.inception import Inception

FILE = 'weights-inception-2015-12-05-6726825d.pth'
URL = f'https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}'
# pytorch-fid's pt_inception-2015-12-05-6726825d.pth is the same file.
SHA256 = '6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2'
SECONDS_WITHOUT_DATA = 30

Path = tuple[str, ...]
# Of the variables here: what they are called in the PyTorch file, and the axes of its array in the order used here.
NAMES = {
  ('conv', 'kernel'): ('conv.weight', (2, 3, 1, 0)),  # (out, in, height, width) to (height, width, in, out)
  ('bn', 'scale'): ('bn.weight', (0,)),
  ('bn', 'bias'): ('bn.bias', (0,)),
  ('bn', 'mean'): ('bn.running_mean', (0,)),
  ('bn', 'var'): ('bn.running_var', (0,)),
  ('fc', 'kernel'): ('fc.weight', (1, 0)),
}


def inception(weights: str = '') -> Extractor:
  """The network behind FID as a feature extractor: 2048 features, and 1008 logits without bias.

  Pictures are uint8 (B, H, W, 1 or 3) of any size; grey ones are repeated to three channels. Features equal
  torch-fidelity's ('2048' and 'logits_unbiased') to 1e-4 of their scale.

  Args:
    weights: a PyTorch file (.pth) of the published network, or an .npz that this function has written. '' takes the
      file from the folder `weights` of the cache, or downloads it there.

  Raises:
    UserError: the weights are not there and cannot be fetched, are damaged, or belong to another network.

  Source: Heusel et al. 2017 (FID), https://arxiv.org/abs/1706.08500; Salimans et al. 2016 (Inception score),
  https://arxiv.org/abs/1606.03498. The weights: `inception-2015-12-05.tgz` of TensorFlow, as torch-fidelity converted
  them.

  >>> inception('no_such.pth')
  Traceback (most recent call last):
  gan_jax.base.errors.UserError: no file no_such.pth
  """
  variables = read_weights(pathlib.Path(weights).expanduser()) if weights else _published()
  digest = hashlib.sha256()
  for path, array in sorted(traverse_util.flatten_dict(variables).items()):
    digest.update('/'.join(path).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
  name = digest.hexdigest()[:8]
  return Extractor(
    f'inception-2015-{name}-v1',
    f'Inception-v3 of 2015 (weights {name}), 2048 pooled features, uint8 pictures resized to 299x299 by the bilinear '
    'resize of TensorFlow 1',
    variables,
    _apply,
  )


def _apply(variables: Any, pictures: jax.Array) -> Mapping[str, jax.Array]:
  if not (pictures.ndim == 4 and pictures.shape[-1] in (1, 3) and pictures.dtype in (jnp.uint8, jnp.float32)):
    raise UserError(
      f'Inception features of {pictures.dtype}{list(pictures.shape)}: give pictures (B, H, W, 1 or 3), uint8 or '
      'float32 from 0 to 255'
    )
  if pictures.shape[-1] == 1:
    pictures = jnp.repeat(pictures, 3, -1)
  features, logits = Inception().apply(variables, pictures)
  return {'features': features, 'logits': logits}


def read_weights(path: pathlib.Path) -> dict[str, Any]:
  """The network's variables, float32, from a .pth file of PyTorch or an .npz of `write_weights`.

  Raises:
    UserError: the file is not there or is damaged; or names the first array that is missing or does not fit.
  """
  if not path.is_file():
    raise UserError(f'no file {path}')
  shapes = jax.eval_shape(Inception().init, jax.random.key(0), jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.uint8))
  stored, locate = (_npz(path), _own_name) if path.suffix == '.npz' else (read_tensors(path), _torch_name)
  variables = {}
  for place, expected in traverse_util.flatten_dict(shapes).items():
    name, axes = locate(place, len(expected.shape))
    shape = tuple(expected.shape[axes.index(i)] for i in range(len(axes)))
    array = stored.get(name)
    if not isinstance(array, np.ndarray):
      raise UserError(f'{path} lacks {name}: it holds other weights than those of the Inception-v3 of FID, {URL}')
    if array.shape != shape or not jnp.issubdtype(array.dtype, jnp.floating):
      raise UserError(
        f'{name} in {path} is {array.dtype}{list(array.shape)}, not float{list(shape)}: it holds other weights than '
        f'those of the Inception-v3 of FID, {URL}'
      )
    variables[place] = np.ascontiguousarray(array.transpose(axes), np.float32)
  return traverse_util.unflatten_dict(variables)


def write_weights(path: pathlib.Path, variables: Mapping[str, Any]) -> None:
  """Keeps the network's variables as .npz, under their own names; the file appears whole or not at all."""
  with writing(path) as file:
    np.savez(file, **{'/'.join(place): array for place, array in traverse_util.flatten_dict(dict(variables)).items()})


def _own_name(place: Path, rank: int) -> tuple[str, tuple[int, ...]]:
  return '/'.join(place), tuple(range(rank))


def _torch_name(place: Path, rank: int) -> tuple[str, tuple[int, ...]]:
  _, *modules, kind, leaf = place
  name, axes = NAMES[kind, leaf]
  return '.'.join([*modules, name]), axes


def _npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    with np.load(path, allow_pickle=False) as stored:
      return dict(stored)
  except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
    raise UserError(f'{path} is damaged or is not an .npz: delete it, and it is made anew') from error


def _published() -> dict[str, Any]:
  """The published weights, from the cache if they are there."""
  download = cache.folder('weights') / FILE
  converted = download.with_suffix('.npz')
  if converted.exists():
    return read_weights(converted)
  if not download.exists():
    _download(download)
  _check(download, f'{download} is not the file published at {URL}: delete it')
  variables = read_weights(download)
  with contextlib.suppress(OSError):  # in a read-only folder they are converted each time
    write_weights(converted, variables)
  return variables


def _download(path: pathlib.Path) -> None:
  try:
    with urllib.request.urlopen(URL, timeout=SECONDS_WITHOUT_DATA) as response, writing(path) as file:
      shutil.copyfileobj(response, file)
      file.flush()
      _check(pathlib.Path(file.name), f'{URL} gave another file than the published one')
  except (OSError, http.client.HTTPException) as error:  # urllib's own errors are OSErrors
    raise UserError(
      f'the weights of Inception-v3 cannot be fetched ({error}): bring {URL} from where there is a network, and name '
      f'the file or put it at {path}'
    ) from error


def _check(path: pathlib.Path, otherwise: str) -> None:
  with path.open('rb') as file:
    found = hashlib.file_digest(file, 'sha256').hexdigest()
  if found != SHA256:
    raise UserError(f'{otherwise} (sha256 {found}, not {SHA256})')
