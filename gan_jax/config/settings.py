"""The settings of a run and of a data stream, with their defaults."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from gan_jax.base.errors import UserError
from gan_jax.config.evaluation import IN_TRAINING
from gan_jax.data.streams import Stream


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """Everything a config may set.

  Attributes:
    game: {'name': dotted name of a class, its settings, its networks as nested dicts}.
    optimizers: {player: {'name': 'optax.adam', settings}}; looked up in gan_jax.minimax, then as a dotted name.
    data: the settings of one stream (`data.streams.Stream`), or {stream: settings}.
    ema: {player: decay of the running averages used for sampling}, a number, or such as {'name': 'averages.warm_up',
      'decay': 0.999}, which begins short; none by default.
    batch_size: examples per move and stream, and latents per move.
    steps: steps of training; a step plays every turn once (times its repeat).
    seed: of parameters, order, latents and noise.
    population: train so many games in one compiled step, of seeds seed, seed + 1, ...; 0 for one game. See
      `gan_jax.runs.population`.
    vary: {dotted path in the config: a value for each member of the population}, of the seed and of numbers in game,
      optimizers and ema, such as {'optimizers.generator.learning_rate': (1e-4, 2e-4)}.
    accumulate: microbatches that each move is split into.
    steps_per_call: steps in one compiled call, to save the time between calls where steps are short; a call that would
      pass over a step at which something is due (a log line, a checkpoint) is made of single steps instead. Signals
      are noticed between calls.
    devices: how many devices to use; 0 for all.
    parallel: 'jit', one program of the whole batch divided by the compiler; or 'pmap', the same program on every device
      for its share, with batch statistics of its own (`gan_jax.distributed.parallel`).
    dtype: 'bfloat16' to compute networks in; parameters, normalisations and losses stay float32.
    remat: keep only the outputs of convolutions and dense layers for the backward pass: less memory, more work.
    formulation: of convolutions: '' for the fastest steps; 'plain' or 'xla' compile several times faster where their
      steps are slower, for short experiments on a CPU (`gan_jax.nets.conv`).
    shard_state: divide optimizer states and running averages over the devices: less memory, more communication.
    stages: overrides, one dict per stage, each with its own `steps`; and `reset`, {'params' | 'optimizer' | 'ema':
      players that start anew on entering}; and `start`, {network: the network of the stages before whose weights it
      begins with}. Empty: one stage.
    log_every: steps between lines of metrics.
    sample_every: steps between sample grids; 0 for only the last.
    checkpoint_every: steps between checkpoints; 0 for only the last.
    keep: checkpoints kept, the latest.
    keep_best: a metric; the checkpoint where it was lowest is kept too ('-NAME': highest). Empty: none.
    samples: examples on a grid.
    eval: {'every': steps between evaluations, 0 for none; and any of `evaluation.options.Options`, such as 'metrics',
      'samples', 'features'}. Its figures are metrics called eval_NAME, which keep_best may name.
    profile: steps of a trace for TensorBoard and Perfetto in WORKDIR/profile, after the first 10 steps; 0 for none.
    init_from: a run whose weights and running averages to start from, or {player: run}; empty for none.
    init_players: the players that take them; empty for all that the two runs share.
    resume: 'auto' goes on with a run of the same settings; 'force' with one of others, as far as its arrays fit.
  """

  game: Mapping[str, Any]
  optimizers: Mapping[str, Any]
  data: Mapping[str, Any]
  ema: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  batch_size: int = 64
  steps: int = 10_000
  seed: int = 0
  population: int = 0
  vary: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  accumulate: int = 1
  steps_per_call: int = 1
  devices: int = 0
  parallel: str = 'jit'
  dtype: str = 'float32'
  remat: bool = False
  formulation: str = ''
  shard_state: bool = False
  stages: Sequence[Mapping[str, Any]] = ()
  log_every: int = 50
  sample_every: int = 1000
  checkpoint_every: int = 1000
  keep: int = 3
  keep_best: str = ''
  samples: int = 64
  eval: Mapping[str, Any] = dataclasses.field(default_factory=lambda: dict(IN_TRAINING))
  profile: int = 0
  init_from: str | Mapping[str, str] = ''
  init_players: Sequence[str] = ()
  resume: str = 'auto'


def base(**settings: Any) -> ml_collections.ConfigDict:
  """A config with every setting at its default but those given.

  >>> base(game={}, optimizers={}, data=stream(name='digits'), steps=5).steps
  5
  """
  fields = dataclasses.fields(Settings)
  unknown = set(settings) - {field.name for field in fields}
  if unknown:
    raise UserError(f'unknown setting {sorted(unknown)[0]!r}: a config has {", ".join(f.name for f in fields)}')
  values = {}
  for field in fields:
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if field.name in settings:
      values[field.name] = settings[field.name]
      if field.name == 'eval':  # a file may name some of its settings only
        values['eval'] = {**IN_TRAINING, **settings['eval']}
      if field.name == 'vary':  # ConfigDict takes no dots in names
        values['vary'] = nested(settings['vary'])
    elif default is not dataclasses.MISSING:
      values[field.name] = default
    else:
      raise UserError(f'the config lacks the setting {field.name!r}')
  return ml_collections.ConfigDict(copied(values))


def copied(value: Any) -> Any:
  """Dicts of its own for every place: a file may give two players one dict, an override is for one of them."""
  if isinstance(value, ml_collections.ConfigDict):
    value = value.to_dict()
  if isinstance(value, Mapping):
    return {key: copied(entry) for key, entry in value.items()}
  return tuple(copied(entry) for entry in value) if isinstance(value, list | tuple) else value


def nested(settings: Any) -> Any:
  """Dicts with dotted keys as dicts in dicts.

  >>> nested({'a.b': (1, 2), 'a': {'c.d': (3, 4)}})
  {'a': {'b': (1, 2), 'c': {'d': (3, 4)}}}
  """
  if not isinstance(settings, Mapping | ml_collections.ConfigDict):
    return settings
  tree: dict[str, Any] = {}
  for path, value in settings.items():
    here, (*parents, last), value = tree, str(path).split('.'), nested(value)
    for name in parents:
      here = here.setdefault(name, {})
    if isinstance(value, dict) and isinstance(here.get(last), dict):
      here[last].update(value)
    else:
      here[last] = value
  return tree


def stream(**settings: Any) -> dict[str, Any]:
  """The settings of a stream, every one at its default but those given, so that all can be overridden.

  >>> stream(name='mnist', channels=1)['size']
  32
  """
  names = {field.name: field.default for field in dataclasses.fields(Stream)} | {'columns': {}}
  unknown = set(settings) - set(names)
  if unknown:
    raise UserError(f'unknown setting config.data.{sorted(unknown)[0]}: a stream has {", ".join(names)}')
  return {**names, **settings}
