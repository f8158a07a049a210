"""Fully connected networks: GAN 2014's generator and maxout discriminator, and plain ones for 2-D toys."""

import math
from typing import Literal

import flax.linen as nn
import jax

from gan_jax.base.errors import UserError, one_of
from gan_jax.nets.layers.basic import (
  TORCH,
  Dropout,
  Maxout,
  activation,
  beside,
  checked_label,
  condition,
  dense,
  head,
  uniform_init,
)


def _weights(irange: float | str | None) -> nn.initializers.Initializer:
  if isinstance(irange, str):
    if irange != 'torch':
      raise one_of('irange', irange, ('torch', 'a number', None))
    return TORCH
  return nn.initializers.lecun_normal() if irange is None else uniform_init(irange)


class Generator(nn.Module):
  """Latents (B, n) to examples (B, *shape) through ReLU layers.

  Source: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, section 5.

  Attributes:
    hidden: widths of the ReLU layers.
    shape: shape of one example.
    output: 'sigmoid' for pixels in [0, 1], 'tanh' for [-1, 1], 'identity' for points.
    irange: weights start uniform on (-irange, irange); None for a variance of 1 / fan-in; 'torch' for Torch's own,
      uniform within 1 / sqrt(fan-in).
    sigmoid: whether the last hidden layer is one of sigmoids, as in GAN 2014's networks for CIFAR-10.
    last_irange: `irange` of the last layer; None to use `irange` there too.
    classes: of the label, which stands beside the latents; 0 for none.
  """

  hidden: tuple[int, ...] = (1200, 1200)
  shape: tuple[int, ...] = (28, 28, 1)
  output: str = 'sigmoid'
  irange: float | Literal['torch'] | None = None
  sigmoid: bool = False
  last_irange: float | None = None
  classes: int = 0

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool, label: jax.Array | None = None) -> jax.Array:
    init = _weights(self.irange)
    label = checked_label(label, self.classes, 'generator')
    x = z if label is None else beside(z, condition(label, self.classes, z.dtype))
    for i, width in enumerate(self.hidden):
      bend = nn.sigmoid if self.sigmoid and i == len(self.hidden) - 1 else nn.relu
      x = bend(dense(x, width, kernel_init=init))  # (B, width)
    init = init if self.last_irange is None else uniform_init(self.last_irange)
    x = dense(x, math.prod(self.shape), kernel_init=init)
    return activation(x, self.output).reshape(-1, *self.shape)


class MaxoutDiscriminator(nn.Module):
  """Examples (B, ...) to logits (B,) through maxout layers with dropout on every layer's input.

  Source: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, section 5; with 10 outputs the classifier of
  Goodfellow et al. 2013, https://arxiv.org/abs/1302.4389, section 5.1.

  Attributes:
    units: maxout units per hidden layer.
    pieces: affine maps per unit.
    dropout: rates on the input of each hidden layer and of the last, so one more than `units`.
    irange: weights start uniform on (-irange, irange); None for a variance of 1 / fan-in.
    outputs: 1 for one logit; classes of a classifier, which gives (B, outputs).
  """

  units: tuple[int, ...] = (240, 240)
  pieces: int = 5
  dropout: tuple[float, ...] = (0.2, 0.5, 0.5)
  irange: float | None = None
  outputs: int = 1

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    if len(self.dropout) != len(self.units) + 1:
      raise UserError(
        f'dropout={self.dropout} has {len(self.dropout)} rates for {len(self.units)} layers: give one more'
      )
    init = _weights(self.irange)
    x = x.reshape(x.shape[0], -1)
    for units, rate in zip(self.units, self.dropout, strict=False):
      x = Dropout(rate, deterministic=not train)(x)
      x = Maxout(units, self.pieces, kernel_init=init)(x)  # (B, units)
    x = Dropout(self.dropout[-1], deterministic=not train)(x)
    return head(dense(x, self.outputs, kernel_init=init))


class Softmax(nn.Module):
  """Examples (B, ...) to logits (B, classes) through one affine map: softmax regression, the shallowest classifier.

  Attributes:
    classes: the number of classes.
  """

  classes: int = 10

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    return dense(x.reshape(x.shape[0], -1), self.classes)


class Discriminator(nn.Module):
  """Examples (B, ...) to logits (B,) through leaky ReLU layers.

  Attributes:
    hidden: widths.
    outputs: 1 for one logit, 2 for a two-way softmax (fake, real).
    slope: of the leaky ReLU below zero.
    bias: biases of the hidden layers start uniform on (-bias, bias). Where they are 0, all units of the first layer
      bend in one place, the point 0.
  """

  hidden: tuple[int, ...] = (128, 128)
  outputs: int = 1
  slope: float = 0.2
  bias: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    begin = uniform_init(self.bias) if self.bias else nn.initializers.zeros
    x = x.reshape(x.shape[0], -1)
    for width in self.hidden:
      x = nn.leaky_relu(dense(x, width, bias_init=begin), self.slope)  # (B, width)
    return head(dense(x, self.outputs))
