"""Small networks that the probe games share."""

import flax.linen as nn


class Net(nn.Module):
  """Anything to anything: one hidden layer, batch norm if asked, so that statistics are under the laws too."""

  shape: tuple[int, ...] = ()
  hidden: int = 8
  norm: bool = False

  @nn.compact
  def __call__(self, x, *, train):
    x = nn.Dense(self.hidden)(x.reshape(x.shape[0], -1))
    if self.norm:
      x = nn.BatchNorm(use_running_average=not train, use_fast_variance=False)(x)
    size = 1
    for n in self.shape:
      size *= n
    return nn.Dense(size)(nn.leaky_relu(x)).reshape(-1, *self.shape)
