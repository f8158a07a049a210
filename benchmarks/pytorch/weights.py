"""Weights of gan_jax's layers into PyTorch's."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

Tree = Mapping[str, Any]


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
