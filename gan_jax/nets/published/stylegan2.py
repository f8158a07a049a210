"""State dicts of https://github.com/NVlabs/stylegan2-ada-pytorch: `torch.save(G_ema.state_dict(), 'G_ema.pth')`."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from gan_jax.base.errors import UserError

CURE = 'give the --config whose networks the weights are of'
#: Parts of our names, and of theirs.
PARTS = {
  **{f'conv_{i}/weights': f'conv{i}' for i in (0, 1)},
  **{f'conv_{i}/conv': f'conv{i}' for i in (0, 1)},
  **{f'conv_{i}': f'conv{i}' for i in (0, 1)},
  'shortcut/weights': 'skip',
  'to_image': 'torgb',
}
#: The last blocks of the discriminator.
ENDS = {'conv/weights': 'b4.conv', 'conv': 'b4.conv', 'dense': 'b4.fc', 'logit': 'b4.out'}
LEAVES = {'kernel': 'weight', 'strength': 'noise_strength', 'noise': 'noise_const'}
#: Filters, which are numbers of the code here.
FIXED = '.resample_filter'


def variables_of(tensors: Mapping[str, np.ndarray], like: Mapping[str, Any]) -> dict[str, Any]:
  """A network's variables from a state dict of StyleGAN2-ADA's PyTorch code.

  Args:
    tensors: by their names there, arrays.
    like: {'params' | 'averages' | 'constants': the tree of `stylegan2.Generator` or `stylegan2.Discriminator`}, arrays
      or their shapes.

  Raises:
    UserError: a tensor is missing, too many, or of another shape: the networks differ.
  """
  wanted, used = traverse_util.flatten_dict(dict(like), sep='/'), set()
  found = {}
  for path, leaf in wanted.items():
    name = name_of(path.partition('/')[2])
    if name not in tensors:
      raise UserError(f'the weights lack {name}: {CURE}')
    used.add(name)
    value = _turned(np.asarray(tensors[name], np.float32), name)
    if value.shape != tuple(leaf.shape):
      raise UserError(f'{path} has shape {tuple(leaf.shape)} in the config and {value.shape} there: {CURE}')
    found[path] = np.array(value, order='C')
  if rest := [name for name in tensors if name not in used and not name.endswith(FIXED)]:
    raise UserError(f'the network of the config has no place for {len(rest)} tensors, such as {rest[0]}: {CURE}')
  return traverse_util.unflatten_dict(found, sep='/')


def name_of(path: str) -> str:
  """Their name of a variable of ours.

  >>> name_of('synthesis/block_8/conv_0/conv/affine/kernel'), name_of('averages/w'), name_of('dense/kernel')
  ('synthesis.b8.conv0.affine.weight', 'averages.w', 'b4.fc.weight')
  """
  if path in ('w', 'synthesis/start'):
    return {'w': 'mapping.w_avg', 'synthesis/start': 'synthesis.b4.const'}[path]
  *module, leaf = path.split('/')
  if leaf == 'image_bias':
    return '.'.join([*module, 'torgb.bias']).replace('block_', 'b')
  whole = '/'.join(module)
  if whole in ENDS:
    return f'{ENDS[whole]}.{LEAVES.get(leaf, leaf)}'
  whole = re.sub(r'from_image_(\d+)(/weights)?', r'b\1/fromrgb', re.sub(r'dense_(\d+)', r'fc\1', whole))
  for ours, theirs in PARTS.items():
    whole = whole.replace(ours, theirs)
  return f'{whole.replace("block_", "b")}/{LEAVES.get(leaf, leaf)}'.replace('/', '.')


def _turned(value: np.ndarray, name: str) -> np.ndarray:
  """Their array with our order of axes: theirs are outputs first, channels before places."""
  if name == 'b4.fc.weight':  # its inputs are maps of 4x4
    outputs, inputs = value.shape
    return (
      np.moveaxis(value.reshape(outputs, inputs // 16, 4, 4), (2, 3), (0, 1))
      .transpose(0, 1, 3, 2)
      .reshape(inputs, outputs)
    )
  if name.endswith('.noise_const'):
    return value[None, :, :, None]
  if name.endswith('.const'):
    return np.moveaxis(value, 0, -1)
  return np.moveaxis(value, (0, 1), (-1, -2)) if value.ndim > 1 else value
