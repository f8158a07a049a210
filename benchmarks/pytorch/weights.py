"""Weights of gan_jax's layers into PyTorch's."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from flax import traverse_util
from torch import nn

Tree = Mapping[str, Any]
#: A float32 counts to 4,096 squared without a gap.
COUNTED = 4096


def copied_into(to: torch.Tensor, array: np.ndarray) -> None:
  to.data.copy_(torch.from_numpy(np.array(array, order='C')))


def take(module: nn.Module, params: Tree, spectral: Tree | None = None, chw: tuple[int, ...] = ()) -> None:
  """Parameters of a layer from gan_jax's; `chw` orders those of a dense layer that ends or begins in an image."""
  if 'weights' in params:
    kernel, bias = params['weights']['kernel'], params.get('bias')
  else:
    kernel, bias = params['kernel'], params.get('bias')
  u = None if spectral is None else spectral['weights']['u']
  if kernel.ndim == 4:
    weight = kernel.transpose(3, 2, 0, 1)  # of a transposed convolution too, whose kernel is that of its adjoint
  else:
    weight = kernel.T
    if chw:
      rows = isinstance(module, nn.Linear) and weight.shape[0] == math.prod(chw)
      height, width, channels = chw
      order = np.arange(math.prod(chw)).reshape(height, width, channels).transpose(2, 0, 1).ravel()
      weight = weight[order] if rows else weight[:, order]
      bias = bias[order] if rows and bias is not None else bias
      u = u[order] if rows and u is not None else u
  if u is not None:
    matrix = weight.reshape(weight.shape[0], -1)
    v = matrix.T @ u
    copied_into(module.parametrizations.weight.original, weight)
    copied_into(module.parametrizations.weight[0]._u, u)
    copied_into(module.parametrizations.weight[0]._v, v / np.linalg.norm(v))
  else:
    copied_into(module.weight, weight)
  if bias is not None:
    copied_into(module.bias, bias)


def take_back(module: nn.Module, like: Tree, variables_of: Callable[[Tree, Tree], Tree]) -> None:
  """Into a module the weights that a reader of its state dicts would turn into ours.

  A reader only moves numbers, so it is shown the numbers' places, and what it makes of them is read backwards.

  Args:
    module: in PyTorch, with the names of a published code.
    like: {collection: tree} of the network here, arrays.
    variables_of: of `gan_jax.nets.published`.
  """
  state = {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
  ends = np.cumsum([value.numel() for value in state.values()])
  places = {
    name: np.arange(end - value.numel(), end).reshape(tuple(value.shape))
    for (name, value), end in zip(state.items(), ends, strict=True)
  }
  parts = [
    variables_of({name: part(place).astype(np.float32) for name, place in places.items()}, like)
    for part in (lambda place: place // COUNTED, lambda place: place % COUNTED)
  ]
  whole = np.concatenate([value.numpy().ravel() for value in state.values()])
  high, low, ours = (traverse_util.flatten_dict(dict(tree)) for tree in (*parts, like))
  for path, value in ours.items():
    whole[(high[path].astype(np.int64) * COUNTED + low[path].astype(np.int64)).ravel()] = np.asarray(value).ravel()
  for name, value in state.items():
    copied_into(value, whole[places[name]])
  for layer in module.modules():  # the other vector of a spectral norm, as after a power iteration
    if hasattr(layer, 'weight_orig'):
      axis = int(isinstance(layer, nn.ConvTranspose2d))
      matrix = layer.weight_orig.detach().movedim(axis, 0).flatten(1)
      layer.weight_v.copy_(torch.nn.functional.normalize(matrix.T @ layer.weight_u, dim=0))
