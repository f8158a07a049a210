"""Attacks that only ask for logits, never for a gradient: what a network that hides its gradients must stand too.

Common arguments as in `attacks.gradient`; distances are of norm 'linf'. An example that is fooled stays as it is.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax.attacks import checks
from gan_jax.attacks.checks import LogitsFn
from gan_jax.attacks.losses import margin
from gan_jax.attacks.networks import seeing
from gan_jax.attacks.norms import column, numbers, widened, within
from gan_jax.base.axes import check_channels_last
from gan_jax.base.errors import UserError
from gan_jax.base.functions import compiled


def spsa(
  key: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  labels: jax.Array,
  *,
  eps: float,
  steps: int = 100,
  samples: int = 128,
  delta: float | None = None,
  learning_rate: float | None = None,
  targeted: bool = False,
  low: float = 0.0,
  high: float = 1.0,
) -> jax.Array:
  """Adam on the margin, its gradient estimated by differences along random signs; 2 x steps x samples queries.

  Source: Uesato et al. 2018, https://arxiv.org/abs/1802.05666, section 4.1, with their 100 steps, delta and rate.
  differs: no query leaves the range of pixels.

  Args:
    key: of the signs.
    logits_fn: examples (B, ...) -> logits (B, classes).
    x: (B, ...) in [low, high].
    labels: (B,), or with `targeted` the classes that the network shall see.
    eps: radius of the ball.
    steps: of Adam.
    samples: pairs of queries for a gradient.
    delta: half the distance of a pair; by default 0.01 of the range.
    learning_rate: of Adam, in units of pixels; by default 0.01 of the range.
    targeted: whether labels are the classes that the network shall see.
    low: the least value of a pixel.
    high: the greatest.

  Returns:
    (B, ...) in [low, high], at most eps from x; of half-precision x as near as its dtype tells.

  Raises:
    UserError: as `checks.checked` and `checks.check_eps`, or a number is not positive.
  """
  logits_fn, x, labels = checks.checked(logits_fn, x, labels, low=low, high=high)
  checks.check_eps(eps, x, 'linf', low, high)
  delta = 0.01 * (high - low) if delta is None else delta
  learning_rate = 0.01 * (high - low) if learning_rate is None else learning_rate
  checks.check_positive(delta=delta, learning_rate=learning_rate)
  checks.check_count(steps=steps, samples=samples)
  settings = (eps, steps, samples, delta, learning_rate, low, high)
  return _estimated(key, logits_fn, x, labels, *settings, targeted=targeted, signs=True)


def nes(
  key: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  labels: jax.Array,
  *,
  eps: float,
  step_size: float | None = None,
  steps: int = 100,
  samples: int = 50,
  sigma: float | None = None,
  targeted: bool = False,
  low: float = 0.0,
  high: float = 1.0,
) -> jax.Array:
  """Steps along the sign of a gradient estimated by normal noise and its mirror image; 2 x steps x samples queries.

  Source: Ilyas et al. 2018, https://arxiv.org/abs/1804.08598, section 2.2. differs: the margin in place of the
  probability, no momentum, no fall of the step's size; no query leaves the range of pixels.

  Args:
    key: of the noise.
    logits_fn: examples (B, ...) -> logits (B, classes).
    x: (B, ...) in [low, high].
    labels: (B,), or with `targeted` the classes that the network shall see.
    eps: radius of the ball.
    step_size: of each step; by default eps / 20.
    steps: how many.
    samples: pairs of queries for a gradient.
    sigma: deviation of the noise; by default 0.001 of the range.
    targeted: whether labels are the classes that the network shall see.
    low: the least value of a pixel.
    high: the greatest.

  Returns:
    (B, ...) in [low, high], at most eps from x; of half-precision x as near as its dtype tells.

  Raises:
    UserError: as `checks.checked` and `checks.check_eps`, or a number is not positive.
  """
  logits_fn, x, labels = checks.checked(logits_fn, x, labels, low=low, high=high)
  checks.check_eps(eps, x, 'linf', low, high)
  size = eps / 20 if step_size is None else step_size
  sigma = 1e-3 * (high - low) if sigma is None else sigma
  checks.check_positive(sigma=sigma, step_size=size)
  checks.check_count(steps=steps, samples=samples)
  settings = (eps, steps, samples, sigma, size, low, high)
  return _estimated(key, logits_fn, x, labels, *settings, targeted=targeted, signs=False)


@functools.partial(compiled, static=('targeted', 'signs'))
def _estimated(key, logits_fn, x, labels, eps, steps, samples, width, rate, low, high, *, targeted, signs):
  """Descent on the margin along estimated gradients: by Adam from random signs, or by sign from normal noise."""
  given, x = x.dtype, widened(x)
  eps, width, rate, low, high = numbers(x, eps, width, rate, low, high)
  logits_fn, adam = seeing(given, logits_fn), optax.adam(rate)

  def cost(at):
    m = widened(margin(logits_fn(at), labels))
    return -m if targeted else m

  def step(i, state):
    at, moments, fooled = state
    drawn = jax.random.fold_in(key, i)

    def pair(j, total):
      of_pair = jax.random.fold_in(drawn, j)
      if signs:
        way = jax.random.rademacher(of_pair, x.shape, x.dtype)
      else:
        way = jax.random.normal(of_pair, x.shape, x.dtype)
      ends = (jnp.clip(at + sign * width * way, low, high) for sign in (1, -1))
      slope = (cost(next(ends)) - cost(next(ends))) / (2 * width)
      return total + column(jnp.where(jnp.isfinite(slope), slope, 0), x) * way  # 1 / way is way for signs

    gradient = jax.lax.fori_loop(0, samples, pair, jnp.zeros_like(x)) / samples
    if signs:
      change, moments = adam.update(gradient, moments)
    else:
      change = -rate * jnp.sign(gradient)
    moved = jnp.clip(within(at + change, x, eps, 'linf'), low, high)
    at = jnp.where(column(fooled, x), at, moved)
    return at, moments, fooled | (cost(at) < 0)

  return jax.lax.stop_gradient(jax.lax.fori_loop(0, steps, step, (x, adam.init(x), cost(x) < 0))[0].astype(given))


def square(
  key: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  labels: jax.Array,
  *,
  eps: float,
  queries: int = 1000,
  share: float = 0.8,
  targeted: bool = False,
  low: float = 0.0,
  high: float = 1.0,
) -> jax.Array:
  """Random squares of the picture are moved to the end of the ball, and stay there if the margin falls.

  Source: Andriushchenko et al. 2019, https://arxiv.org/abs/1912.00049, algorithms 1 and 2; the side falls at the
  authors' shares of the queries. `share` is AutoAttack's 0.8 (Croce and Hein 2020, https://arxiv.org/abs/2003.01690),
  which makes 5,000 queries; the authors' code has 0.05 and 10,000. differs: each picture has squares of its own, which
  may touch the last row and column; a targeted attack lowers the margin, the authors' the cross-entropy; signs that
  change nothing are a query, as in AutoAttack (of grey pictures half of the late squares, of one pixel); the authors
  draw them anew.

  Args:
    key: of the squares.
    logits_fn: pictures (B, H, W, C) -> logits (B, classes).
    x: (B, H, W, C) in [low, high].
    labels: (B,), or with `targeted` the classes that the network shall see.
    eps: radius of the ball.
    queries: for each picture, after one of the picture and one of its stripes.
    share: of the picture that the first squares cover.
    targeted: whether labels are the classes that the network shall see.
    low: the least value of a pixel.
    high: the greatest.

  Returns:
    (B, H, W, C) in [low, high], at most eps from x.

  Raises:
    UserError: as `checks.checked` and `checks.check_eps`, no pictures, channels first, or a number is out of range.
  """
  logits_fn, x, labels = checks.checked(logits_fn, x, labels, low=low, high=high)
  checks.check_eps(eps, x, 'linf', low, high)
  checks.check_count(queries=queries)
  if x.ndim != 4:
    raise UserError(f'the square attack takes pictures (B, H, W, C), not examples of shape {x.shape}')
  check_channels_last(x.shape)
  if not 0 < share <= 1:
    raise UserError(f'share={share} of the picture must be above 0 and at most 1')
  return _square(key, logits_fn, x, labels, eps, queries, _halved_from(queries), share, low, high, targeted=targeted)


#: The share of the picture is halved at each of these parts of 10,000 queries.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def _halved_from(queries: int) -> np.ndarray:
  """The queries from which on the share of the picture is halved once more; int32."""
  # In Python's integers: 10,000 times the queries may be beyond 32 bits.
  found = [-(-(part + 1) * queries // 10_000) for part in HALVINGS]
  return np.minimum(found, 2**31 - 1).astype(np.int32)


@functools.partial(compiled, static=('targeted',))
def _square(key, logits_fn, x, labels, eps, queries, starts, share, low, high, *, targeted):
  count, height, width, channels = x.shape
  eps, low, high = numbers(x, eps, low, high)
  share = jnp.asarray(share, jnp.float32)  # a half would have no room for the number of pixels
  rows, columns = jnp.arange(height).reshape(1, -1, 1), jnp.arange(width).reshape(1, 1, -1)

  def cost(at):
    m = margin(logits_fn(at), labels)
    return -m if targeted else m

  def try_square(i, state):
    at, lowest = state
    place, across, sign = jax.random.split(jax.random.fold_in(key, i), 3)
    halved = (i >= starts).sum()
    side = jnp.round(jnp.sqrt(share * 0.5**halved * height * width)).astype(jnp.int32)
    side = jnp.clip(side, 1, min(height, width) - 1 or 1)
    top = jax.random.randint(place, (count, 1, 1), 0, height - side + 1)
    left = jax.random.randint(across, (count, 1, 1), 0, width - side + 1)
    inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    signs = jax.random.rademacher(sign, (count, 1, 1, channels), x.dtype)
    tried = jnp.where(inside[..., None], jnp.clip(x + eps * signs, low, high), at)
    reached = cost(tried)
    better = (reached < lowest) & (lowest >= 0)
    return jnp.where(column(better, x), tried, at), jnp.where(better, reached, lowest)

  clean = cost(x)
  stripes = jax.random.rademacher(jax.random.fold_in(key, queries), (count, 1, width, channels), x.dtype)
  begun = jnp.where(column(clean < 0, x), x, jnp.clip(x + eps * stripes, low, high))
  return jax.lax.stop_gradient(jax.lax.fori_loop(0, queries, try_square, (begun, cost(begun)))[0])
