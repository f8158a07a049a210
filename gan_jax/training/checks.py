"""Checks before a run writes files or compiles its first step."""

import contextlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError
from jax.sharding import Mesh

from gan_jax import core, runs
from gan_jax.base.errors import UserError, short
from gan_jax.config.evaluation import Options
from gan_jax.data.columns import Label
from gan_jax.data.streams import Stream, check_effect
from gan_jax.data.text import Text
from gan_jax.evaluation.evaluator import check as check_evaluation
from gan_jax.evaluation.options import options_of
from gan_jax.latents.distributions import Label as LabelLatents
from gan_jax.runs import run_config
from gan_jax.runs.stages import Stage, check_owned, networks_of
from gan_jax.runs.views import Experiment
from gan_jax.training import boards


def check_run(experiment: Experiment, mesh: Mesh) -> None:
  """Checks that a run can be trained, sampled and evaluated.

  Raises:
    UserError: batch sizes do not divide over the devices, an optimizer needs more than gradients, networks do not fit,
      sampling or an evaluation cannot work, config.keep_best names no metric, data do not exist, wandb is asked for
      and missing, or config.json cannot hold a setting.
  """
  config, options = experiment.config, options_of(experiment.config.eval)
  check_games(experiment)
  for settings in (config, *(runs.stages.merged(config, changes) for changes in config.stages)):
    _check_masks(settings.optimizers.to_dict(), 'config.optimizers')
  for stage in experiment.stages:
    check_batch(stage, mesh.size)
    check_optimizers(stage, experiment.of_first[stage.number])
    runs.make_step(stage, mesh)
    made = _check_sampling(experiment, stage)
    if options:
      check_evaluation(stage, options, made)
  experiment.check(mesh)
  _check_best(experiment, mesh, options)
  _open_streams(experiment)
  if config.wandb:
    boards.wandb()
  run_config.check_config(config)


def check_games(experiment: Experiment) -> None:
  """Checks what would have no effect, and asks the games that have `check_training` whether they can be trained.

  Runs that were trained with what is refused now can still be loaded.

  Raises:
    UserError: one cannot.
  """
  check_owned(experiment.config, experiment.stages)
  for stage in experiment.stages:
    for name, stream in stage.streams.items():
      check_effect(stream, 'config.data' if 'name' in experiment.config.data else f'config.data.{name}')
    _check_known_classes(stage)
    if check := getattr(stage.game, 'check_training', None):  # what only the game knows
      check(stage.streams)


def check_batch(stage: Stage, devices: int) -> None:
  """Raises a UserError if the losses of a game that compares examples see fewer at a time than it needs."""
  fewest = getattr(stage.game, 'fewest', 1)
  read = [stream.batch_size or stage.batch_size for stream in stage.streams.values()]
  least = stage.batch_size if stage.game.latents is not None or not read else min(read)
  seen = least // stage.accumulate // (devices if stage.parallel == 'pmap' else 1)
  if seen < fewest:
    raise UserError(
      f'{type(stage.game).__name__} compares {fewest} examples or more, and of {_batch_setting(stage, least)}={least} '
      f'a loss sees {seen} (config.accumulate={stage.accumulate}, config.parallel={stage.parallel}): make it larger'
    )


def check_optimizers(stage: Stage, state: Any) -> None:
  """Raises a UserError for an optimizer that cannot move its player by gradients, state and parameters alone.

  Args:
    stage: with the optimizers.
    state: shapes of its state.
  """
  for name, optimizer in stage.optimizers.items():
    player = state.players[name]
    with contextlib.suppress(Exception):  # masks and labels may be of the player's own parameters
      one = {'w': jax.ShapeDtypeStruct((2, 2), jnp.float32)}
      jax.eval_shape(lambda w, update=optimizer.update, init=optimizer.init: update(w, init(w), w), one)
      continue  # thousands of parameters take a second
    try:
      jax.eval_shape(optimizer.update, player.params, player.opt_state, player.params)
    except Exception as error:  # of any kind: the code is that of others
      raise UserError(
        f'config.optimizers.{name} cannot be used here, where an optimizer is given gradients, its state and '
        f'parameters ({short(error)}): choose one that needs no more, such as optax.adam'
      ) from error


def _check_masks(settings: Any, where: str) -> None:
  """Raises a UserError for a mask that is a text: optax would take it for true, so that nothing is left out."""
  pairs = settings.items() if isinstance(settings, Mapping) else ()
  parts = enumerate(settings) if isinstance(settings, tuple | list) else ()
  for key, value in pairs:
    if isinstance(value, str) and (key == 'mask' or key.endswith('_mask')):
      raise UserError(
        f'{where}.{key}={value!r} is a text, which leaves nothing out: write {{"name": {value!r}}} for what a call '
        'of that function returns'
      )
    _check_masks(value, f'{where}.{key}')
  for number, value in parts:
    _check_masks(value, f'{where}[{number}]')


