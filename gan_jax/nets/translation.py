"""Networks that turn pictures into pictures, and judge them patch by patch: pix2pix, CycleGAN and what came of them.

Source: Isola et al. 2016 (pix2pix), https://arxiv.org/abs/1611.07004, section 6.1; Zhu et al. 2017 (CycleGAN),
https://arxiv.org/abs/1703.10593, section 7.2; the authors' PyTorch code (junyanz/pytorch-CycleGAN-and-pix2pix:
`networks.py`); for `SubpixelGenerator` Ledig et al. 2016, https://arxiv.org/abs/1609.04802, figure 4.

differs: a convolution before a norm has no bias here; instance norm takes it away, batch norm has its own.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError, one_of
from gan_jax.nets.layers.basic import BatchNorm, Dropout, activation, beside_pixels, dense
from gan_jax.nets.layers.conv import Conv, ConvTranspose, chosen
from gan_jax.nets.layers.norms import InstanceNorm
from gan_jax.nets.layers.resample import pixel_shuffle

NORMS = ('instance', 'batch', 'none')
INIT = nn.initializers.normal(0.02)
#: One pixel on every side, as PyTorch's padding=1: the strided windows of 3 begin at another pixel than with 'SAME'.
ONE = ((1, 1), (1, 1))


class Norm(nn.Module):
  """One of the norms of this family.

  Attributes:
    kind: 'instance', 'batch' or 'none'.
    gain: whether instance norm has a gain and a bias for each channel; batch norm always has.
  """

  kind: str
  gain: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    if self.kind not in NORMS:
      raise one_of('norm', self.kind, NORMS)
    if self.kind == 'instance':
      return InstanceNorm(self.gain, gain_stddev=0.02, name='norm')(x)
    return BatchNorm(gain_stddev=0.02, name='norm')(x, train=train) if self.kind == 'batch' else x


class ResnetGenerator(nn.Module):
  """Pictures (B, H, W, C) to pictures of the same size: two halvings, residual blocks, two doublings.

  Attributes:
    channels: of the first and of the last layer; four times as many in the blocks.
    blocks: residual blocks, 9 for 256 pixels, 6 for 128 in the authors' Lua code.
    image_channels: of what it makes.
    norm: 'instance', 'batch' or 'none'.
    gain: whether instance norm has a gain and a bias (StarGAN).
    border: 'REFLECT', or 'SAME' for zeros (StarGAN: mirrored planes of a label would not be seen behind instance norm).
    kernel: window of the layers that halve and double, 3 or 4 (StarGAN).
    dropout: share of units that a block drops in training.
    output: 'tanh' for pixels in [-1, 1], 'sigmoid' for [0, 1].
  """

  channels: int = 64
  blocks: int = 9
  image_channels: int = 3
  norm: str = 'instance'
  gain: bool = False
  border: str = 'REFLECT'
  kernel: int = 3
  dropout: float = 0.0
  output: str = 'tanh'

  @nn.compact
  def __call__(self, x: jax.Array, label: jax.Array | None = None, *, train: bool) -> jax.Array:
    if x.shape[1] % 4 or x.shape[2] % 4:
      raise UserError(f'ResnetGenerator halves twice, but pictures are {x.shape[1]}x{x.shape[2]}: give multiples of 4')
    if label is not None:  # a plane for each entry (B, n)
      x = beside_pixels(x, label)
    bias = self.norm == 'none'
    # A norm takes a bias away: there is none before it.
    common: dict[str, Any] = dict(use_bias=bias, kernel_init=INIT)
    window = (self.kernel, self.kernel)
    normal = lambda x, name: Norm(self.norm, self.gain, name=f'{name}_norm')(x, train=train)
    x = Conv(self.channels, (7, 7), padding=self.border, name='first', **common)(x)
    x = nn.relu(normal(x, 'first'))  # (B, H, W, channels)
    for i in range(2):
      x = Conv(self.channels << (i + 1), window, (2, 2), padding=ONE, name=f'down_{i}', **common)(x)
      x = nn.relu(normal(x, f'down_{i}'))  # (B, H / 4, W / 4, 4 channels)
    if self.blocks:
      x = repeated(ResidualBlock(self.norm, self.gain, self.border, self.dropout, name='blocks'), x, self.blocks, train)
    for i in range(2):
      x = ConvTranspose(self.channels << (1 - i), window, (2, 2), padding=ONE, name=f'up_{i}', **common)(x)
      x = nn.relu(normal(x, f'up_{i}'))
    x = Conv(self.image_channels, (7, 7), padding=self.border, kernel_init=INIT, name='image')(x)
    return activation(x, self.output)


def repeated(block: nn.Module, x: jax.Array, count: int, train: bool) -> jax.Array:
  """x through `count` blocks of one form, each with weights of its own, stacked (count, ...): compiled as one."""
  one = lambda block, x, _: (block(x, train=train), None)
  # In a loop XLA:CPU's own convolutions are slow; matrix products are not.
  unroll = count if jax.default_backend() == 'cpu' and chosen() != 'matmul' else 1
  loop = nn.scan(
    one,
    variable_axes={'params': 0, 'batch_stats': 0},
    split_rngs={'params': True, 'dropout': True},
    length=count,
    unroll=unroll,
  )
  return loop(block, x, None)[0]


class ResidualBlock(nn.Module):
  """x + two convolutions of 3x3 with norms, ReLU between them. Attributes as in `ResnetGenerator`."""

  norm: str
  gain: bool
  border: str
  dropout: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    h = x
    for i, name in enumerate(('first', 'second')):
      conv = Conv(x.shape[-1], (3, 3), padding=self.border, use_bias=self.norm == 'none', kernel_init=INIT, name=name)
      h = Norm(self.norm, self.gain, name=f'{name}_norm')(conv(h), train=train)
      if i == 0:
        h = Dropout(self.dropout, deterministic=not train)(nn.relu(h))
    return x + h


class UNet(nn.Module):
  """Pictures (B, H, W, C) to pictures of the same size: an encoder and a decoder, layer by layer joined by skips.

  Attributes:
    channels: widths of the encoder, which halves in each layer; 8 bring 256 pixels to 1.
    image_channels: of what it makes.
    norm: 'instance', 'batch' or 'none'.
    gain: whether instance norm has a gain and a bias.
    dropout: layers of the decoder, after its first, that drop half of their units in training.
    skips: False leaves the joints out: a plain encoder and decoder, with leaky ReLU between them (DiscoGAN).
    inner_norm: whether the last layer of the encoder has a norm; instance norm makes nothing but zeros of one pixel.
    output: 'tanh' for pixels in [-1, 1], 'sigmoid' for [0, 1].
  """

  channels: tuple[int, ...] = (64, 128, 256, 512, 512, 512, 512, 512)
  image_channels: int = 3
  norm: str = 'batch'
  gain: bool = True
  dropout: int = 3
  skips: bool = True
  inner_norm: bool = False
  output: str = 'tanh'

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    last, multiple = len(self.channels) - 1, 1 << len(self.channels)
    if x.shape[1] % multiple or x.shape[2] % multiple:
      raise UserError(
        f'UNet halves {last + 1} times, but pictures are {x.shape[1]}x{x.shape[2]}: give multiples of {multiple}, or '
        'fewer entries of channels in its settings'
      )
    normal = lambda x, name: Norm(self.norm, self.gain, name=f'{name}_norm')(x, train=train)
    layers: list[jax.Array] = []
    for i, width in enumerate(self.channels):
      plain = self.norm == 'none' or i == 0 or (i == last and not self.inner_norm)
      # As in the authors' code, where norms with a bias leave no other.
      bias = plain and not (self.norm == 'batch' or (self.norm == 'instance' and self.gain))
      x = nn.leaky_relu(x, 0.2) if i else x
      x = Conv(width, (4, 4), (2, 2), use_bias=bias, kernel_init=INIT, name=f'down_{i}')(x)
      x = x if plain else normal(x, f'down_{i}')
      layers.append(x)
    x = layers.pop()  # (B, 1, 1, 512)
    x = nn.relu(x) if self.skips else nn.leaky_relu(x, 0.2)  # the decoder's, or the encoder's as between its layers
    for i in range(last, 0, -1):
      bias = self.norm == 'none'
      x = ConvTranspose(self.channels[i - 1], (4, 4), (2, 2), use_bias=bias, kernel_init=INIT, name=f'up_{i}')(x)
      x = normal(x, f'up_{i}')
      if last - self.dropout <= i < last:
        x = Dropout(0.5, deterministic=not train)(x)
      skip = layers.pop()
      x = nn.relu(jnp.concatenate([skip, x], -1) if self.skips else x)  # (B, 2, 2, 1024) ...
    x = ConvTranspose(self.image_channels, (4, 4), (2, 2), kernel_init=INIT, name='up_0')(x)
    return activation(x, self.output)


class SubpixelGenerator(nn.Module):
  """Small pictures (B, H, W, C) to large ones (B, factor H, factor W, C): residual blocks, then pixels shuffled.

  Attributes:
    channels: of all layers.
    blocks: residual blocks, 16 in the paper.
    factor: 2 or 4.
    image_channels: of what it makes.
    norm: 'batch', as in the paper, 'instance' or 'none'.
    gain: whether instance norm has a gain and a bias.
    kernel: window of the first and of the last layer.
    output: 'tanh' for pixels in [-1, 1], 'sigmoid' for [0, 1].
  """

  channels: int = 64
  blocks: int = 16
  factor: int = 4
  image_channels: int = 3
  norm: str = 'batch'
  gain: bool = True
  kernel: int = 9
  output: str = 'tanh'

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
    if self.factor not in (2, 4):
      raise one_of('factor of SubpixelGenerator', self.factor, (2, 4))
    window, bend = (self.kernel, self.kernel), lambda x, name: nn.PReLU(negative_slope_init=0.25, name=name)(x)
    x = first = bend(Conv(self.channels, window, kernel_init=INIT, name='first')(x), 'first_bend')
    conv = lambda x, name: Conv(self.channels, (3, 3), use_bias=self.norm == 'none', kernel_init=INIT, name=name)(x)
    normal = lambda x, name: Norm(self.norm, self.gain, name=f'{name}_norm')(conv(x, name), train=train)
    for i in range(self.blocks):
      x = x + normal(bend(normal(x, f'block_{i}_first'), f'block_{i}_bend'), f'block_{i}_second')
    x = first + normal(x, 'last')
    for i in range(self.factor // 2):
      x = Conv(4 * self.channels, (3, 3), kernel_init=INIT, name=f'up_{i}')(x)
      x = bend(pixel_shuffle(x), f'up_{i}_bend')  # (B, 2 H, 2 W, channels)
    return activation(Conv(self.image_channels, window, kernel_init=INIT, name='image')(x), self.output)


class PatchGAN(nn.Module):
  """Pictures (B, H, W, C) to a logit for each patch (B, h, w), or with `whole` one for each picture (B,).

  Attributes:
    channels: of the first layer; each of the next has twice as many, up to 8 times.
    layers: that halve: 1 gives patches of 16 pixels, 3 of 70, 5 of 286; 0 judges every pixel alone.
    norm: 'instance', 'batch' or 'none'; the first layer and the last have none.
    gain: whether instance norm has a gain and a bias.
    whole: one logit from all of the last layer that halves, in place of patches.
    slope: of the leaky ReLU.
  """

  channels: int = 64
  layers: int = 3
  norm: str = 'instance'
  gain: bool = False
  whole: bool = False
  slope: float = 0.2

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, features: bool = False) -> Any:
    """Logits; with `features` (logits, the layers' outputs after their activations, the first left out)."""
    maps: list[jax.Array] = []
    windows: Sequence[tuple[int, int]] = [(4, 2)] * self.layers + [(4, 1)] * (not self.whole)
    if not self.layers:
      windows = [(1, 1), (1, 1)]
    for i, (window, stride) in enumerate(windows):
      width = self.channels * min(2**i, 8)
      plain = i == 0 or self.norm == 'none'
      conv = Conv(
        width,
        (window, window),
        (stride, stride),
        use_bias=plain,
        kernel_init=INIT,
        padding='SAME' if window == 1 else ONE,
        name=f'conv_{i}',
      )
      x = conv(x) if plain else Norm(self.norm, self.gain, name=f'conv_{i}_norm')(conv(x), train=train)
      x = nn.leaky_relu(x, self.slope)  # (B, H / 2, W / 2, channels) ...
      maps.append(x)
    if self.whole:
      logits = dense(x.reshape(x.shape[0], -1), 1, kernel_init=INIT, name='logit')[:, 0]
    else:
      window = 4 if self.layers else 1
      last = Conv(1, (window, window), kernel_init=INIT, padding=ONE if window == 4 else 'SAME', name='logits')
      logits = last(x)[..., 0]  # (B, 30, 30) of 256 pixels
    return (logits, maps[1:]) if features else logits
