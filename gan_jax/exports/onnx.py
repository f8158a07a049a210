"""ONNX by jax2onnx, of any number of examples, compared with the run by onnxruntime before it is written."""

from typing import Any

import jax
import numpy as np

from gan_jax.base.errors import UserError, short
from gan_jax.exports.function import Exported, alone, first_that_works

#: The largest difference from the run's own samples, of values in a range of 2.
MOST = 1e-4


def model(made: Exported) -> bytes:
  """The content of a .onnx file; its inputs and outputs bear the names of the function's.

  Args:
    made: from `exports.function.exported`.

  Raises:
    UserError: jax2onnx is not installed; the game computes what ONNX has no operation for, such as noise of its own;
      or onnxruntime does not give the run's samples.
  """
  try:
    import jax2onnx
    import onnx
    import onnxruntime
  except ImportError as error:
    # jax2onnx asks for an orbax-checkpoint older than ours, which it does not use here.
    how = 'pip install --no-deps jax2onnx==0.17.1' if error.name == 'jax2onnx' else "pip install 'gan_jax[export]'"
    raise UserError(f'{error.name} is not installed: {how}') from error
  names = list(made.inputs)

  def converted(function: Any) -> Any:
    def of_arrays(*arrays: Any) -> Any:
      found = function(dict(zip(names, arrays, strict=True)))
      return tuple(found[name] for name in made.outputs) if len(made.outputs) > 1 else found[made.outputs[0]]

    shapes = [jax.ShapeDtypeStruct(('B', *x.shape[1:]), x.dtype) for x in made.inputs.values()]
    return jax2onnx.to_onnx(of_arrays, inputs=shapes, model_name='gan_jax')

  try:
    proto = first_that_works(converted, alone(made))
  except Exception as error:  # of jax2onnx, of many kinds
    raise UserError(
      f'this game cannot be written as ONNX ({short(error)}): --format=stablehlo takes more games'
    ) from error
  _rename(proto.graph, names, list(made.outputs))
  data = bytes(proto.SerializeToString())
  given = {name: np.concatenate([x, x[:1]]) for name, x in made.inputs.items()}  # not the number it was traced with
  try:
    onnx.checker.check_model(proto)
    found = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider']).run(None, given)
  except Exception as error:  # of onnxruntime, of many kinds
    raise UserError(f'onnxruntime refuses what jax2onnx wrote ({short(error)}): take --format=stablehlo') from error
  for name, ours, theirs in zip(made.outputs, made(**given).values(), found, strict=True):
    difference = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else np.inf
    if not difference <= MOST:
      raise UserError(
        f'onnxruntime makes {name!r} otherwise than this run, by {difference:.1e}: nothing was written; take '
        '--format=stablehlo'
      )
  return data


def _rename(graph: Any, inputs: list[str], outputs: list[str]) -> None:
  """Gives inputs and outputs of a graph names, wherever they are used."""
  new = {value.name: name for value, name in zip(graph.input, inputs, strict=True)}
  new |= {value.name: name for value, name in zip(graph.output, outputs, strict=True)}
  for value in (*graph.input, *graph.output, *graph.value_info):
    value.name = new.get(value.name, value.name)
  for node in graph.node:
    node.input[:] = [new.get(name, name) for name in node.input]
    node.output[:] = [new.get(name, name) for name in node.output]
