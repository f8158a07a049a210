"""StarGAN's discriminator: patches real or not, and the domain of the picture. Its generator is a `ResnetGenerator`.

Source: Choi et al. 2017, https://arxiv.org/abs/1711.09020, tables 4 and 5; the authors' PyTorch code
(yunjey/stargan: `model.py`), whose generator here is `translation.ResnetGenerator(blocks=6, border='SAME', kernel=4,
gain=True)`.

Weights start uniform within 1 / sqrt(inputs), as PyTorch's do: with N(0, 0.02) the first logits are many times as
large.

differs: biases start at 0, the authors' as their weights.
"""

from typing import Any

import flax.linen as nn
import jax

from gan_jax.nets.layers.basic import TORCH, dense
from gan_jax.nets.layers.conv import Conv


class Discriminator(nn.Module):
  """Pictures (B, H, W, C) to logits of patches (B, h, w) and of domains (B, domains).

  Attributes:
    channels: widths of the layers, each of which halves; 6 in the paper.
    domains: attributes or classes.
  """

  channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
  domains: int = 5

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, classify: bool = True) -> Any:
    """(logits of patches, logits of domains); without `classify` the first alone."""
    for i, width in enumerate(self.channels):
      x = Conv(width, (4, 4), (2, 2), kernel_init=TORCH, name=f'conv_{i}')(x)
      x = nn.leaky_relu(x, 0.01)  # (B, H / 2, W / 2, 64) ... (B, 2, 2, 2048)
    patches = Conv(1, (3, 3), use_bias=False, kernel_init=TORCH, name='patches')(x)[..., 0]
    if not classify:
      return patches
    # A window as large as what is left: one product.
    return patches, dense(x.reshape(x.shape[0], -1), self.domains, use_bias=False, kernel_init=TORCH, name='domains')
