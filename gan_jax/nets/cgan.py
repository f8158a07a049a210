"""CGAN: in both networks the condition has its own hidden layer; a joint layer combines it with the other input.

Source: Mirza and Osindero 2014, https://arxiv.org/abs/1411.1784, section 4.1.
"""

import math

import flax.linen as nn
import jax

from gan_jax.nets.layers.basic import Dropout, Maxout, activation, beside, condition, dense, head, uniform_init


class Generator(nn.Module):
  """Latents (B, n) and a label to examples (B, *shape) through ReLU layers.

  Attributes:
    classes: number of classes of labels (B,); not used for tags (B, n).
    z_units: hidden units of the latents.
    label_units: hidden units of the label.
    units: of the joint layer.
    shape: of an example.
    output: 'sigmoid', 'tanh' or 'identity'.
    dropout: rate on the input of the last layer, in training.
    irange: weights start uniform on (-irange, irange).
  """

  classes: int = 10
  z_units: int = 200
  label_units: int = 1000
  units: int = 1200
  shape: tuple[int, ...] = (28, 28, 1)
  output: str = 'sigmoid'
  dropout: float = 0.5
  irange: float = 0.05

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool, label: jax.Array) -> jax.Array:
    init = uniform_init(self.irange)
    latents = nn.relu(dense(z, self.z_units, kernel_init=init))  # (B, 200)
    embedded = nn.relu(dense(condition(label, self.classes, z.dtype), self.label_units, kernel_init=init))  # (B, 1000)
    x = nn.relu(dense(beside(latents, embedded), self.units, kernel_init=init))  # (B, 1200)
    x = Dropout(self.dropout, deterministic=not train)(x)
    return activation(dense(x, math.prod(self.shape), kernel_init=init), self.output).reshape(-1, *self.shape)


class MaxoutDiscriminator(nn.Module):
  """Examples (B, ...) and a label to logits (B,) through maxout layers with dropout.

  Attributes:
    classes: number of classes of labels (B,); not used for tags (B, n).
    units: maxout units of the example's hidden layer.
    label_units: maxout units of the label's hidden layer.
    joint_units: maxout units of the joint layer.
    pieces: affine maps per unit in the hidden layers.
    joint_pieces: affine maps per unit in the joint layer.
    dropout: rates on the example, on the input of the joint layer and on the input of the last layer.
    irange: weights start uniform on (-irange, irange).
  """

  classes: int = 10
  units: int = 240
  label_units: int = 50
  joint_units: int = 240
  pieces: int = 5
  joint_pieces: int = 4
  dropout: tuple[float, float, float] = (0.2, 0.5, 0.5)
  irange: float = 0.005

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, label: jax.Array) -> jax.Array:
    init = uniform_init(self.irange)
    of_example, of_hidden, of_joint = (Dropout(rate, deterministic=not train) for rate in self.dropout)
    example = Maxout(self.units, self.pieces, kernel_init=init)(of_example(x.reshape(x.shape[0], -1)))  # (B, 240)
    embedded = Maxout(self.label_units, self.pieces, kernel_init=init)(
      condition(label, self.classes, x.dtype)
    )  # (B, 50)
    joint = Maxout(self.joint_units, self.joint_pieces, kernel_init=init)(
      of_hidden(beside(example, embedded))
    )  # (B, 240)
    return head(dense(of_joint(joint), 1, kernel_init=init))
