"""Attacks that look for the nearest example of another class: no eps, the distance is what they find."""

import functools

import jax
import jax.numpy as jnp
import optax

from gan_jax.attacks import checks
from gan_jax.attacks.checks import LogitsFn
from gan_jax.attacks.losses import margin
from gan_jax.attacks.networks import seeing
from gan_jax.attacks.norms import column, numbers, widened
from gan_jax.base.devices import varying_alike
from gan_jax.base.errors import UserError
from gan_jax.base.functions import compiled

#: The tanh of the search reaches the ends of the range only at infinity.
EDGE = 0.999999
#: DeepFool's least step as a share of the range: steps that only halve the way to a border never cross it.
LEAST_STEP = 1e-4


def carlini_wagner(
  key: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  labels: jax.Array,
  *,
  confidence: float = 0.0,
  steps: int = 1000,
  learning_rate: float = 1e-2,
  searches: int = 9,
  constant: float = 1e-3,
  targeted: bool = False,
  low: float = 0.0,
  high: float = 1.0,
) -> jax.Array:
  r"""Carlini and Wagner's L2 attack: $\min_w \|x'(w) - x\|_2^2 + c \max(0, m(x'(w)) + \kappa)$, x' through a tanh.

  m is the margin of the label over all others; Adam searches w, bisection c. Source: Carlini and Wagner 2016,
  https://arxiv.org/abs/1608.04644, section VI. differs: no search ends early; the authors' code has 10,000 steps,
  and of ten searches or more the last at the largest c.

  Args:
    key: not used.
    logits_fn: examples (B, ...) -> logits (B, classes).
    x: (B, ...) in [low, high].
    labels: (B,), or with `targeted` the classes that the network shall see.
    confidence: kappa, by how much the other class must win.
    steps: of Adam for each c.
    learning_rate: of Adam.
    searches: values of c that are tried.
    constant: the first c.
    targeted: whether labels are the classes that the network shall see.
    low: the least value of a pixel.
    high: the greatest.

  Returns:
    (B, ...) in [low, high], the nearest adversarial examples that were met; x itself where there was none.

  Raises:
    UserError: as `checks.checked`, or a number is not positive.
  """
  logits_fn, x, labels = checks.checked(logits_fn, x, labels, low=low, high=high)
  checks.check_positive(learning_rate=learning_rate, constant=constant)
  checks.check_count(steps=steps, searches=searches)
  checks.check_least(confidence=confidence)
  settings = (confidence, steps, learning_rate, searches, constant, low, high)
  return _carlini_wagner(logits_fn, x, labels, *settings, targeted=targeted)


@functools.partial(compiled, static=('targeted',))
def _carlini_wagner(logits_fn, x, labels, confidence, steps, rate, searches, constant, low, high, *, targeted):
  given, x = x.dtype, widened(x)
  confidence, rate, constant, low, high = numbers(x, confidence, rate, constant, low, high)
  logits_fn = seeing(given, logits_fn)
  middle, half = (low + high) / 2, (high - low) / 2
  inside = lambda w: middle + half * jnp.tanh(w)
  start = jnp.arctanh(jnp.clip((x - middle) / half, -1, 1) * EDGE)
  origin = inside(start)
  adam = optax.adam(rate)
  squares = lambda a: jnp.square(a).reshape(len(a), -1).sum(-1)

  def judged(w, constants):
    made = inside(w)
    m = widened(margin(logits_fn(made), labels))
    lost = (-m if targeted else m) + confidence
    distance = squares(made - origin)
    return (constants * jnp.maximum(lost, 0) + distance).sum(), (made, lost, distance)

  def search(_, state):
    best, nearest, least, most, constants = state

    def step(_, inner):
      w, moments, best, nearest, found = inner
      gradient, (made, lost, distance) = jax.grad(judged, has_aux=True)(w, constants)
      fooled = lost < 0
      better = fooled & (distance < nearest)
      best, nearest = jnp.where(column(better, x), made, best), jnp.where(better, distance, nearest)
      updates, moments = adam.update(jnp.nan_to_num(gradient), moments)
      return optax.apply_updates(w, updates), moments, best, nearest, found | fooled

    none = varying_alike(jnp.zeros(len(x), bool), x)[0]
    inner = (start, adam.init(start), best, nearest, none)
    _, _, best, nearest, found = jax.lax.fori_loop(0, steps, step, inner)
    most = jnp.where(found, constants, most)
    least = jnp.where(found, least, constants)
    return best, nearest, least, most, jnp.where(jnp.isinf(most), constants * 10, (least + most) / 2)

  # On several devices what is kept differs as the examples do.
  of_each = lambda value: varying_alike(jnp.full(len(x), value, x.dtype), x)[0]
  begun = (x, of_each(jnp.inf), of_each(0), of_each(jnp.inf), of_each(constant))
  return jax.lax.stop_gradient(jax.lax.fori_loop(0, searches, search, begun)[0].astype(given))