def _batch_setting(stage: Stage, size: int) -> str:
  """The setting of the batches of so many examples."""
  return 'config.batch_size' if size == stage.batch_size else 'the batch_size in config.data'


def _check_known_classes(stage: Stage) -> None:
  """Labels that a network does not know would all be one class to it, and numbers of words magnitudes."""
  count, title = _asked(stage)
  for name, network in networks_of(stage.game):
    copied = isinstance(getattr(network, 'network', None), nn.Module)  # `copies.Copies`
    name, network = (f'{name}.network', network.network) if copied else (name, network)
    known = getattr(network, 'classes', 0)
    if not isinstance(known, int) or not known:
      continue
    if count is None:
      raise UserError(
        f'config.game.{name}.classes={known} but {title} is a text, whose words are no classes: take a network with '
        '`words`'
      )
    if known < count:
      raise UserError(
        f'config.game.{name}.classes={known} but {title} has {count} classes, of which the others would be one: set '
        f'it to {count}'
      )


def _asked(stage: Stage) -> tuple[int | None, str]:
  """(classes of what networks are conditioned on, 0 if it is no class, None if a text; what it is)."""
  game = stage.game
  label = game.latents.get('label') if isinstance(game.latents, Mapping) else None
  if isinstance(label, LabelLatents):
    return label.classes, 'the label'
  column = getattr(game, 'condition', '')
  if not column or not isinstance(column, str) or 'images' not in stage.streams:
    return 0, ''
  stream = stage.streams['images']
  kind, title = stream.kinds.get(column), f'column {column!r} (config.game.condition)'
  if isinstance(kind, Text):
    return None, title
  if kind is None:
    return stream.classes if column == 'label' else 0, title
  return kind.count if isinstance(kind, Label) else 0, title


def _open_streams(experiment: Experiment) -> None:
  """Opens the sets of all stages; one that later stages have in another size only, once."""
  opened: set[Any] = set()
  for stage in experiment.stages:
    for stream in stage.streams.values():
      if stage.number == 0 or stream.whole not in opened:
        stream.open()
        _check_windows(stream)
      opened.add(stream.whole)


def _check_windows(stream: Stream) -> None:
  """Nothing makes floats the size of the windows that the losses see."""
  kind = None if stream.columns else stream.stored(1)['image'].dtype
  if stream.random_crop and kind not in (None, np.uint8):
    raise UserError(
      f'config.data.random_crop={stream.random_crop} is of pictures of bytes, examples of {stream.name!r} are {kind}: '
      'read them by a column, a Picture with `values`'
    )


def _check_best(experiment: Experiment, mesh: Mesh, options: Options | None) -> None:
  """Checks the metric in config.keep_best. The last stage's evaluations check the names of figures, known only then."""
  best, stage = experiment.config.keep_best, experiment.stages[-1]  # only the last stage has a best checkpoint
  name = best.removeprefix('-')
  if name.startswith('eval_'):
    if not options:
      raise UserError(f'config.keep_best={best!r} needs evaluations: set config.eval.every to a number of steps')
    return
  if not name or any(name in turn.methods for turn in stage.game.turns):  # no need to trace a step
    return
  given = experiment.of_first[stage.number], runs.abstract_feed(stage, mesh), jax.random.key(0)
  _, metrics = jax.eval_shape(runs.make_step(stage, mesh), *given)
  known = [*metrics, 'sample_diversity']
  if name not in known:
    raise UserError(
      f'unknown metric in config.keep_best {name!r}: choose one of {", ".join(sorted(known))}, or a figure of '
      'config.eval.metrics, written eval_fid'
    )


def _check_sampling(experiment: Experiment, stage: Stage) -> Any:
  """Traces the sampling of a stage; returns the shapes of what it makes."""
  state = experiment.of_first[stage.number]
  batch = core.given(stage.game, runs.example_batch(stage))
  least = min((len(x) for x in jax.tree.leaves(batch)), default=0)
  batch = jax.tree.map(lambda x: x[:least], batch)

  def sample(state: Any, key: jax.Array) -> Any:
    clock = runs.clock_at(stage, stage.first_step)
    variables = core.game_variables(stage.game, state, ema=True, clock=clock)
    return stage.game.apply(variables, batch, method='sample', rngs={'noise': key})

  try:
    return jax.eval_shape(sample, state, jax.random.key(0))
  except FlaxError as error:
    detail = ' '.join(str(error).split(' (http')[0].split())
    raise UserError(
      f'{type(stage.game).__name__}.sample does not run: {detail}; it gets '
      "the batch, the clock and make_rng('noise'), networks in eval mode"
    ) from error
