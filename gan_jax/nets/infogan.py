"""InfoGAN's discriminator: any discriminator as the trunk, with a second head, Q, that predicts the codes.

Source: Chen et al. 2016, https://arxiv.org/abs/1606.03657, section 6 and appendix C.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from gan_jax.nets.dcgan import NORMAL
from gan_jax.nets.layers.basic import BatchNorm, dense


class Discriminator(nn.Module):
  """Examples (B, ...) to logits (B,) and, with `codes=True`, to Q's outputs.

  Attributes:
    trunk: a discriminator that takes `features=True` and gives (logits, features (B, n)).
    codes: {name: number of Q's outputs}: the classes of a categorical code, or the entries of a real-valued code.
    units: units of Q's hidden layer.
    slope: of the leaky ReLU below zero.
  """

  trunk: nn.Module
  codes: Mapping[str, int]
  units: int = 128
  slope: float = 0.1

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, codes: bool = False) -> Any:
    """Logits (B,); with `codes`, (logits, {name: (B, outputs)})."""
    logits, features = self.trunk(x, train=train, features=True)
    if not codes:
      return logits
    hidden = dense(features, self.units, use_bias=False, kernel_init=NORMAL, name='q')
    hidden = nn.leaky_relu(BatchNorm(name='q_norm')(hidden, train=train), self.slope)  # (B, 128)
    q = {name: dense(hidden, size, kernel_init=NORMAL, name=f'q_{name}') for name, size in sorted(self.codes.items())}
    return logits, q
