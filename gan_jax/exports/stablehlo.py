"""StableHLO by `jax.export`: one file for CPU, CUDA and TPU and any number of examples, weights inside or beside."""

import jax
from jax import export

from gan_jax.base.errors import UserError, short
from gan_jax.exports.function import Exported, alone, first_that_works

PLATFORMS = ('cpu', 'cuda', 'tpu')


def program(made: Exported, *, weights: bool = True) -> bytes:
  """The serialized program.

  Args:
    made: from `exports.function.exported`.
    weights: put them into the file; else the program's first argument is {path: array}.

  Returns:
    What `jax.export.deserialize` reads; its `call` takes {name: (B, ...)}, and gives {name: (B, ...)}.

  Raises:
    UserError: the game computes what cannot be exported.
  """
  (batch,) = export.symbolic_shape('batch')
  inputs = {name: jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype) for name, x in made.inputs.items()}

  try:
    if weights:
      exported = first_that_works(
        lambda function: export.export(jax.jit(function), platforms=PLATFORMS)(inputs), alone(made)
      )
    else:
      shapes = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in made.weights.items()}
      exported = export.export(jax.jit(made.apply), platforms=PLATFORMS)(shapes, inputs)
    return bytes(exported.serialize())
  except ImportError as error:
    raise UserError("flatbuffers is not installed: pip install 'gan_jax[export]'") from error
  except Exception as error:  # of jax.export, of many kinds
    raise UserError(
      f'this game cannot be exported for any number of examples ({short(error)}): a layer needs that number while it '
      'is traced, such as minibatch discrimination or the statistics of a batch'
    ) from error
