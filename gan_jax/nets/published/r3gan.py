"""State dicts of https://github.com/brownvc/R3GAN: `G_ema.state_dict()` or `D.state_dict()` of one of its snapshots.

Its snapshots are pickles with code. Write the tensors to a file of their own, with that repository on the path:
`torch.save(legacy.load_network_pkl(open(file, 'rb'))['G_ema'].state_dict(), 'G_ema.pth')`.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from gan_jax.base.errors import UserError

CURE = 'give the --config whose networks the weights are of'
LAYERS = {
  'conv1': 'LinearLayer1.Layer.weight',
  'conv2': 'LinearLayer2.Layer.weight',
  'conv3': 'LinearLayer3.Layer.weight',
  'activated1': 'NonLinearity1.Bias',
  'activated2': 'NonLinearity2.Bias',
}


def variables_of(tensors: Mapping[str, np.ndarray], like: Mapping[str, Any]) -> dict[str, Any]:
  """A network's variables from a state dict of R3GAN.

  Args:
    tensors: by their names there, arrays.
    like: {'params': the tree of `r3gan.Generator` or `r3gan.Discriminator`}, arrays or shapes.

  Raises:
    UserError: a layer is not there, one is left, or one has another shape: the networks differ.
  """
  bare = {name.removeprefix('Model.'): np.asarray(value, np.float32) for name, value in tensors.items()}
  left = {name for name in bare if not name.endswith('Resampler.Kernel')}
  wanted = traverse_util.flatten_dict(dict(like['params']))
  last = max((int(match[1]) for name in bare if (match := re.match(r'MainLayers\.(\d+)', name))), default=0)
  found = {}
  for path, leaf in wanted.items():
    name = _name(path, generates=('to_image', 'kernel') in wanted, last=last, names=set(bare))
    if name not in bare:
      raise UserError(f'the weights lack {name}, of {"/".join(path)}: {CURE}')
    value = _turned(path, bare[name])
    if value.shape != tuple(leaf.shape):
      raise UserError(f'{"/".join(path)} has shape {tuple(leaf.shape)} in the config, {value.shape} there: {CURE}')
    found[('params', *path)] = value
    left.discard(name)
  if left:
    raise UserError(f'the config has no network with {sorted(left)[0]}: {CURE}')
  return traverse_util.unflatten_dict(found)


def _name(path: tuple[str, ...], *, generates: bool, last: int, names: set[str]) -> str:
  if path[0] == 'embed':
    return 'EmbeddingLayer.weight'
  if path[0] in ('to_image', 'from_image'):
    return f'{"AggregationLayer" if generates else "ExtractionLayer"}.Layer.weight'
  if path[0] in ('start', 'head', 'basis'):
    place = 'MainLayers.0.Layers.0' if generates else f'MainLayers.{last}.Layers.{_blocks(last, names)}'
    if path[0] == 'basis':
      return f'{place}.Basis' if generates else f'{place}.Basis.weight'
    return f'{place}.LinearLayer.weight'
  if match := re.fullmatch(r'change(\d+)', path[0]):
    stage = int(match[1])
    # The generator changes the width before a resolution's blocks, the discriminator behind those of the one before.
    at, layer = (stage, 0) if generates else (stage - 1, _blocks(stage - 1, names))
    return f'MainLayers.{at}.Layers.{layer}.LinearLayer.Layer.weight'
  match = re.fullmatch(r'block(\d+)_(\d+)', path[0])
  if match is None or path[1] not in LAYERS:
    raise UserError(f'the config has a layer {"/".join(path)}, which R3GAN has not: {CURE}')
  stage, block = int(match[1]), int(match[2])
  return f'MainLayers.{stage}.Layers.{block + generates}.{LAYERS[path[1]]}'


def _blocks(stage: int, names: set[str]) -> int:
  """How many blocks a stage has."""
  return len({n.split('.')[3] for n in names if re.match(rf'MainLayers\.{stage}\.Layers\.\d+\.LinearLayer1', n)})


def _turned(path: tuple[str, ...], value: np.ndarray) -> np.ndarray:
  if path[0] == 'basis':  # (C, 4, 4) or (C, 1, 4, 4)
    return np.moveaxis(value.reshape(len(value), *value.shape[-2:]), 0, -1)
  if value.ndim == 4:  # (out, in, height, width)
    return value.transpose(2, 3, 1, 0)
  return value.T
