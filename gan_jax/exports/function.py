"""The function that is exported: arrays by name to what the generator makes, with the weights beside or inside."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import key_of
from gan_jax.nets.layers.conv import formulation
from gan_jax.sampling.run import Run
from gan_jax.sampling.sampler import NOISE


class Exported(NamedTuple):
  """A run as a function of arrays.

  Attributes:
    apply: (variables, {name: (B, ...)}) -> {name: (B, ...) float32}; pure.
    variables: the weights and statistics.
    inputs: {name: an example of two rows}: the parts of the latents, or fields of the streams that the game reads.
    outputs: the names of what it makes; 'samples' for a game that makes one thing.
  """

  apply: Callable[[Any, dict[str, Any]], dict[str, Any]]
  variables: Any
  inputs: dict[str, np.ndarray]
  outputs: tuple[str, ...]

  def __call__(self, **inputs: Any) -> dict[str, np.ndarray]:
    """What is made of arrays by name, numpy."""
    made: dict[str, np.ndarray] = jax.device_get(jax.jit(self.apply)(self.variables, inputs))
    return made


def exported(run: Run, *, ema: bool = True, standing: int = 0) -> Exported:
  """The function of a run: `run.generate(latents)` with the latents' parts as arrays by name.

  Args:
    run: from `gan_jax.load`.
    ema: use running averages where the run keeps them.
    standing: batches whose statistics replace the running ones of batch norm; 0 for none.

  Returns:
    The `Exported`. A generator's own noise, if it has any, is that of seed 0.

  Raises:
    UserError: the game needs what cannot be given as arrays.
  """
  game = run.stage.game
  latents = None if game.latents is None else run.latents(2)
  parts = {} if latents is None else dict(latents) if isinstance(latents, dict) else {'z': latents}
  streams = run.inputs(2) or {}
  fields = {f'{stream}_{field}': np.asarray(x) for stream, given in streams.items() for field, x in given.items()}
  if clash := parts.keys() & fields.keys():
    raise UserError(f'latents and a field of the data are both called {min(clash)!r}: rename the stream to export')

  def apply(variables: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    batch: dict[str, Any] = {
      stream: {field: inputs[f'{stream}_{field}'] for field in given} for stream, given in streams.items()
    }
    if latents is not None:
      batch['latents'] = {name: inputs[name] for name in parts} if isinstance(latents, dict) else inputs['z']
    # Noise as of `run.generate(..., seed=0)`, of the first block.
    noise = jax.random.fold_in(jax.random.fold_in(key_of(0), NOISE), 0)
    # One operation for each convolution, which every platform has.
    with formulation('plain'):
      made = game.apply(variables, batch, method='sample', rngs={'noise': noise})
    made = made if isinstance(made, dict) else {'samples': made}
    return {name: value.astype(jnp.float32) for name, value in made.items()}

  variables = run.variables(ema, standing)
  inputs = {**parts, **fields}
  shapes = jax.eval_shape(apply, variables, inputs)
  return Exported(apply, variables, inputs, tuple(shapes))
