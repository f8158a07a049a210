"""The stages of a run. Each has a game, optimizers and data streams, which are built from the config."""

import contextlib
import dataclasses
import itertools
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import optax

from gan_jax import core
from gan_jax.base.calls import check_call
from gan_jax.base.errors import UserError, one_of
from gan_jax.config.build import build
from gan_jax.config.settings import Settings, copied
from gan_jax.data.streams import Stream, streams_of
from gan_jax.data.text import FIRST, Text
from gan_jax.distributed import parallel
from gan_jax.latents import distributions as latents_lib
from gan_jax.nets.layers.conv import FORMULATIONS
from gan_jax.runs import learnt

#: Parts of a player that a stage may reset. If it resets the params, the other two are new as well.
RESETTABLE = ('params', 'optimizer', 'ema')
#: Settings that a stage may change; the others are the same in all stages.
STAGED = ('game', 'optimizers', 'data', 'ema', 'batch_size', 'accumulate', 'steps')
#: There is no float16: it would need loss scaling.
DTYPES = ('float32', 'bfloat16')
LEAST = {
  **dict.fromkeys(('batch_size', 'accumulate', 'steps_per_call', 'log_every', 'keep', 'samples', 'steps'), 1),
  **dict.fromkeys(('devices', 'sample_every', 'checkpoint_every', 'profile'), 0),
}


class Stage(NamedTuple):
  """A part of the training with one game.

  Attributes:
    number: 0 for the first.
    game: the module.
    optimizers: {player: optax transformation}.
    ema: {player: decay, or function of the clock}.
    streams: {name: settings}.
    batch_size: latents per move.
    accumulate: microbatches per move.
    first_step: the step at which it starts.
    steps: its length.
    reset: {'params' | 'optimizer' | 'ema': players for which this part is new at the start of the stage}.
    images: (real examples drawn before it, real examples per step), of the stream that gives most.
    parallel: 'jit' or 'pmap'.
    dtype: the dtype in which networks compute.
    remat: whether the backward pass keeps only the outputs of convolutions and dense layers and recomputes the rest.
    shard_state: whether optimizer states and running averages are divided over the devices.
    start: {network: the network of the stages before whose weights it begins with}.
  """

  number: int
  game: nn.Module
  optimizers: Mapping[str, optax.GradientTransformation]
  ema: Mapping[str, Any]
  streams: Mapping[str, Stream]
  batch_size: int
  accumulate: int
  first_step: int
  steps: int
  reset: Mapping[str, tuple[str, ...]]
  images: tuple[int, int]
  parallel: str = 'jit'
  dtype: str = 'float32'
  remat: bool = False
  shard_state: bool = False
  start: Mapping[str, str] = types.MappingProxyType({})

  @property
  def last_step(self) -> int:
    return self.first_step + self.steps

  @property
  def moves(self) -> dict[str, int]:
    """{stream: moves of one step that read it}."""
    return {name: core.moves_per_step(self.game, name) for name in self.streams}


def stages_of(config: ml_collections.ConfigDict, known: learnt.Learnt = learnt.NOTHING) -> tuple[Stage, ...]:
  """Builds every stage that a config describes, with streams whose columns know what they learnt.

  Raises:
    UserError: any setting that is unknown, missing, of the wrong type, or does not fit the others.
  """
  check_call(Settings, config.to_dict(), 'config')
  every: Sequence[Mapping[str, Any]] = config.stages or ({},)
  configs, games = [], []
  for number, changes in enumerate(every):
    with _naming(number, len(every)):
      configs.append(merged(config, changes))
      check_call(Settings, configs[-1].to_dict(), 'config')
      games.append(_game(configs[-1].game.to_dict()))
  players = {name for game in games for name in core.players_of(game)}
  # A part of a run, such as StackGAN's first stage alone, leaves players out whose networks are there.
  resting = {name for game in games for name, _ in networks_of(game)}
  for settings in (config, *configs):
    for where in ('optimizers', 'ema'):
      for name in settings[where]:
        if name not in players | resting:
          raise one_of(f'player in config.{where}', name, players)
  stages: list[Stage] = []
  for settings, game, changes in zip(configs, games, every, strict=True):
    with _naming(len(stages), len(every)):
      _check_numbers(settings)
      stages.append(_stage(settings, game, changes, stages[-1] if stages else None, known))
  return tuple(stages)


@contextlib.contextmanager
def _naming(number: int, count: int) -> Iterator[None]:
  """Errors of a stage begin with its number, if there are several: what they name may be set in each."""
  try:
    yield
  except UserError as error:
    if count == 1:
      raise
    raise UserError(f'stage {number + 1}: {error}') from error