def deepfool(
  key: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  labels: jax.Array,
  *,
  steps: int = 50,
  overshoot: float = 0.02,
  candidates: int = 10,
  norm: str = 'l2',
  low: float = 0.0,
  high: float = 1.0,
) -> jax.Array:
  """Steps to the nearest border between classes, as if the network were linear, until the class changes.

  Source: Moosavi-Dezfooli et al. 2015, https://arxiv.org/abs/1511.04599, algorithm 2 and eq. 11 (norm 'linf').
  differs: each step is 0.0001 of the range longer, as in the authors' code; pixels stay in the range.

  Args:
    key: not used.
    logits_fn: examples (B, ...) -> logits (B, classes).
    x: (B, ...) in [low, high].
    labels: (B,); examples that the network has wrong stay as they are.
    steps: at most.
    overshoot: eta, how far beyond the border, as a share of the way.
    candidates: classes that are looked at, those of the greatest logits.
    norm: of the distance, 'l2' or 'linf'.
    low: the least value of a pixel.
    high: the greatest.

  Returns:
    (B, ...) in [low, high].

  Raises:
    UserError: as `checks.checked`, an unknown norm, or a number is out of range.
  """
  logits_fn, x, labels = checks.checked(logits_fn, x, labels, low=low, high=high)
  checks.check_eps(high - low, x, norm, low, high)
  checks.check_count(steps=steps, candidates=candidates)
  checks.check_least(overshoot=overshoot)
  if candidates < 2:
    raise UserError(f'candidates={candidates} must be at least 2: the class itself counts')
  return _deepfool(logits_fn, x, labels, steps, overshoot, low, high, candidates=candidates, norm=norm)


@functools.partial(compiled, static=('candidates', 'norm'))
def _deepfool(logits_fn, x, labels, steps, overshoot, low, high, *, candidates, norm):
  given, x = x.dtype, widened(x)
  overshoot, low, high = numbers(x, overshoot, low, high)
  logits_fn = seeing(given, logits_fn)
  logits = logits_fn(x)
  _, classes = jax.lax.top_k(logits, min(candidates, logits.shape[-1]))  # (B, K), the class itself first
  one_hot = lambda classes: jax.nn.one_hot(classes, logits.shape[-1], dtype=jnp.float32)
  own = one_hot(classes[:, 0])

  def ask(at):
    """(logits less that of the first class, (K - 1, B), their gradients (K - 1, B, ...), all logits)."""
    logits, backward = jax.vjp(lambda at: logits_fn(at).astype(jnp.float32), at)
    ways = one_hot(classes[:, 1:].T) - own[None]  # (K - 1, B, classes)
    return (ways * logits[None]).sum(-1), jnp.nan_to_num(jax.vmap(lambda way: backward(way)[0])(ways)), logits

  def go_on(state):
    i, _, _, fooled = state
    return (i < steps) & ~fooled.all()

  def step(state):
    i, at, total, fooled = state
    gaps, gradients, _ = ask(at)
    flat = gradients.reshape(*gradients.shape[:2], -1)
    # The dual norm: L2's is itself, that of the greatest entry is the sum.
    sizes = jnp.sqrt(jnp.square(flat).sum(-1)) if norm == 'l2' else jnp.abs(flat).sum(-1)
    distances = jnp.abs(gaps) / (sizes + 1e-8)  # (K - 1, B)
    nearest, rows = distances.argmin(0), jnp.arange(len(x))
    gradient, distance, size = gradients[nearest, rows], distances[nearest, rows], sizes[nearest, rows]
    way = jnp.sign(gradient) if norm == 'linf' else gradient / column(size + 1e-8, x)
    total = total + column(distance + LEAST_STEP * (high - low), x) * way
    moved = jnp.clip(x + (1 + overshoot) * total, low, high)
    sound = jnp.isfinite(moved).reshape(len(x), -1).all(1)
    at = jnp.where(column(fooled | ~sound, x), at, moved)
    return i + 1, at, total, fooled | (logits_fn(at).argmax(-1) != labels)

  begun = (0, x, jnp.zeros_like(x), logits.argmax(-1) != labels)
  return jax.lax.stop_gradient(jax.lax.while_loop(go_on, step, begun)[1].astype(given))
