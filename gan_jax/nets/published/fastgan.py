"""State dicts of FastGAN's code: the entries 'g' and 'd' of a file of its folder models/, each in a file of its own.

`torch.save(torch.load('models/50000.pth')['g'], 'G.pth')` writes one. Spectral norm: weight_orig and weight_u.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from gan_jax.base.errors import UserError

CURE = 'give the --config whose networks the weights are of'
ENDS = {'kernel': 'weight_orig', 'u': 'weight_u', 'scale': 'weight', 'mean': 'running_mean', 'var': 'running_var'}
#: Places in the sequences of a block of the generator, with noise and without, and of the discriminator.
NOISY = {'conv1': 1, 'noise1': 2, 'gated1': 3, 'conv2': 5, 'noise2': 6, 'gated2': 7}
SIMPLE = {'conv1': 1, 'gated1': 2}
DOWN = {'conv1': 'main.0', 'norm1': 'main.1', 'conv2': 'main.3', 'norm2': 'main.4', 'conv3': 'direct.1',
        'norm3': 'direct.2'}  # fmt: skip
EXCITE = {'conv1': 1, 'conv2': 3}
ALONE = {
  'start': 'init.init.0', 'gated': 'init.init.1', 'to_small': 'to_128', 'to_image': 'to_big',
  'last': 'rf_big.0', 'last_norm': 'rf_big.1', 'head': 'rf_big.3', 'small_head': 'rf_small',
  'second': 'down_from_big.2', 'second_norm': 'down_from_big.3',
}  # fmt: skip
DECODERS = {'decode_image': 'decoder_big', 'decode_small': 'decoder_small', 'decode_part': 'decoder_part'}


def variables_of(tensors: Mapping[str, np.ndarray], like: Mapping[str, Any]) -> dict[str, Any]:
  """A network's variables from a state dict of FastGAN's code.

  Args:
    tensors: by their names there, arrays; 'module.' in front of them is left out.
    like: {'params' | 'batch_stats' | 'spectral': the tree of `fastgan.Generator` or `Discriminator`}, arrays or shapes.

  Raises:
    UserError: a layer is not there, one is left, or one has another shape: the networks differ.
  """
  bare = {name.removeprefix('module.'): np.asarray(value) for name, value in tensors.items()}
  left = {name for name in bare if not name.endswith(('num_batches_tracked', 'weight_v'))}
  wanted = traverse_util.flatten_dict(dict(like))
  layers = {path[1] for path in wanted}
  found = {}
  for path, leaf in wanted.items():
    name = f'{_layer(path[1:-1], layers)}.{ENDS.get(path[-1], path[-1])}'
    if name not in bare:
      raise UserError(f'the weights lack {name}, of {"/".join(path)}: {CURE}')
    value = np.asarray(bare[name], np.float32)
    # (out, in, height, width), of the transposed convolution (in, out, ...), to the kernel here.
    value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.reshape(leaf.shape) if value.size == 1 else value
    if value.shape != tuple(leaf.shape):
      raise UserError(f'{"/".join(path)} has shape {tuple(leaf.shape)} in the config, {value.shape} there: {CURE}')
    found[path] = np.array(value, order='C')
    left.discard(name)
  if left:
    raise UserError(f'the config has no network with {sorted(left)[0]}: {CURE}')
  return traverse_util.unflatten_dict(found)


def _layer(path: tuple[str, ...], layers: set[str]) -> str:
  """The name there of a layer here, such as ('up8', 'conv1', 'weights')."""
  first, discriminates = path[0], 'head' in layers
  if first in DECODERS:
    if path[1] == 'to_image':
      return f'{DECODERS[first]}.main.{1 + len(_sizes("small", layers))}'
    number = int(path[1].removeprefix('up')).bit_length() - 4  # up16 is the first
    return f'{DECODERS[first]}.main.{number}.{SIMPLE[path[2]]}'
  if discriminates and first == 'start':
    return 'down_from_big.0'
  if first in ALONE:
    return ALONE[first]
  match = re.fullmatch(r'([a-z_]+)(\d+)', first)
  if match is None:
    raise UserError(f'the config has a layer {"/".join(path)}, which FastGAN has not: {CURE}')
  kind, size = match[1], match[2]
  if kind == 'up':
    return f'feat_{size}.{(NOISY if int(size) in (8, 32, 128, 512) else SIMPLE)[path[1]]}'
  sizes = _sizes('down', layers)
  if kind == 'down':
    return f'down_{4 * 2 ** sizes.index(int(size))}.{DOWN[path[1]]}'
  if kind == 'excite' and discriminates:
    order = sizes.index(int(size)) - 2
    return f'se_{2 * 2**order}_{16 * 2**order}.main.{EXCITE[path[1]]}'
  if kind == 'excite':
    return f'se_{size}.main.{EXCITE[path[1]]}'
  order = _sizes('small', layers).index(int(size))
  return f'down_from_small.{1 + order}.main.{int(kind == "small_norm")}' if order else 'down_from_small.0'


def _sizes(kind: str, layers: set[str]) -> list[int]:
  """Of the layers 'down128', 'down64', ...: [128, 64, ...]."""
  return sorted((int(n.removeprefix(kind)) for n in layers if re.fullmatch(rf'{kind}\d+', n)), reverse=True)