def first_step_of(config: ml_collections.ConfigDict, step: int) -> int:
  """The finished steps when the stage began that made a step."""
  begins = itertools.accumulate((stage.get('steps', config.steps) for stage in config.stages), initial=0)
  return max((begin for begin in begins if begin < step), default=0)


def check_owned(config: ml_collections.ConfigDict, stages: Sequence[Stage]) -> None:
  """Raises a UserError for an optimizer or average of a network that a player owns: it would have no effect.

  Runs that were trained with one can still be loaded.
  """
  players = {name for stage in stages for name in core.players_of(stage.game)}
  owned = {name for stage in stages for name, _ in networks_of(stage.game) if _has_owner(name, players)} - players
  for settings in (config, *(merged(config, changes) for changes in config.stages)):
    for where in ('optimizers', 'ema'):
      for name in sorted(owned & set(settings[where])):
        raise one_of(f'player in config.{where}', name, players)


def _has_owner(network: str, players: Iterable[str]) -> bool:
  with contextlib.suppress(UserError):
    return bool(core.owner(network, players))
  return False


def networks_of(game: nn.Module) -> Iterator[tuple[str, nn.Module]]:
  """(name, network) of those that are fields of a game; in a list each has its number, such as generators_0."""
  for field in dataclasses.fields(game):
    value = getattr(game, field.name, None)
    if isinstance(value, nn.Module) and field.name != 'parent':
      yield field.name, value
    elif isinstance(value, tuple):
      yield from ((f'{field.name}_{i}', entry) for i, entry in enumerate(value) if isinstance(entry, nn.Module))


def _check_numbers(config: ml_collections.ConfigDict) -> None:
  for name, least in LEAST.items():
    if config[name] < least:
      raise UserError(f'config.{name}={config[name]} must be at least {least}')
  for name, known in (('parallel', parallel.WAYS), ('dtype', DTYPES), ('formulation', ('', *FORMULATIONS))):
    if config[name] not in known:
      raise one_of(f'config.{name}', config[name], known)
  if config.parallel == 'pmap' and config.shard_state:
    raise UserError("config.shard_state=True works only with config.parallel='jit': change one of the two")


