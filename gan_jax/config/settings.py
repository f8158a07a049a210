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
  """All settings of a config.

  Attributes:
    game: {'name': dotted name of a class, its settings, its networks as nested dicts}.
    optimizers: {player: {'name': 'optax.adam', settings}}; looked up in gan_jax.minimax, then as a dotted name.
    data: the settings of one stream (`data.streams.Stream`), or {stream: settings}.
    ema: {player: decay of the running averages used for sampling}, a number, or such as {'name': 'averages.warm_up',
      'decay': 0.999}, which begins short; none by default.
    batch_size: examples per move and stream, and latents per move.
    steps: steps of training; a step plays every turn once (`repeat` moves of it).
    seed: the seed of parameters, order of the data, latents and noise.
    population: train so many games in one compiled step, with seeds seed, seed + 1, ...; 0 for one game. See
      `gan_jax.runs.population`.
    vary: {dotted path in the config: a value for each member of the population}. The path may be the seed or a number
      in game, optimizers or ema, such as {'optimizers.generator.learning_rate': (1e-4, 2e-4)}.
    accumulate: the number of microbatches of each move.
    steps_per_call: steps in one compiled call, which saves the time between calls if steps are short. If a log line or
      a checkpoint is due inside such a call, single steps are called instead. Signals act between calls.
    devices: the number of devices to use; 0 for all.
    parallel: 'jit': one program for the whole batch, which the compiler divides; or 'pmap': every device runs the
      program on its share, with its own batch statistics (`gan_jax.distributed.parallel`).
    dtype: 'float32', or 'bfloat16' to compute networks in it; parameters, normalisations and losses stay float32.
    remat: keep only the outputs of convolutions and dense layers for the backward pass: less memory, more work.
    formulation: of convolutions: '' for the fastest steps; 'plain' or 'xla' compile several times faster where their
      steps are slower, for short experiments on a CPU (`gan_jax.nets.conv`).
    shard_state: divide optimizer states and running averages over the devices: less memory, more communication.
    stages: overrides, one dict per stage, each with its own `steps`; and `reset`, {'params' | 'optimizer' | 'ema':
      players that start anew on entering}; and `start`, {network: the network of the stages before whose weights it
      begins with}. Empty: one stage.
    log_every: steps between lines of metrics.
    sample_every: steps between sample grids; 0 for a grid only at the end.
    checkpoint_every: steps between checkpoints; 0 for a checkpoint only at the end.
    keep: the number of latest checkpoints to keep.
    keep_best: a metric; the checkpoint with its lowest value is kept too ('-NAME': the highest). Empty: none.
    samples: samples on a grid.
    eval: {'every': steps between evaluations, 0 for none; and any of `evaluation.options.Options`, such as 'metrics',
      'samples', 'features'}. Its figures are metrics called eval_NAME, which keep_best may name.
    profile: steps of a trace for TensorBoard and Perfetto in WORKDIR/profile, after the first 10 steps; 0 for none.
    wandb: a project of Weights & Biases that metrics and pictures go to as well; '' for none.
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
  wandb: str = ''
  init_from: str | Mapping[str, str] = ''
  init_players: Sequence[str] = ()
  resume: str = 'auto'


def base(**settings: Any) -> ml_collections.ConfigDict:
  """A config with the given settings, and the defaults of all others.

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
      if field.name == 'eval':  # a file may set only some of its entries
        values['eval'] = {**IN_TRAINING, **settings['eval']}
      if field.name == 'vary':  # ConfigDict takes no dots in names
        values['vary'] = nested(settings['vary'])
    elif default is not dataclasses.MISSING:
      values[field.name] = default
    else:
      raise UserError(f'the config lacks the setting {field.name!r}')
  return ml_collections.ConfigDict(copied(values))


def copied(value: Any) -> Any:
  """A deep copy of nested dicts. A file may use one dict for two players, but an override must change only one."""
  if isinstance(value, ml_collections.ConfigDict):
    value = value.to_dict()
  if isinstance(value, Mapping):
    return {key: copied(entry) for key, entry in value.items()}
  return tuple(copied(entry) for entry in value) if isinstance(value, list | tuple) else value


def nested(settings: Any) -> Any:
  """Turns dicts with dotted keys into nested dicts.

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


#: Three tags of each digit, for `tags` of a stream and `table` of `Tags`: it is even, at least five, and has a loop.
DIGIT_TAGS = (
  *((1, 0, 1), (0, 0, 0), (1, 0, 0), (0, 0, 0), (1, 0, 0)),
  *((0, 1, 0), (1, 1, 1), (0, 1, 0), (1, 1, 1), (0, 1, 1)),
)


def stream(**settings: Any) -> dict[str, Any]:
  """The settings of a stream: the given ones, and the defaults of all others, so that each can be overridden.

  >>> stream(name='mnist', channels=1)['size']
  32
  """
  known = (field for field in dataclasses.fields(Stream) if field.name != 'unread')  # which evaluations set
  names = {field.name: field.default for field in known} | {'columns': {}}
  unknown = set(settings) - set(names)
  if unknown:
    raise UserError(f'unknown setting config.data.{sorted(unknown)[0]}: a stream has {", ".join(names)}')
  return {**names, **settings}


def streams(common: Mapping[str, Any], **own: Mapping[str, Any]) -> dict[str, Any]:
  """The settings of several streams: what they have in common, and what each has of its own.

  Each has another seed, so that the examples of two streams come in orders of their own.

  >>> found = streams(dict(size=16), a=dict(name='digits'), b=dict(name='edges/digits'))
  >>> [(name, found[name]['size'], found[name]['seed']) for name in found]
  [('a', 16, 0), ('b', 16, 1)]
  """
  return {name: stream(**{'seed': i, **common, **settings}) for i, (name, settings) in enumerate(own.items())}
