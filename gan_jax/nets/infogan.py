"""InfoGAN's discriminator: a second head, Q, on the trunk of any discriminator guesses the codes of what it sees.

Source: Chen et al. 2016, https://arxiv.org/abs/1606.03657, section 6 and appendix C.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from gan_jax.nets.dcgan import NORMAL
from gan_jax.nets.layers.basic import BatchNorm, dense


class Discriminator(nn.Module):
  """Examples (B, ...) to logits (B,) and, asked for them, to what Q says of the codes.

  Attributes:
    trunk: a discriminator that takes `features=True` and gives (logits, features (B, n)).
    codes: {name: outputs of Q}, the classes of a categorical code or the entries of a real one.
    units: of Q's hidden layer.
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