def merged(config: ml_collections.ConfigDict, changes: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """The settings of one stage: those of the config with the changes of the stage.

  Changes go into dicts of settings. In `optimizers` and `ema`, what gets another name keeps only the settings that the
  change has too. A number takes the place of a schedule, a schedule that of a number.
  """
  if not isinstance(changes, Mapping):
    raise UserError(f'config.stages: {changes!r} is not a stage: give a dict of settings, such as {{"steps": 1000}}')
  settings = config.to_dict()
  for key, value in copied(changes).items():
    if key not in (*STAGED, 'reset', 'start'):
      raise one_of('setting of a stage in config.stages', key, [*STAGED, 'reset', 'start'])
    if isinstance(settings.get(key, {}), dict) and not isinstance(value, dict):
      raise UserError(f'config.stages: {key}={value!r} must be a dict of settings')
    if key not in ('reset', 'start'):
      whole = key in ('optimizers', 'ema')
      both = isinstance(value, dict) and isinstance(settings[key], dict)
      settings[key] = _updated(settings[key], value, whole) if both else value
  return ml_collections.ConfigDict(settings)


def _updated(settings: Mapping[str, Any], changes: Mapping[str, Any], whole: bool) -> dict[str, Any]:
  """Settings with changes; with `whole`, what gets another name keeps only settings that the changes have too."""
  both = dict(settings)
  for key, new in changes.items():
    old = both.get(key)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
      goes_on = old if not (whole and _renames(old, new)) else {name: old[name] for name in old.keys() & new.keys()}
      new = _updated(goes_on, new, whole)
    both[key] = new
  return both


def _renames(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
  return 'name' in changes and changes['name'] != settings.get('name')


def _game(settings: Mapping[str, Any]) -> Any:
  game = build(settings, home='gan_jax.games', where='config.game')
  missing = [name for name in ('turns', 'latents', 'sample') if not hasattr(game, name)]
  if not isinstance(game, nn.Module) or missing:
    what = f'it lacks {", ".join(missing)}' if missing else 'it is not a flax.linen.Module'
    raise UserError(
      f'config.game.name={settings.get("name")!r} is not a game: {what}; a game has turns, latents (which may be None) '
      'and sample'
    )
  return game


def _stage(
  config: ml_collections.ConfigDict,
  game: Any,
  changes: Mapping[str, Any],
  before: Stage | None,
  known: learnt.Learnt,
) -> Stage:
  settings = config.to_dict()
  players = core.players_of(game)
  built = {
    name: build(value, home='gan_jax.optim.minimax', where=f'config.optimizers.{name}')
    for name, value in settings['optimizers'].items()
    if name in players and name not in core.frozen_players(game)
  }
  for name, optimizer in built.items():
    if isinstance(optimizer, optax.MultiSteps):
      built[name] = optimizer = optimizer.gradient_transformation()
    if not isinstance(optimizer, optax.GradientTransformation):
      value = settings['optimizers'][name]
      cure = f'write {{"name": {value!r}, ...}}' if isinstance(value, str) else 'give it a name, such as optax.adam'
      raise UserError(f'config.optimizers.{name} is not an optax transformation: {cure}')
  decays = {
    name: build(v, home='gan_jax.optim.minimax', where=f'config.ema.{name}') for name, v in settings['ema'].items()
  }
  for name, decay in decays.items():
    varies = isinstance(decay, jax.core.Tracer)  # in a population, which checked each value
    if not callable(decay) and not varies and not (isinstance(decay, float | int) and 0 <= decay < 1):
      raise UserError(f'config.ema.{name}={decay!r} must be at least 0 and less than 1, such as 0.999')
  number = before.number + 1 if before else 0
  streams = learnt.applied(streams_of(settings['data'], settings['batch_size']), number, known)
  reset, start = changes.get('reset', {}), dict(changes.get('start', {}))
  if start and before is None:
    raise UserError(f'config.stages: the first stage has start={start}, but none is before it: use config.init_from')
  for key, names in reset.items():
    if key not in RESETTABLE:
      raise one_of("part in a stage's reset", key, RESETTABLE)
    if not isinstance(names, tuple | list):
      raise UserError(f'config.stages: reset.{key}={names!r} must be a tuple of players, such as ("generator",)')
    for name in names:
      if name not in players:
        raise one_of(f"player in a stage's reset.{key}", name, players)
  core.check(game, built, streams)
  _check_classes(game, streams)
  _check_words(game, streams)
  moves = {name: core.moves_per_step(game, name) for name in streams}
  per_step = max((moves[name] * (stream.batch_size or 0) for name, stream in streams.items()), default=0)
  return Stage(
    number=number,
    game=game,
    optimizers=built,
    ema={name: decay for name, decay in decays.items() if name in players},
    streams=streams,
    batch_size=settings['batch_size'],
    accumulate=settings['accumulate'],
    first_step=before.last_step if before else 0,
    steps=settings['steps'],
    reset={key: tuple(names) for key, names in reset.items()},
    images=(before.images[0] + before.images[1] * before.steps if before else 0, per_step),
    start=start,
    **{name: settings[name] for name in ('parallel', 'dtype', 'remat', 'shard_state')},
  )


def _check_classes(game: Any, streams: Mapping[str, Stream]) -> None:
  label = game.latents.get('label') if isinstance(game.latents, Mapping) else None
  if not isinstance(label, latents_lib.Label):
    return
  for name, stream in streams.items():
    if not stream.classes and 'label' in (stream.kinds or stream.stored(1)):
      raise UserError(
        f'stream {name!r} gives labels, but its classes=0 says that it has none: set '
        f'config.data.classes={label.classes}'
      )
    if stream.classes and stream.classes != label.classes:
      raise UserError(
        f'config.game.latents.label.classes={label.classes} but stream {name!r} has classes={stream.classes}: '
        'make them equal'
      )


def _check_words(game: Any, streams: Mapping[str, Stream]) -> None:
  """Networks that read the condition by `words` know as many as its column has: one beyond them would be none."""
  asked = getattr(game, 'condition', None)
  if not asked:
    return
  networks = {field.name: getattr(game, field.name, None) for field in dataclasses.fields(game)}
  known = {name: number for name, x in networks.items() if isinstance(number := getattr(x, 'words', None), int)}
  for stream in streams.values():
    kind = stream.kinds.get(asked)
    count = stream.classes if kind is None and asked == 'label' else getattr(kind, 'tokens', getattr(kind, 'count', 0))
    for name, number in known.items():
      if kind is not None and not count and number:
        raise UserError(f'config.game.{name}.words={number} but column {asked!r} is no class and no text: set it to 0')
      if number and number < count:
        fewer = f', or config.data.columns.{asked}.vocabulary to {number - FIRST}' if isinstance(kind, Text) else ''
        what = 'tokens' if isinstance(kind, Text) else 'classes'
        raise UserError(
          f'config.game.{name}.words={number} but column {asked!r} has up to {count} {what}: set it to {count}{fewer}'
        )


def clock_at(stage: Stage, step: int | jax.Array) -> core.Clock:
  """The clock of a stage's game after `step` steps of the run."""
  step = jnp.asarray(step, jnp.int32)
  stage_step = step - stage.first_step
  images = stage.images[0] + stage_step.astype(jnp.float32) * stage.images[1]
  return core.Clock(step, stage_step, jnp.asarray(stage.steps, jnp.int32), images)
