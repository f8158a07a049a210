"""Views: each of several discriminators gets a changed version of the examples."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.base.errors import UserError


@dataclass(frozen=True)
class View:
  """A view of images and classes. It keeps their shapes, so that copies of one network can take different views.

  Attributes:
    scale: squares of this side are replaced by their means; 2 halves the resolution.
    channels: channels that the view keeps, the others become 0; empty for all.
    classes: (K,) the coarse class of each class; empty for the classes themselves.
  """

  scale: int = 1
  channels: tuple[int, ...] = ()
  classes: tuple[int, ...] = ()

  def image(self, image: jax.Array) -> jax.Array:
    """The view of images (B, H, W, C), of the same shape.

    >>> View(scale=2).image(jnp.arange(4.0).reshape(1, 2, 2, 1)).ravel().tolist()
    [1.5, 1.5, 1.5, 1.5]
    >>> View(channels=(1,)).image(jnp.array([[1.0, 2.0]])).tolist()
    [[0.0, 2.0]]
    """
    if self.scale > 1:
      count, height, width, channels = image.shape
      if height % self.scale or width % self.scale:
        raise UserError(f'View(scale={self.scale}) does not divide pictures of {height}x{width}: choose a divisor')
      small = image.reshape(count, height // self.scale, self.scale, width // self.scale, self.scale, channels)
      image = small.mean((2, 4)).repeat(self.scale, 1).repeat(self.scale, 2)
    if self.channels:
      kept = np.zeros(image.shape[-1], bool)
      kept[list(self.channels)] = True
      image = jnp.where(kept.reshape((1,) * (image.ndim - 1) + (-1,)), image, 0)
    return image

  def label(self, label: jax.Array) -> jax.Array:
    """The view of classes (B,), of the same shape.

    >>> View(classes=(0, 0, 1)).label(jnp.array([2, 1])).tolist()
    [1, 0]
    """
    return jnp.asarray(self.classes, jnp.int32)[label] if self.classes else label
