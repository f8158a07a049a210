"""StableHLO by `jax.export`: one file for CPU, CUDA and TPU, of any number of examples, the weights inside or beside."""

from typing import Any

import jax
from jax import export

from gan_jax.base.errors import UserError, short
from gan_jax.exports.function import Exported

PLATFORMS = ('cpu', 'cuda', 'tpu')


def program(made: Exported, *, weights: bool = True) -> bytes:
  """The serialized program.

  Args:
    made: from `exports.function.exported`.
    weights: put them into the file; else they are the program's first argument.

  Returns:
    What `jax.export.deserialize` reads; its `call` takes {name: (B, ...)}, and gives {name: (B, ...)}.

  Raises:
    UserError: the game computes what cannot be exported.
  """
  (batch,) = export.symbolic_shape('batch')
  inputs = {name: jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype) for name, x in made.inputs.items()}
  variables = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), made.variables)
  try:
    if weights:
      constant = jax.device_get(made.variables)
      exported = export.export(jax.jit(lambda inputs: made.apply(constant, inputs)), platforms=PLATFORMS)(inputs)
    else:
      exported = export.export(jax.jit(made.apply), platforms=PLATFORMS)(variables, inputs)
  except Exception as error:  # of jax.export, of many kinds
    raise UserError(
      f'this game cannot be exported for any number of examples ({short(error)}): a layer needs that number while it '
      'is traced, such as minibatch discrimination or the statistics of a batch'
    ) from error
  return bytes(exported.serialize())


def read(data: bytes) -> Any:
  """The function of a serialized program; what the ten lines of the docs do."""
  return export.deserialize(bytearray(data)).call
