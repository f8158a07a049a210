"""Residual blocks of SNGAN, BigGAN and BigGAN-deep, with the first and last layers of their networks.

A generator block gets a constructor of its norms: `norm(name)` returns a module that takes (x, *condition, train=...).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nets.layers.basic import BatchNorm, activation
from gan_jax.nets.layers.resample import downsample, upsample
from gan_jax.nets.layers.weights import Conv, Dense, Embed

ORTHOGONAL = nn.initializers.orthogonal()


class Start(nn.Module):
  """Latents (B, n) to a small map (B, base, base, features) by one dense layer.

  Attributes:
    features: channels.
    base: height and width.
    kind: of the weights.
  """

  features: int
  base: int = 4
  kind: str = 'plain'

  @nn.compact
  def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
    rows = Dense(self.base**2 * self.features, self.kind, kernel_init=ORTHOGONAL, name='dense')(z, train=train)
    return rows.reshape(-1, self.base, self.base, self.features)


class ToImage(nn.Module):
  """Batch norm, ReLU, 3x3 and tanh: (B, H, W, C) to pictures (B, H, W, channels).

  Attributes:
    channels: 1 for grey, 3 for colour.
    kind: of the weights.
    output: 'tanh' for pixels in [-1, 1], 'sigmoid' for [0, 1].
  """

  channels: int = 3
  kind: str = 'plain'
  output: str = 'tanh'

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    x = nn.relu(BatchNorm(name='norm')(x, train=train))
    x = Conv(self.channels, (3, 3), kind=self.kind, kernel_init=ORTHOGONAL, name='conv')(x, train=train)
    return activation(x, self.output)


class Projection(nn.Module):
  r"""ReLU, sums over pixels f, then w \cdot f + b + v_y \cdot f: (B, H, W, C) and classes (B,) to logits (B,).

  Source: Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637, eq. 3 and figure 1d.

  Attributes:
    classes: how many; 0 for w \cdot f + b alone.
    kind: of the weights.
  """

  classes: int = 0
  kind: str = 'spectral'

  @nn.compact
  def __call__(self, x: jax.Array, label: Any = None, *, train: bool) -> jax.Array:
    x = nn.relu(x).sum((1, 2))  # (B, C)
    logits = Dense(1, self.kind, kernel_init=ORTHOGONAL, name='logit')(x, train=train)[:, 0]
    if not self.classes:
      return logits
    vector = Embed(self.classes, x.shape[-1], self.kind, ORTHOGONAL, name='classes')(label, train=train)
    return logits + (vector * x).sum(-1)


class GeneratorBlock(nn.Module):
  """norm, ReLU, up, 3x3, norm, ReLU, 3x3; the shortcut is up, 1x1.

  Source: Miyato et al. 2018, https://arxiv.org/abs/1802.05957, figure 8; Brock et al. 2018,
  https://arxiv.org/abs/1809.11096, figure 15b.

  Attributes:
    features: output channels.
    norm: name -> a normalisation.
    up: whether height and width double.
    kind: of the weights; BigGAN's are spectral.
  """

  features: int
  norm: Callable[[str], Any]
  up: bool = True
  kind: str = 'plain'

  @nn.compact
  def __call__(self, x: jax.Array, *condition: jax.Array, train: bool) -> jax.Array:
    conv = lambda window, name, **settings: Conv(
      self.features, (window, window), kind=self.kind, kernel_init=ORTHOGONAL, name=name, **settings
    )
    y = nn.relu(self.norm('norm_1')(x, *condition, train=train))
    y = conv(3, 'conv_1', resample='up' if self.up else '')(y, train=train)
    y = nn.relu(self.norm('norm_2')(y, *condition, train=train))
    y = conv(3, 'conv_2')(y, train=train)
    if self.up or x.shape[-1] != self.features:
      x = conv(1, 'shortcut')(x, train=train)  # 1x1 and upsampling commute; this order needs a quarter of the work
    return (upsample(x) if self.up else x) + y


class DiscriminatorBlock(nn.Module):
  """ReLU, 3x3, ReLU, 3x3, down; the shortcut is 1x1, down. The first block has no first ReLU.

  Source: Miyato et al. 2018, https://arxiv.org/abs/1802.05957, figure 8; Brock et al. 2018,
  https://arxiv.org/abs/1809.11096, figure 15c.

  Attributes:
    features: output channels.
    down: whether height and width halve.
    first: whether the input is a picture; its shortcut is then down, 1x1.
    kind: of the weights.
    wide: whether the channels grow in the first convolution, as SAGAN's and BigGAN's; in SNGAN's second otherwise.
  """

  features: int
  down: bool = True
  first: bool = False
  kind: str = 'spectral'
  wide: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    shrink = downsample if self.down else lambda y: y
    conv = lambda features, window, name, **settings: Conv(
      features, (window, window), kind=self.kind, kernel_init=ORTHOGONAL, name=name, **settings
    )
    y = x if self.first else nn.relu(x)
    y = conv(self.features if self.wide or self.first else x.shape[-1], 3, 'conv_1')(y, train=train)
    y = conv(self.features, 3, 'conv_2', resample='down' if self.down else '')(nn.relu(y), train=train)
    if self.first or self.down or x.shape[-1] != self.features:
      x = conv(self.features, 1, 'shortcut')(shrink(x), train=train)  # equal to 1x1, down
    return x + y


class DeepGeneratorBlock(nn.Module):
  """BigGAN-deep's bottleneck: 1x1 to a quarter, two 3x3, 1x1 back; the shortcut drops channels and goes up.

  Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, figure 16b.

  Attributes:
    features: output channels, at most those of the input.
    norm: name -> a normalisation.
    up: whether height and width double.
    kind: of the weights.
    ratio: input channels per bottleneck channel.
  """

  features: int
  norm: Callable[[str], Any]
  up: bool = False
  kind: str = 'spectral'
  ratio: int = 4

  @nn.compact
  def __call__(self, x: jax.Array, *condition: jax.Array, train: bool) -> jax.Array:
    channels = x.shape[-1]
    if self.features > channels:
      raise ValueError(f'DeepGeneratorBlock: features={self.features} exceeds the {channels} of its input')
    grow = upsample if self.up else lambda y: y
    narrow = max(channels // self.ratio, 1)
    y = x
    for i, (features, window) in enumerate(((narrow, 1), (narrow, 3), (narrow, 3), (self.features, 1)), 1):
      y = nn.relu(self.norm(f'norm_{i}')(y, *condition, train=train))
      resample = 'up' if self.up and i == 2 else ''
      conv = Conv(features, (window,) * 2, kind=self.kind, kernel_init=ORTHOGONAL, name=f'conv_{i}', resample=resample)
      y = conv(y, train=train)
    return grow(x[..., : self.features]) + y


class DeepDiscriminatorBlock(nn.Module):
  """BigGAN-deep's: ReLU and 1x1, 3x3, 3x3, 1x1 with the pooling before the last; new channels join the shortcut.

  Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, figure 16c.

  Attributes:
    features: output channels, at least those of the input.
    down: whether height and width halve.
    kind: of the weights.
    ratio: output channels per bottleneck channel.
  """

  features: int
  down: bool = True
  kind: str = 'spectral'
  ratio: int = 4

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    channels = x.shape[-1]
    if self.features < channels:
      raise ValueError(f'DeepDiscriminatorBlock: features={self.features} is less than the {channels} of its input')
    shrink = downsample if self.down else lambda y: y
    conv = lambda features, window, name: Conv(
      features, (window, window), kind=self.kind, kernel_init=ORTHOGONAL, name=name
    )
    narrow = max(self.features // self.ratio, 1)
    y = conv(narrow, 1, 'conv_1')(nn.relu(x), train=train)
    y = conv(narrow, 3, 'conv_2')(nn.relu(y), train=train)
    y = conv(narrow, 3, 'conv_3')(nn.relu(y), train=train)
    y = conv(self.features, 1, 'conv_4')(shrink(nn.relu(y)), train=train)
    x = shrink(x)
    if self.features > channels:
      x = jnp.concatenate([x, conv(self.features - channels, 1, 'shortcut')(x, train=train)], -1)
    return x + y
