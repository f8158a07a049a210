r"""Differentiable augmentation of the discriminator's inputs, real and generated images in the same way.

All functions take a key and images (B, H, W, C) in [-1, 1], draw random numbers for every example, and let gradients
pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import chex
import jax
import jax.numpy as jnp

from gan_jax.augment.ada import USUAL, adaptive, check_groups, check_images
from gan_jax.base.errors import UserError, one_of

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]


def _each(key: jax.Array, images: jax.Array, low: float, high: float) -> jax.Array:
  # In float32, so that the same key says the same for pictures of every dtype.
  return jax.random.uniform(key, (images.shape[0], 1, 1, 1), jnp.float32, low, high).astype(images.dtype)


def color(key: jax.Array, images: jax.Array) -> jax.Array:
  """Random brightness (adds up to +-0.5), saturation (times 0 to 2) and contrast (times 0.5 to 1.5), as in DiffAugment.

  Source: Zhao et al. 2020, https://arxiv.org/abs/2006.10738, and its code (`DiffAugment_pytorch.py`).

  >>> color(jax.random.key(0), jnp.zeros((2, 4, 4, 3))).shape
  (2, 4, 4, 3)
  """
  check_images(images)
  keys = jax.random.split(key, 3)
  images = images + _each(keys[0], images, -0.5, 0.5)
  grey = images.mean(-1, keepdims=True)
  images = (images - grey) * _each(keys[1], images, 0.0, 2.0) + grey
  level = images.mean((1, 2, 3), keepdims=True)
  return (images - level) * _each(keys[2], images, 0.5, 1.5) + level


def translation(key: jax.Array, images: jax.Array, *, ratio: float = 0.125) -> jax.Array:
  """Shifts by whole pixels, up to `ratio` of the side, and fills with zeros. Source: as `color`.

  >>> translation(jax.random.key(0), jnp.ones((2, 8, 8, 1))).shape
  (2, 8, 8, 1)
  """
  check_images(images)
  _, height, width, channels = images.shape
  down, right = int(height * ratio + 0.5), int(width * ratio + 0.5)
  padded = jnp.pad(images, ((0, 0), (down, down), (right, right), (0, 0)))
  corners = jax.random.randint(
    key, (images.shape[0], 2), 0, jnp.array([[2 * down + 1, 2 * right + 1]], jnp.int32), jnp.int32
  )
  cut = lambda image, corner: jax.lax.dynamic_slice(image, (*corner, jnp.int32(0)), (height, width, channels))
  return jax.vmap(cut)(padded, corners)


def cutout(key: jax.Array, images: jax.Array, *, ratio: float = 0.5) -> jax.Array:
  """Sets a random rectangle to 0; its sides are `ratio` of the image's. Source: as `color`.

  >>> bool((cutout(jax.random.key(0), jnp.ones((2, 8, 8, 1))) == 0).any())
  True
  """
  check_images(images)
  _, height, width, _ = images.shape
  tall, broad = int(height * ratio + 0.5), int(width * ratio + 0.5)
  places = jnp.array([[height + 1 - tall % 2, width + 1 - broad % 2]], jnp.int32)
  centers = jax.random.randint(key, (images.shape[0], 2), 0, places, jnp.int32)

  def inside(size: int, side: int, center: jax.Array) -> jax.Array:
    start = center[:, None] - size // 2
    return (jnp.arange(side)[None] >= start) & (jnp.arange(side)[None] < start + size)

  rows, columns = inside(tall, height, centers[:, 0]), inside(broad, width, centers[:, 1])
  return jnp.where((rows[:, :, None] & columns[:, None, :])[..., None], 0.0, images)


POLICIES: dict[str, Augmentation] = {'color': color, 'translation': translation, 'cutout': cutout}


@dataclass(frozen=True)
class DiffAugment:
  """Applies several augmentations one after the other.

  Source: Zhao et al. 2020, https://arxiv.org/abs/2006.10738, section 3.2.

  Attributes:
    policy: names of augmentations: color, translation, cutout.

  >>> DiffAugment(('translation',))(jax.random.key(0), jnp.ones((2, 8, 8, 1))).shape
  (2, 8, 8, 1)
  """

  policy: Sequence[str] = ('color', 'translation', 'cutout')

  def __post_init__(self) -> None:
    for name in self.policy:
      if name not in POLICIES:
        raise one_of('augmentation in DiffAugment', name, POLICIES)

  def __call__(self, key: jax.Array, images: jax.Array) -> jax.Array:
    for i, name in enumerate(self.policy):
      images = POLICIES[name](jax.random.fold_in(key, i), images)
    return images


@dataclass(frozen=True)
class Adaptive:
  """Adaptive augmentation (ADA) in a game. The game keeps the probability as a variable and updates it as it trains.

  Source: Karras et al. 2020 (ADA), https://arxiv.org/abs/2006.06676, section 3.2.

  Attributes:
    target: the mean sign of the logits on data that it aims for.
    speed: number of images in which the probability can go from 0 to 1.
    groups: of transformations, see `ada.adaptive`.
    every: moves of the discriminator from one change of the probability to the next, which looks at the signs of all
      of them; the authors' is 4.
  """

  target: float = 0.6
  speed: int = 500_000
  groups: Sequence[str] = USUAL
  every: int = 1

  def __post_init__(self) -> None:
    check_groups(self.groups)
    if self.every < 1 or self.speed < 1:
      raise UserError(f'Adaptive: every={self.every} and speed={self.speed} must be at least 1')

  def __call__(self, key: jax.Array, images: jax.Array, probability: jax.Array) -> jax.Array:
    return adaptive(key, images, probability, self.groups)

  def next(self, probability: jax.Array, overfitting: jax.Array, images: int) -> jax.Array:
    """The next probability, from the mean `overfitting` of moves on `images` images (all microbatches and devices)."""
    return _next_probability(probability, overfitting, self.target, images, self.speed)


@dataclass(frozen=True)
class Scheduled:
  """The augmentations of ADA in a game, with a probability that follows the step.

  Source: Huang et al. 2024 (R3GAN), https://arxiv.org/abs/2501.05441, table 6.

  Attributes:
    probability: from the number of finished steps to a number from 0 to 1, such as `optim.schedules.cosine`.
    groups: of transformations, see `ada.adaptive`; R3GAN's by default.
  """

  probability: Callable[[Any], Any]
  groups: Sequence[str] = (*USUAL, 'cutout')

  def __post_init__(self) -> None:
    check_groups(self.groups)
    if not callable(self.probability):
      raise UserError(
        f'Scheduled augmentation: probability={self.probability!r} is no schedule: write '
        "dict(name='optim.schedules.cosine', start=0.0, end=0.3, steps=10_000)"
      )

  def __call__(self, key: jax.Array, images: jax.Array, probability: jax.Array) -> jax.Array:
    return adaptive(key, images, probability, self.groups)


def overfitting(real_logits: jax.Array) -> jax.Array:
  """r_t of ADA: how sure the discriminator is of data, E[sign(D(x))] in [-1, 1]. Source: as `adapted`.

  The logits are those of a loss for which 0 is as likely real as not; `games.parts.accuracies.certainty` makes them of
  others.

  >>> float(overfitting(jnp.array([2.0, 0.5, 1.0, -3.0])))
  0.5
  """
  return jnp.mean(jnp.sign(real_logits.astype(jnp.float32)))


def _next_probability(
  probability: jax.Array | float, overfitting: jax.Array, target: float, images: int, speed: int
) -> jax.Array:
  return jnp.clip(probability + jnp.sign(overfitting - target) * images / speed, 0.0, 1.0)


def adapted(
  probability: jax.Array | float,
  real_logits: jax.Array,
  *,
  target: float = 0.6,
  images: int,
  speed: int = 500_000,
) -> jax.Array:
  r"""The next probability of ADA: higher if the discriminator is too sure of data ($E[sign(D(x))] > target$), or lower.

  Source: Karras et al. 2020 (ADA), https://arxiv.org/abs/2006.06676, section 3.2: r_t with target 0.6, p moving by 1 in
  500,000 images.

  Args:
    probability: p now, a scalar.
    real_logits: (B,), logits on data.
    target: the mean sign to aim for.
    images: images trained on since the last change of p, in all microbatches and on all devices.
    speed: number of images in which p can go from 0 to 1.

  >>> round(float(adapted(0.5, jnp.ones(4), images=50_000)), 2)
  0.6
  """
  return _next_probability(probability, overfitting(real_logits), target, images, speed)


def top_k(fake_logits: jax.Array, k: jax.Array | int) -> jax.Array:
  """Weights for the generator's loss (`fake_weights`): 1 for the k fakes with the highest logits, 0 for the others.

  Source: Sinha et al. 2020, https://arxiv.org/abs/2002.06224, algorithm 1; k falls from B by 1 % an epoch to B / 2.

  Args:
    fake_logits: (B,); of patches give their means.
    k: number of fakes that count, at least 1; it may depend on the clock.

  >>> top_k(jnp.array([0.1, 3.0, 2.0]), 2).tolist()
  [0.0, 1.0, 1.0]
  """
  chex.assert_rank(fake_logits, 1)
  ranks = jnp.argsort(jnp.argsort(-fake_logits))
  return jax.lax.stop_gradient((ranks < k).astype(jnp.float32))
