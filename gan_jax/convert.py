"""Makes a run of the weights of the first author's PyTorch BigGAN, to sample, evaluate and train on.

    python -m gan_jax.convert --generator G_ema.pth --workdir runs/biggan [--discriminator D.pth]
      [--config configs/biggan.py:imagenet128_256x8 --config.SETTING=VALUE ...]

Files are state dicts as https://github.com/ajbrock/BigGAN-PyTorch saves them (BigGAN.py and BigGANdeep.py). They are
read without running anything in them (`gan_jax.torch_file`). Classes are numbered alike: by WordNet's identifiers.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from etils import epath
from flax import traverse_util

from gan_jax import command, experiment, parallel, resume
from gan_jax import config as config_lib
from gan_jax.checkpoint import Checkpoints, Place
from gan_jax.errors import UserError
from gan_jax.population import population_of
from gan_jax.seeds import key_of
from gan_jax.torch_file import read_tensors

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
      `sngan.Discriminator` or `biggan.DeepDiscriminator`}, arrays or their shapes.

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
    # There an attention layer is behind its block; from block to block heights rise in a generator.
    places = {int(match[1]) for name in tensors if (match := re.match(r'blocks\.(\d+)\.1\.', name))}
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
      return f'blocks.{self._attention[block]}.1.{layer[0]}'
    match = re.fullmatch(r'block_(\d+)(?:_(same|up|first))?', block)
    if match is None or '/'.join(layer) not in LAYERS:
      raise UserError(f'the config has a network with {whole!r}, which BigGAN-PyTorch has not: {CURE}')
    number, kind = int(match[1]), match[2]
    if kind:  # of BigGAN-deep, pairs: same and up, or first and same
      number = 2 * number + (kind == 'up' if self._generator else kind == 'same')
    return f'blocks.{number}.0.{LAYERS["/".join(layer)]}'

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
      return self._fitting(self._tensor(f'blocks.{self._attention[module[0]]}.1.gamma').reshape(()), shape, path)
    if module[-1] == 'weights':
      name = self._module(tuple(module[:-1]))
      weight = self._tensor(f'{name}.weight')
      table = name in ('shared', 'embed')  # (classes, features) there and here
      value = weight if table else np.moveaxis(weight, (0, 1), (-1, -2))
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


def convert(config: Any, workdir: epath.PathLike, files: Mapping[str, str]) -> None:
  """Writes a run that has been trained for config.steps, with the weights of some players from files.

  Args:
    config: whose networks the weights are of.
    workdir: of the new run.
    files: {player: file of its state dict}; the others stay as they are initialised.

  Raises:
    UserError: the workdir holds a run, a file cannot be read, or the networks differ.
  """
  workdir = epath.Path(workdir)
  if (workdir / 'config.json').exists():
    raise UserError(f'{workdir} holds a run already: give another --workdir')
  population = population_of(config)
  if not population.alone or len(population.stages) > 1:
    raise UserError('weights are converted for one game of one stage: leave config.population and config.stages out')
  stage = population.stages[0]
  state = parallel.compile_once(lambda key: experiment.new_state(stage, key))(key_of(config.seed))
  players = dict(state.players)
  for name, file in files.items():
    if name not in players or name not in players[name].params:
      raise UserError(f'{type(stage.game).__name__} has no player {name!r} of one network: it has {", ".join(players)}')
    player = players[name]
    like = {
      'params': player.params[name],
      **{kind: tree[name] for kind, tree in player.variables.items() if name in tree},
    }
    found = jax.tree.map(jnp.asarray, variables_of(read_tensors(file), like))
    params = {**player.params, name: found['params']}
    variables = {
      kind: {**tree, name: found[kind]} if kind in found else tree for kind, tree in player.variables.items()
    }
    ema = None if player.ema is None else jax.tree.map(jnp.copy, {'params': params, 'variables': variables})
    players[name] = player.replace(params=params, variables=variables, ema=ema)
  state = state.replace(players=players, step=jnp.asarray(config.steps, state.step.dtype))
  resume.check_config(config)
  with command.writable(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(workdir, write=True)
    checkpoints.save(state, Place(int(config.steps), 0, {}))
    checkpoints.close()
    resume.write_config(workdir, config)


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('generator', None, "File of the generator's weights.", flag_values=values)
  flags.DEFINE_string('discriminator', '', "File of the discriminator's weights.", flag_values=values)
  flags.DEFINE_string('workdir', None, 'The run to write.', flag_values=values)
  default = 'configs/biggan.py:imagenet128_256x8'
  flags.DEFINE_string('config', default, 'FILE.py or FILE.py:VARIANT, whose networks they are.', flag_values=values)


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  for argument in rest:
    if not argument.startswith(('--config.', '-config.')) or '=' not in argument:
      raise UserError(f'unknown argument {argument!r}: settings are written --config.NAME=VALUE; see --help')
  command.require(values, 'generator')
  command.require(values, 'workdir')
  config = config_lib.override(config_lib.load(values.config), rest)
  files = {name: getattr(values, name) for name in ('generator', 'discriminator') if getattr(values, name)}
  convert(config, values.workdir, files)
  print(f'run       {values.workdir}\nnext      python -m gan_jax.sample --workdir {values.workdir} --truncation=0.5')


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
