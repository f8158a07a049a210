"""Safetensors: the weights by name, with the program that they belong to, and the config, in the file's metadata."""

import base64
import json

import numpy as np

from gan_jax.base.errors import UserError
from gan_jax.exports import stablehlo
from gan_jax.exports.function import Exported


def file(made: Exported, config: str) -> bytes:
  """The content of a .safetensors file.

  Args:
    made: from `exports.function.exported`.
    config: of the run, JSON.

  Returns:
    Arrays called by their paths ('params/generator/Dense_0/kernel'); metadata 'program' (what `stablehlo.program`
    makes without weights, base64), 'inputs' ({name: [dtype, shape of one]}, JSON), 'config'.

  Raises:
    UserError: safetensors is not installed, or the game cannot be exported.
  """
  try:
    from safetensors.numpy import save
  except ImportError as error:
    raise UserError("safetensors is not installed: pip install 'gan_jax[export]'") from error
  metadata = {
    'program': base64.b64encode(stablehlo.program(made, weights=False)).decode(),
    'inputs': json.dumps({name: [str(x.dtype), list(x.shape[1:])] for name, x in made.inputs.items()}),
    'config': config,
  }
  return bytes(save({name: np.array(leaf, order='C') for name, leaf in made.weights.items()}, metadata))
