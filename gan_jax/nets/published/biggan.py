"""State dicts as https://github.com/ajbrock/BigGAN-PyTorch saves them (BigGAN.py and BigGANdeep.py).

Classes are numbered alike there and here: by WordNet's identifiers.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from gan_jax.base.errors import UserError

Path = tuple[str, ...]


#: Modules here: what they are called there.
MODULES = {
  'shared': 'shared',
  'project/dense': 'linear',
  'image/norm/norm': 'output_layer.0',
  'image/conv': 'output_layer.2',
  'start': 'input_conv',
  'head/logit': 'linear',
  'head/classes': 'embed',
}


#: Within a block.
LAYERS = {'shortcut': 'conv_sc', **{f'conv_{i}': f'conv{i}' for i in range(1, 5)}}
LAYERS |= {f'norm_{i}/{part}': f'bn{i}.{part}' for i in range(1, 5) for part in ('gain', 'bias')}
LAYERS |= {f'norm_{i}/PlainBatchNorm_0/norm': f'bn{i}' for i in range(1, 5)}
#: Names that running statistics have there, by the kind of batch norm that was chosen.
STATISTICS = {
  'mean': ('stored_mean', 'bn.stored_mean', 'bn.running_mean'),
  'var': ('stored_var', 'bn.stored_var', 'bn.running_var'),
}


def variables_of(tensors: Mapping[str, np.ndarray], like: Mapping[str, Any]) -> dict[str, Any]:
  """A network's variables from a state dict of BigGAN-PyTorch.

  What a layer of spectral norm divides by here is, in eval mode, exactly what it divides by there.

  Args:
    tensors: by their names there, arrays.
    like: {'params' | 'batch_stats' | 'spectral': the tree of `biggan.Generator`, `biggan.DeepGenerator`,
      `sngan.Generator` with classes, `sngan.Discriminator` or `biggan.DeepDiscriminator`}, arrays or their shapes.

  Raises:
    UserError: a tensor is missing, too many, or of another shape: the networks differ.
  """
  wanted = traverse_util.flatten_dict(dict(like))
  known = _Names(tensors, wanted)
  found = {path: known.array(path, leaf.shape) for path, leaf in wanted.items()}
  # What is only logged or counted there.
  counted = re.compile(r'\.(sv\d+|accumulation_counter|num_batches_tracked)$')
  rest = [name for name in tensors if name not in known.used and not counted.search(name)]
  if rest:
    raise UserError(f'the network of the config has no place for {len(rest)} tensors, such as {rest[0]}: {CURE}')
  return traverse_util.unflatten_dict(found)


CURE = 'give the --config whose networks the weights are of'


class _Names:
  """Finds the tensors of one network, and keeps count of those used."""

  def __init__(self, tensors: Mapping[str, np.ndarray], wanted: Mapping[Path, Any]):
    self._tensors = tensors
    self.used: set[str] = set()
    heights = {int(path[1].removeprefix('attention_')) for path in wanted if path[1].startswith('attention_')}
    first = wanted.get(('params', 'project', 'dense', 'weights', 'kernel'))
    self._generator = first is not None
    # Without a shared embedding every norm has tables of its own, by class, there of what is added to a gain of 1.
    self._tables = self._generator and ('params', 'shared', 'weights', 'kernel') not in wanted
    # There an attention layer is the last of its stage; from stage to stage heights rise in a generator.
    found = (re.match(r'blocks\.(\d+)\.(\d+)\.theta\.', name) for name in tensors)
    places = {(int(match[1]), int(match[2])) for match in found if match}
    ordered = sorted(places, reverse=not self._generator)
    self._attention = {f'attention_{height}': place for height, place in zip(sorted(heights), ordered, strict=False)}
    self._rows = np.zeros(0, int)
    if first is not None:
      kernels = (wanted.get(('params', block, 'conv_1', 'weights', 'kernel')) for block in ('block_0', 'block_0_same'))
      width = next(kernel.shape[-2] for kernel in kernels if kernel is not None)
      side = int((first.shape[-1] // width) ** 0.5)
      # Rows of the first map: there by channel, here by place.
      self._rows = np.arange(first.shape[-1]).reshape(width, side, side).transpose(1, 2, 0).ravel()

  def _module(self, path: Path) -> str:
    """The name there of the module at a path, without its collection."""
    whole = '/'.join(path)
    if whole in MODULES:
      return MODULES[whole]
    block, *layer = path
    if block in self._attention:
      return f'{self._place(block)}.{layer[0]}'
    match = re.fullmatch(r'block_(\d+)(?:_(same|up|first))?', block)
    if match is None or '/'.join(layer) not in LAYERS:
      raise UserError(f'the config has a network with {whole!r}, which BigGAN-PyTorch has not: {CURE}')
    number, place, kind = int(match[1]), 0, match[2]
    # Of BigGAN-deep, pairs: same and up, which are counted through, or first and same, which share a stage.
    if kind and self._generator:
      number = 2 * number + (kind == 'up')
    elif kind:
      place = int(kind == 'same')
    return f'blocks.{number}.{place}.{LAYERS["/".join(layer)]}'

  def _place(self, attention: str) -> str:
    """The name there of an attention layer."""
    number, place = self._attention[attention]
    return f'blocks.{number}.{place}'

  def _tensor(self, *names: str) -> np.ndarray:
    for name in names:
      if name in self._tensors:
        self.used.add(name)
        return np.asarray(self._tensors[name], np.float32)
    raise UserError(f'the weights lack {names[0]}: {CURE}')

  def array(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The variable at a path (its collection first)."""
    _, *module, last = path
    if last == 'gamma':
      return self._fitting(self._tensor(f'{self._place(module[0])}.gamma').reshape(()), shape, path)
    if module[-1] == 'weights':
      name = self._module(tuple(module[:-1]))
      weight = self._tensor(f'{name}.weight')
      of_class = self._tables and name.endswith(('.gain', '.bias'))
      table = of_class or name in ('shared', 'embed')  # (classes, features) there and here
      value = weight if table else np.moveaxis(weight, (0, 1), (-1, -2))
      if of_class and name.endswith('.gain'):
        value = 1 + value
      if last == 'u':
        value = _direction(weight, self._tensor(f'{name}.u0').reshape(-1), table)
    else:
      name = self._module(tuple(module))
      renamed = {'scale': ('gain',), **STATISTICS}.get(last, (last,))
      value = self._tensor(*(f'{name}.{entry}' for entry in renamed))
    if module[0] == 'project' and value.shape[-1] == len(self._rows):
      value = value[..., self._rows]
    return self._fitting(value, shape, path)

  @staticmethod
  def _fitting(value: np.ndarray, shape: tuple[int, ...], path: Path) -> np.ndarray:
    if value.shape != tuple(shape):
      raise UserError(f'{"/".join(path[1:])} has shape {tuple(shape)} in the config and {value.shape} there: {CURE}')
    return np.array(value, order='C')


def _direction(weight: np.ndarray, u: np.ndarray, table: bool) -> np.ndarray:
  """The vector with which our layer divides by what theirs does in eval mode.

  Theirs makes one more power iteration from its u before it multiplies, and divides by the length of W v; ours by that
  of W^T u. From their old u to their new one ours rises from below to above it.
  """
  unit = lambda x: x / max(np.linalg.norm(x), 1e-12)
  matrix, u = weight.reshape(len(weight), -1).astype(np.float64), unit(u.astype(np.float64))  # (out, in)
  v = unit(u @ matrix)
  if table:  # theirs counts rows as outputs, ours columns
    return v.astype(np.float32)
  new, value = unit(matrix @ v), np.linalg.norm(matrix @ v)
  low, high = 0.0, 1.0
  for _ in range(40):
    share = (low + high) / 2
    below = np.linalg.norm(unit((1 - share) * u + share * new) @ matrix) < value
    low, high = (share, high) if below else (low, share)
  return unit((1 - high) * u + high * new).astype(np.float32)
