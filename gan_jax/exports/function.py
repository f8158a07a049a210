"""The function that is exported: arrays by name to what the generator makes, with the weights beside or inside."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.base.functions import read
from gan_jax.base.seeds import key_of
from gan_jax.nets.layers.conv import formulation
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling.run import Run
from gan_jax.sampling.sampler import NOISE


class Exported(NamedTuple):
  """A run as a function of arrays.

  Attributes:
    apply: (weights, {name: (B, ...)}) -> {name: (B, ...) float32, whole numbers int32}; pure.
    weights: {path: array}, such as 'params/generator/Dense_0/kernel': the weights and statistics that samples need.
    inputs: {name: an example of two rows}: the latents, 'z' where they are one array, 'parts_low' of a dict in a dict,
      'z_0' of a tuple; and fields of the streams that the game reads, 'a_image'.
    outputs: the names of what it makes; 'samples' for a game that makes one thing.
    drawn: {name: its distribution}, of the inputs that are latents.
  """

  apply: Callable[[Any, dict[str, Any]], dict[str, Any]]
  weights: dict[str, np.ndarray]
  inputs: dict[str, np.ndarray]
  outputs: tuple[str, ...]
  drawn: dict[str, Any]

  def __call__(self, **inputs: Any) -> dict[str, np.ndarray]:
    """What is made of arrays by name, numpy."""
    made: dict[str, np.ndarray] = jax.device_get(jax.jit(self.apply)(self.weights, inputs))
    return made


def exported(run: Run, *, ema: bool = True, standing: int = 0) -> Exported:
  """The function of a run: `run.generate(latents)` with the arrays of the latents by name.

  Args:
    run: from `gan_jax.load`.
    ema: use running averages where the run keeps them.
    standing: batches whose statistics replace the running ones of batch norm; 0 for none.

  Returns:
    The `Exported`. A generator's own noise, if it has any, is that of seed 0, as the first block of samples has it.

  Raises:
    UserError: the game needs what cannot be given as arrays.
  """
  latents = None if run.stage.game.latents is None else run.latents(2)
  return of_game(run.stage.game, run.variables(ema, standing), latents, _examples(run))


def _examples(run: Run) -> Mapping[str, Mapping[str, Any]]:
  """Two rows of the data that the game reads when it samples; numbers at random where the data are not there."""
  try:
    return run.inputs(2) or {}
  except UserError:
    names = core.inputs_of(run.stage.game, run.stage.streams)
    with run.remembering():
      return {name: inputs_lib.at_random(run.stage.streams[name], 2, seed=0) for name in names}


def of_game(game: Any, variables: Any, latents: Any, streams: Mapping[str, Mapping[str, Any]]) -> Exported:
  """The function of a game's `sample`, as `exported`; variables may be shapes.

  Args:
    game: the module.
    variables: of the game.
    latents: two rows of them; None of a game that draws none.
    streams: {stream: {field: two rows}} of the data that it reads when it samples.
  """
  parts = [] if latents is None else _named(latents)
  fields = [(f'{stream}_{field}', np.asarray(x)) for stream, given in streams.items() for field, x in given.items()]
  names = [name for name, _ in parts + fields]
  if clash := [name for name in names if names.count(name) > 1]:
    raise UserError(f'two inputs are both called {clash[0]!r}: rename the stream or the part of the latents to export')

  variables = jax.device_get(variables)
  paths, tree = jax.tree_util.tree_leaves_with_path(variables), jax.tree.structure(variables)
  everything = {_path(path): leaf for path, leaf in paths}

  def apply(weights: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    inputs = {name: inputs[name] if name in inputs else _zeros(like, inputs) for name, like in whole.items()}
    variables = jax.tree.unflatten(tree, [weights.get(name, leaf) for name, leaf in everything.items()])
    batch: dict[str, Any] = {
      stream: {field: inputs[f'{stream}_{field}'] for field in given} for stream, given in streams.items()
    }
    if latents is not None:
      batch['latents'] = jax.tree.unflatten(jax.tree.structure(latents), [inputs[name] for name, _ in parts])
    # Noise as of `run.generate(..., seed=0)`, of the first block.
    noise = jax.random.fold_in(jax.random.fold_in(key_of(0), NOISE), 0)
    # One operation for each convolution, which every platform has.
    with formulation('plain'):
      made = game.apply(variables, batch, method='sample', rngs={'noise': noise})
    made = made if isinstance(made, dict) else {'samples': made}
    whole_numbers = lambda value: jnp.issubdtype(value.dtype, jnp.integer)
    return {name: value.astype(jnp.int32 if whole_numbers(value) else jnp.float32) for name, value in made.items()}

  whole = dict(parts + fields)
  (weights_read, inputs_read), shapes = read(apply, everything, whole)
  weights = {name: value for name, value in everything.items() if weights_read[name]}
  inputs = {name: value for name, value in whole.items() if inputs_read[name]} or whole
  drawn = {} if latents is None else dict(zip(names, _kinds(latents, game.latents), strict=False))
  return Exported(apply, weights, inputs, tuple(shapes), {name: kind for name, kind in drawn.items() if name in inputs})


def _zeros(like: Any, inputs: dict[str, Any]) -> jax.Array:
  """What nothing reads: of as many rows as the inputs have, which is no number while a file is written."""
  given = next(iter(inputs.values()))
  column = (given.reshape(given.shape[0], -1)[:, :1] * 0).astype(like.dtype)
  return jnp.broadcast_to(column.reshape(-1, *(1 for _ in like.shape[1:])), (given.shape[0], *like.shape[1:]))


def _named(latents: Any) -> list[tuple[str, Any]]:
  """(name, array) of latents, in the order of `jax.tree.leaves`.

  >>> [name for name, _ in _named({'z': (1.0, 2.0), 'parts': {'low': 3.0}})]
  ['parts_low', 'z_0', 'z_1']
  """
  tree = latents if isinstance(latents, dict) else {'z': latents}
  return [(_path(path, '_'), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _kinds(latents: Any, distributions: Any) -> list[Any]:
  """The distribution of each array of latents, in the order of `jax.tree.leaves`."""
  if isinstance(distributions, Mapping):
    return [kind for name in sorted(latents) for kind in _kinds(latents[name], distributions[name])]
  return [distributions] * len(jax.tree.leaves(latents))


def alone(made: Exported) -> tuple[Callable[[dict[str, Any]], dict[str, Any]], ...]:
  """The function with its weights inside, {name: (B, ...)} -> {name: (B, ...)}, in the order to be tried.

  The first computes what follows from the weights alone, such as their spectral norms, while it is traced: then the
  file does not compute it in every call. It also tries to make constants of shape (B, ...) there, such as noise,
  which has no value while B is a symbol: then the second, which leaves all to the file, is the one that can be traced.
  """
  whole = lambda inputs: made.apply(made.weights, inputs)

  def folded(inputs: dict[str, Any]) -> dict[str, Any]:
    with jax.ensure_compile_time_eval():
      return whole(inputs)

  return folded, whole


def first_that_works(write: Callable[[Any], Any], functions: tuple[Any, ...]) -> Any:
  """What `write` makes of the first function that it takes; the error is that of the last."""
  for function in functions[:-1]:
    try:
      return write(function)
    except ImportError:
      raise
    except Exception:  # of jax.export and jax2onnx, of many kinds
      continue
  return write(functions[-1])


def _path(path: tuple[Any, ...], between: str = '/') -> str:
  return between.join(jax.tree_util.keystr((part,), simple=True) for part in path)
