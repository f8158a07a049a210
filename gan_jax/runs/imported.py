"""Makes a run from weights that other code trained."""

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from gan_jax.base import command, console, paths
from gan_jax.base.errors import UserError
from gan_jax.base.seeds import key_of
from gan_jax.base.torch_file import read_tensors
from gan_jax.distributed import parallel
from gan_jax.runs import entering, learnt, lock, run_config
from gan_jax.runs.checkpoint import Checkpoints, Place
from gan_jax.runs.experiment import complete, experiment_of

#: What tells a run of such weights from one that was trained.
FILE = 'imported.json'


def write_run(
  config: Any,
  workdir: epath.PathLike,
  files: Mapping[str, str],
  variables_of: Callable[[Mapping[str, np.ndarray], Mapping[str, Any]], dict[str, Any]],
) -> tuple[str, ...]:
  """Writes a run, with a checkpoint at step config.steps, from PyTorch files of weights.

  Args:
    config: describes the networks of the weights.
    workdir: the folder of the new run.
    files: {network: file of its state dict}; other networks keep their initial weights.
    variables_of: ({PyTorch name: array}, variables of our network) -> the variables with the arrays of the file. Each
      module of `gan_jax.nets.published` has such a function.

  Returns:
    The networks that keep their initial weights.

  Raises:
    UserError: the workdir holds a run already, a file cannot be read, or the networks differ.
  """
  workdir = paths.expand(workdir)
  if (workdir / 'config.json').exists():
    raise UserError(f'{workdir} holds a run already: give another --workdir')
  tensors = {name: _read(name, file) for name, file in files.items()}  # first: to set up the networks takes long
  experiment = experiment_of(config)
  if config.population or len(experiment.stages) > 1:
    raise UserError('weights are converted for one game of one stage: leave config.population and config.stages out')
  stage = experiment.stages[0]
  state = parallel.compile_once(lambda key: entering.new_state(stage, key))(key_of(config.seed))
  players = dict(state.players)
  for name, values in tensors.items():
    owner = next((player for player, state in players.items() if name in state.params), None)
    if owner is None:
      known = ', '.join(child for state in players.values() for child in state.params)
      raise UserError(f'{type(stage.game).__name__} has no network {name!r}: it has {known}')
    player = players[owner]
    like = {
      'params': player.params[name],
      **{kind: tree[name] for kind, tree in player.variables.items() if name in tree},
    }
    imported = jax.tree.map(jnp.asarray, variables_of(values, like))
    params = {**player.params, name: imported['params']}
    variables = {
      kind: {**tree, name: imported[kind]} if kind in imported else tree for kind, tree in player.variables.items()
    }
    ema = None if player.ema is None else jax.tree.map(jnp.copy, {'params': params, 'variables': variables})
    opt_state = player.opt_state
    if opt_state is not None:
      opt_state = parallel.compile_once(stage.optimizers[owner].init)(params)
    players[owner] = player.replace(params=params, variables=variables, opt_state=opt_state, ema=ema)
  state = state.replace(players=players, step=jnp.asarray(config.steps, state.step.dtype))
  run_config.check_config(config)
  with command.writable(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    with lock.held(workdir, console.say):
      checkpoints = Checkpoints(workdir, write=True)
      checkpoints.save(state, Place(int(config.steps), 0, {}))
      checkpoints.close()
      run_config.write_config(workdir, config)
      noted = {'step': int(config.steps), 'files': {name: epath.Path(file).name for name, file in files.items()}}
      (workdir / FILE).write_text(json.dumps(noted))
      with contextlib.suppress(UserError):  # its data need not be here
        whole = complete(experiment, learnt.NOTHING)
        run_config.write_examples(workdir, whole.stages, whole.known, counted=False)
  return tuple(name for player in players.values() for name in player.params if name not in files)


def _read(name: str, file: str) -> dict[str, Any]:
  """The tensors of the file of a network's weights; 'module.' in front of all of them, DataParallel's, is left out."""
  try:
    found = read_tensors(paths.expand(file))
  except UserError as error:
    raise UserError(f'{name}={file}: {error}') from error
  if not found:
    raise UserError(f'{name}={file}: it holds no tensors')
  if inner := [key for key, value in found.items() if isinstance(value, Mapping)]:
    raise UserError(
      f'{name}={file}: it holds several state dicts ({", ".join(inner)}): save the one of the network, such as '
      f"torch.save(torch.load('{file}')['{inner[0]}'], '{inner[0]}-alone.pth')"
    )
  for key, value in found.items():
    wrong = 0 if np.issubdtype(value.dtype, np.integer) else int((~np.isfinite(np.asarray(value, np.float64))).sum())
    if wrong:
      raise UserError(f'{name}={file}: {wrong} numbers of {key} are not finite')
  parallel_prefix = all(key.startswith('module.') for key in found)
  return {key.removeprefix('module.'): value for key, value in found.items()} if parallel_prefix else found


def noted(workdir: epath.PathLike) -> dict[str, Any]:
  """What `write_run` noted of a run: the step that its weights have, and {network: file}; {} of other runs."""
  file = paths.expand(workdir) / FILE
  return dict(json.loads(file.read_text())) if file.exists() else {}
