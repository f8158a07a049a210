"""Checkpoints: the GameState, the data position, the stage and the config, through Orbax; resume is exact."""

import json
from typing import Any, NamedTuple

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from gan_jax import config as config_lib
from gan_jax.errors import UserError

FORMAT = 1


class Place(NamedTuple):
  """Where a run stands.

  Attributes:
    step: steps finished.
    stage: number of the stage that the state belongs to.
    position: {stream: examples drawn, over all processes}.
  """

  step: int
  stage: int
  position: dict[str, int]


class Checkpoints:
  """The checkpoints of one run, in WORKDIR/checkpoints."""

  def __init__(self, workdir: epath.PathLike, keep: int = 3):
    self._folder = epath.Path(workdir).absolute() / 'checkpoints'
    self._folder.mkdir(parents=True, exist_ok=True)
    policy = ocp.training.preservation_policies.LatestN(keep)
    self._checkpointer = ocp.training.Checkpointer(self._folder, preservation_policy=policy)

  def steps(self) -> list[int]:
    return [checkpoint.step for checkpoint in self._checkpointer.checkpoints]

  def save(self, state: Any, place: Place) -> None:
    """Saves in the background; the state may be donated at once. Does nothing if this step is saved already."""
    if place.step in self.steps():
      return
    metadata = {'format': FORMAT, 'jax': jax.__version__, **place._asdict()}
    self._checkpointer.save_async(place.step, _tree(state), custom_metadata=metadata, force=True)

  def place(self, step: int | None = None) -> Place | None:
    """Where a checkpoint stands, the latest by default; None if there is none."""
    steps = self.steps()
    if not steps:
      return None
    if step is not None and step not in steps:
      raise UserError(f'no checkpoint of step {step} in {self._folder}: there are {", ".join(map(str, steps))}')
    metadata = self._checkpointer.metadata(steps[-1] if step is None else step).custom_metadata
    if not isinstance(metadata, dict) or metadata.get('format') != FORMAT:
      found = metadata.get('format') if isinstance(metadata, dict) else None
      raise UserError(f'{self._folder} has checkpoints of format {found}, this version reads {FORMAT}')
    return Place(int(metadata['step']), int(metadata['stage']), dict(metadata['position']))

  def restore(self, place: Place, abstract: Any) -> Any:
    """The state saved at a place.

    Args:
      place: from `place`.
      abstract: the state's shapes, dtypes and shardings (of any mesh).
    """
    leaves = self._checkpointer.load(place.step, _tree(abstract))
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves[jax.tree_util.keystr(path)], abstract)

  def close(self) -> None:
    """Waits for the last save."""
    self._checkpointer.close()


def _tree(state: Any) -> dict[str, Any]:
  """The state as a flat dict, so that no class of ours or of optax is needed to read a checkpoint."""
  return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def write_config(workdir: epath.Path, config: Any) -> None:
  (workdir / 'config.json').write_text(config_lib.to_json(config))


def read_config(workdir: epath.PathLike) -> Any:
  """The config a run was started with.

  Raises:
    UserError: there is no run.
  """
  file = epath.Path(workdir) / 'config.json'
  if not file.exists():
    raise UserError(f'{workdir} is not a run: it has no config.json; name a folder that was given as --workdir')
  return config_lib.from_json(file.read_text())


def check_resumable(workdir: epath.Path, config: Any) -> None:
  """Raises a UserError if a run is to go on with settings that change what it computes."""
  old, new = json.loads((workdir / 'config.json').read_text()), json.loads(config_lib.to_json(config))
  changed = [
    line
    for line in config_lib.differences(old, new)
    if line.split(':')[0].removeprefix('config.') not in config_lib.CADENCE
  ]
  if changed:
    raise UserError(
      f'{workdir} holds a run with other settings ({"; ".join(changed)}): give the same ones to resume it, or '
      'another --workdir'
    )
