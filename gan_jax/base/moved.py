"""Names that modules had before they moved into rooms; configs, checkpoints, games and notebooks may still use them.

`import gan_jax.sampler` gives `gan_jax.sampling.sampler`: the same module, not a copy.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

#: {old name: new name}, both without 'gan_jax.'.
MOVED = {
  'averages': 'optim.averages',
  'best_member': 'runs.best_member',
  'build': 'config.build',
  'cache': 'base.cache',
  'checkpoint': 'runs.checkpoint',
  'command': 'base.command',
  'data.latents': 'latents.distributions',
  'diagnostics': 'training.diagnostics',
  'dynamics': 'optim.dynamics',
  'errors': 'base.errors',
  'experiment': 'runs',
  'exploration': 'sampling.exploration',
  'game': 'core',
  'games.conditions': 'games.parts.conditions',
  'games.coupling': 'games.parts.coupling',
  'games.fit': 'games.parts.fit',
  'games.penalties': 'games.parts.penalties',
  'interrupt': 'distributed.interrupt',
  'latent_paths': 'latents.paths',
  'member_metrics': 'runs.member_metrics',
  'memory': 'base.memory',
  'minimax': 'optim.minimax',
  'moves': 'core',
  'nets.attention': 'nets.layers.attention',
  'nets.conv': 'nets.layers.conv',
  'nets.matmul_conv': 'nets.layers.matmul_conv',
  'nets.minibatch': 'nets.layers.minibatch',
  'nets.norms': 'nets.layers.norms',
  'nets.resample': 'nets.layers.resample',
  'nets.weights': 'nets.layers.weights',
  'parallel': 'distributed.parallel',
  'pictures': 'sampling.pictures',
  'population': 'runs.population',
  'processes': 'distributed.processes',
  'profiling': 'training.profiling',
  'resume': 'runs.resume',
  'sampler': 'sampling.sampler',
  'standing': 'sampling.standing',
  'summary': 'training.summary',
  'torch_file': 'base.torch_file',
  'train': 'training.loop',
  'vary': 'config.vary',
  'writers': 'training.writers',
}


class _Loader(importlib.abc.Loader):
  def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
    return None

  def exec_module(self, module: ModuleType) -> None:
    name = module.__name__
    sys.modules[name] = importlib.import_module(f'gan_jax.{MOVED[name.removeprefix("gan_jax.")]}')


class _Finder(importlib.abc.MetaPathFinder):
  """Python asks this finder last, so a module that exists wins."""

  def find_spec(
    self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
  ) -> importlib.machinery.ModuleSpec | None:
    package, _, name = fullname.partition('.')
    if package != 'gan_jax' or name not in MOVED:
      return None
    return importlib.machinery.ModuleSpec(fullname, _Loader())


def install() -> None:
  """Makes the old names importable. Further calls have no effect."""
  if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
    sys.meta_path.append(_Finder())
