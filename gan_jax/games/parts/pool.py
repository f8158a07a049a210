r"""An image pool: a discriminator is shown fakes of earlier steps beside those of now.

Source: Shrivastava et al. 2017, https://arxiv.org/abs/1612.07828, section 2.3; as CycleGAN uses it (Zhu et al. 2017,
https://arxiv.org/abs/1703.10593, section 4): 50 pictures, and each new one is exchanged for one of the pool with
probability 1/2.

A game keeps a pool in its collection `memory`:

    def setup(self):
      self.pool = self.variable('memory', 'pool', pool.empty, 50, (64, 64, 3))

    def discriminator_loss(self, batch):
      fake, self.pool.value = pool.exchange(self.make_rng('noise'), self.pool.value, fake)
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError

#: {'images': (size, ...), 'count': () int32, how many of them are filled}.
Pool = dict[str, jax.Array]


def empty(size: int, shape: Sequence[int], dtype: Any = jnp.float32) -> Pool:
  """A pool for `size` examples of a shape, with none in it. With size 0, `exchange` changes nothing.

  >>> empty(50, (8, 8, 3))['images'].shape
  (50, 8, 8, 3)
  """
  if size < 0:
    raise UserError(f'an image pool of size={size}: choose 0 (no pool) or more')
  return {'images': jnp.zeros((size, *shape), dtype), 'count': jnp.zeros((), jnp.int32)}


def exchange(key: jax.Array, pool: Pool, images: jax.Array, *, share: float = 0.5) -> tuple[jax.Array, Pool]:
  """Examples to show, and the pool after them; one example after the other, as in CycleGAN's code.

  Until the pool is full, each example goes in and is shown. Then with probability `share` an example takes the place of
  a random one of the pool, which is shown; otherwise it is shown itself and does not go in.

  Args:
    key: a PRNG key.
    pool: of `empty`, or of the call before.
    images: (B, ...), of the shape of the pool's.
    share: the probability of an exchange.

  Returns:
    ((B, ...), the new pool).
  """
  size, batch = len(pool['images']), len(images)
  if images.shape[1:] != pool['images'].shape[1:]:
    raise UserError(
      f'an image pool of examples {pool["images"].shape[1:]} is given {images.shape[1:]}: make both the same shape'
    )
  if not size:
    return images, pool
  coins, slots = jax.random.split(key)
  coins = jax.random.bernoulli(coins, share, (batch,))
  slots = jax.random.randint(slots, (batch,), 0, size)

  # Only numbers of examples go through the loop: 0 ... size - 1 stand for the pool, size + i for image i.
  def put(state: tuple[jax.Array, jax.Array], new: Any) -> Any:
    holders, count = state
    number, coin, slot = new
    full = count >= size
    place = jnp.where(full, slot, count)
    shown = jnp.where(full & coin, holders[place], number)
    holders = holders.at[place].set(jnp.where(full & ~coin, holders[place], number))
    return (holders, jnp.minimum(count + 1, size)), shown

  numbers = size + jnp.arange(batch)
  (holders, count), shown = jax.lax.scan(put, (jnp.arange(size), pool['count']), (numbers, coins, slots))
  kept, new = pool['images'], images.astype(pool['images'].dtype)

  def chosen(numbers: jax.Array) -> jax.Array:
    old = (numbers < size).reshape(-1, *(1,) * (new.ndim - 1))
    return jnp.where(old, kept[jnp.minimum(numbers, size - 1)], new[jnp.maximum(numbers - size, 0)])

  return chosen(shown).astype(images.dtype), {'images': chosen(holders), 'count': count}
