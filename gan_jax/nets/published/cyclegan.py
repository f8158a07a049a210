"""State dicts as https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix saves them (latest_net_G.pth).

Layers have numbers there, not names. They are found by their order: convolutions as the network calls them, a norm
behind its convolution. Biases before a norm, and statistics that files keep of instance norm, change nothing.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from gan_jax.base.errors import UserError

CURE = 'give the --config whose networks the weights are of'
RENAMED = {'kernel': 'weight', 'scale': 'weight', 'mean': 'running_mean', 'var': 'running_var'}
Path = tuple[str, ...]


def variables_of(tensors: Mapping[str, np.ndarray], like: Mapping[str, Any]) -> dict[str, Any]:
  """A network's variables from a state dict of pytorch-CycleGAN-and-pix2pix.

  Args:
    tensors: by their names there, arrays.
    like: {'params' | 'batch_stats': the tree of `translation.ResnetGenerator`, `UNet` or `PatchGAN`}, arrays or shapes.

  Raises:
    UserError: there are more layers or fewer, or one has another shape: the networks differ.
  """
  wanted = traverse_util.flatten_dict(dict(like))
  normed = {_layer(path) for path in wanted if _is_norm(path)}
  # Those of instance norm without gain hold no weights, at most statistics.
  modules = [name for name in _modules(tensors) if f'{name}.weight' in tensors]
  convolutions = [name for name in modules if np.ndim(tensors[f'{name}.weight']) == 4]
  norms = [name for name in modules if name not in convolutions]
  called = calls(wanted)
  behind = [layer for layer in called if layer in normed]
  for what, there, here in (('convolutions', convolutions, called), ('norms', norms, behind)):
    if len(there) != len(here):
      raise UserError(f'the weights have {len(there)} {what}, the network of the config {len(here)}: {CURE}')
  found = {}
  for path, leaf in wanted.items():
    order, names = (behind, norms) if _is_norm(path) else (called, convolutions)
    own = [name for layer, name in zip(order, names, strict=True) if layer == _layer(path)]
    values = [_tensor(tensors, f'{name}.{RENAMED.get(path[-1], path[-1])}') for name in own]
    if not values:
      raise UserError(f'the config has a network with {"/".join(path[1:])!r}, which that code has not: {CURE}')
    value = np.stack(values) if path[1] == 'blocks' else values[0]
    if value.shape != tuple(leaf.shape):
      raise UserError(f'{"/".join(path[1:])} has shape {tuple(leaf.shape)} in the config, {value.shape} there: {CURE}')
    found[path] = value
  return traverse_util.unflatten_dict(found)


def _tensor(tensors: Mapping[str, np.ndarray], name: str) -> np.ndarray:
  if name not in tensors:
    raise UserError(f'the weights lack {name}: {CURE}')
  value = np.asarray(tensors[name], np.float32)
  # (out, in, height, width), of a transposed convolution (in, out, ...), to the kernel here.
  return np.array(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value, order='C')


def _modules(tensors: Mapping[str, np.ndarray]) -> list[str]:
  """The names of the modules in the order of their numbers, in which the networks call them."""
  names = {name.rpartition('.')[0] for name in tensors}
  return sorted(names, key=lambda name: [int(number) for number in re.findall(r'\d+', name)])


def _is_norm(path: Path) -> bool:
  return any(part.endswith('_norm') for part in path)


def _layer(path: Path) -> str:
  """The convolution that a variable here belongs to, or stands behind: 'down_0', 'blocks/first'."""
  parts = path[1:3] if path[1] == 'blocks' else path[1:2]
  return '/'.join(parts).removesuffix('_norm')


def calls(wanted: Mapping[Path, Any]) -> list[str]:
  """The convolutions of a network here, once for each call, in their order."""
  names = {_layer(path) for path in wanted}
  blocks = next((leaf.shape[0] for path, leaf in wanted.items() if path[1] == 'blocks'), 0)
  numbered = lambda start: sorted((n for n in names if n.startswith(f'{start}_')), key=lambda n: int(n.split('_')[1]))
  # A U-Net counts its decoder from the outside, a residual generator as it calls.
  up = numbered('up') if 'first' in names else numbered('up')[::-1]
  ends = [name for name in ('image', 'logits') if name in names]
  first = [name for name in ('first',) if name in names]
  return [*first, *numbered('down'), *['blocks/first', 'blocks/second'] * blocks, *up, *numbered('conv'), *ends]
