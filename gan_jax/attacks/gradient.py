"""Attacks along the gradient of the loss in the example, inside a ball of radius eps.

Common arguments: `key` (a PRNG key; attacks without chance take it too), `logits_fn` (examples (B, ...) -> logits
(B, classes), in eval mode; a `jax.tree_util.Partial(apply, variables)` is compiled once for all variables), `x`
(B, ...) in [low, high], `labels` (B,), or with `targeted` the classes that the network shall see; `eps` and `step_size`
in units of pixels, `norm` 'linf' or 'l2', `loss` (logits, labels) -> (B,), which `ensemble.mean_of_losses` may replace.
Steps add up in float32. The network sees the dtype of x, which is that of the result too: half-precision results lie
outside the ball by their rounding at most.
All raise a `UserError` for what `checks.checked` and `checks.check_eps` refuse.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.attacks import checks
from gan_jax.attacks.checks import LogitsFn
from gan_jax.attacks.losses import Loss, against, cross_entropy
from gan_jax.attacks.networks import seeing
from gan_jax.attacks.norms import column, numbers, random_change, scaled, steepest, widened, within
from gan_jax.base.devices import varying_alike
from gan_jax.base.errors import UserError
from gan_jax.base.functions import compiled


def fgsm(
  key: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  labels: jax.Array,
  *,
  eps: float,
  norm: str = 'linf',
  start: float = 0.0,
  targeted: bool = False,
  low: float = 0.0,
  high: float = 1.0,
  loss: Loss = cross_entropy,
) -> jax.Array:
  r"""The fast gradient sign method: one step of length eps, $x + \epsilon\,\mathrm{sign}(\nabla_x J(\theta, x, y))$.

  Source: Goodfellow et al. 2014, https://arxiv.org/abs/1412.6572, section 4; with norm 'l2' along the gradient itself.
  With a random start, Tramer et al. 2017, https://arxiv.org/abs/1705.07204, section 4.1 (R+FGSM).

  Args:
    key: of the random start.
    logits_fn: the network, as this module says.
    x: (B, ...) in [low, high].
    labels: (B,).
    eps: length of the step.
    norm: 'linf' or 'l2'.
    start: length of a random step that comes first, along the sign of normal noise (or the noise), and is taken from
      eps; 0 for none.
    targeted: whether labels are the classes that the network shall see.
    low: the least value of a pixel.
    high: the greatest.
    loss: (logits, labels) -> (B,).

  Returns:
    (B, ...) in [low, high].

  >>> network = lambda x: jnp.stack([x.sum(-1), -x.sum(-1)], -1)
  >>> fgsm(jax.random.key(0), network, jnp.array([[0.5, 0.6]]), jnp.array([0]), eps=0.25).tolist()
  [[0.25, 0.3500000238418579]]
  """
  logits_fn, x, labels = checks.checked(logits_fn, x, labels, low=low, high=high, loss=loss)
  checks.check_eps(eps, x, norm, low, high)
  random = isinstance(start, jax.Array) or bool(start != 0)
  if random:
    checks.check_eps(start, x, norm, low, high, 'start')
    checks.check_positive(**{'eps - start': eps - start})
  return _one_step(
    key, logits_fn, x, labels, eps, start, low, high, norm=norm, random=random, targeted=targeted, loss=loss
  )


def bim(
  key: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  labels: jax.Array,
  *,
  eps: float,
  step_size: float | None = None,
  steps: int = 10,
  **settings: Any,
) -> jax.Array:
  """The basic iterative method: `pgd` from the example itself.

  Source: Kurakin et al. 2016, https://arxiv.org/abs/1607.02533, section 2.2.

  Args:
    key: not used.
    logits_fn: the network, as this module says.
    x: (B, ...) in [low, high].
    labels: (B,).
    eps: radius of the ball.
    step_size: of each step; by default eps / 5, which is foolbox's.
    steps: how many.
    **settings: norm, targeted, low, high, loss, as of `fgsm`.

  Returns:
    (B, ...) in [low, high].
  """
  for name in settings.keys() & {'random_start', 'restarts'}:
    raise UserError(f'bim has no {name}: it starts at the example; use pgd')
  size = eps / 5 if step_size is None else step_size
  return pgd(key, logits_fn, x, labels, eps=eps, step_size=size, steps=steps, random_start=False, **settings)


def pgd(
  key: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  labels: jax.Array,
  *,
  eps: float,
  step_size: float | None = None,
  steps: int = 40,
  restarts: int = 1,
  random_start: bool = True,
  norm: str = 'linf',
  targeted: bool = False,
  low: float = 0.0,
  high: float = 1.0,
  loss: Loss = cross_entropy,
) -> jax.Array:
  """Projected gradient ascent on the loss from random points of the ball; of the restarts, the best end counts.

  An end that changes the class is better than one that does not (with `targeted`: that has the class); of two that do,
  or do not, the one of higher loss. Where a loss takes other outputs than (B, classes), the loss alone counts.

  Source: Madry et al. 2017, https://arxiv.org/abs/1706.06083, section 2.1; on MNIST eps 0.3, 40 steps of 0.01.

  Args:
    key: of the random starts.
    logits_fn: the network, as this module says.
    x: (B, ...) in [low, high].
    labels: (B,).
    eps: radius of the ball.
    step_size: of each step; by default eps / 30, Madry's.
    steps: how many.
    restarts: how many starts.
    random_start: whether to start at a random point of the ball, not at the example.
    norm: 'linf' or 'l2'.
    targeted: whether labels are the classes that the network shall see.
    low: the least value of a pixel.
    high: the greatest.
    loss: (logits, labels) -> (B,).

  Returns:
    (B, ...) in [low, high], at most eps from x.
  """
  logits_fn, x, labels = checks.checked(logits_fn, x, labels, low=low, high=high, loss=loss)
  checks.check_eps(eps, x, norm, low, high)
  size = eps / 30 if step_size is None else step_size
  checks.check_positive(step_size=size)
  checks.check_count(steps=steps, restarts=restarts)
  if restarts > 1 and not random_start:
    raise UserError(f'restarts={restarts} with random_start=False: all would be the same search; leave one of the two')
  return _ascent(
    key, logits_fn, x, labels, eps, size, 0.0, steps, restarts, low, high,
    norm=norm, random=random_start, targeted=targeted, loss=loss, momentum=False,
  )  # fmt: skip


def mim(
  key: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  labels: jax.Array,
  *,
  eps: float,
  step_size: float | None = None,
  steps: int = 10,
  decay: float = 1.0,
  norm: str = 'linf',
  targeted: bool = False,
  low: float = 0.0,
  high: float = 1.0,
  loss: Loss = cross_entropy,
) -> jax.Array:
  r"""The momentum iterative method: steps along $g \leftarrow \mu g + \nabla / \|\nabla\|_1$; its examples transfer.

  Source: Dong et al. 2017, https://arxiv.org/abs/1710.06081, algorithm 1.

  Args:
    key: not used.
    logits_fn: the network, as this module says.
    x: (B, ...) in [low, high].
    labels: (B,).
    eps: radius of the ball.
    step_size: of each step; by default eps / steps, the paper's.
    steps: how many.
    decay: mu.
    norm: 'linf' or 'l2'.
    targeted: whether labels are the classes that the network shall see.
    low: the least value of a pixel.
    high: the greatest.
    loss: (logits, labels) -> (B,).

  Returns:
    (B, ...) in [low, high], at most eps from x.
  """
  logits_fn, x, labels = checks.checked(logits_fn, x, labels, low=low, high=high, loss=loss)
  checks.check_eps(eps, x, norm, low, high)
  checks.check_count(steps=steps)
  checks.check_least(decay=decay)
  size = eps / steps if step_size is None else step_size
  checks.check_positive(step_size=size)
  return _ascent(
    key, logits_fn, x, labels, eps, size, decay, steps, 1, low, high,
    norm=norm, random=False, targeted=targeted, loss=loss, momentum=True,
  )  # fmt: skip


def least_likely(
  key: jax.Array,
  logits_fn: LogitsFn,
  x: jax.Array,
  labels: jax.Array,
  *,
  eps: float,
  step_size: float | None = None,
  steps: int = 10,
  low: float = 0.0,
  high: float = 1.0,
) -> jax.Array:
  """Steps towards the class that the network holds for the least likely.

  Source: Kurakin et al. 2016, https://arxiv.org/abs/1607.02533, section 2.3.

  Args:
    key: not used.
    logits_fn: the network, as this module says.
    x: (B, ...) in [low, high].
    labels: (B,); never the target, even where the network holds them for the least likely.
    eps: radius of the ball, of norm 'linf'.
    step_size: of each step; by default eps / 5.
    steps: how many; 1 with step_size=eps is the one-step form of Kurakin et al. 2016, https://arxiv.org/abs/1611.01236.
    low: the least value of a pixel.
    high: the greatest.

  Returns:
    (B, ...) in [low, high], at most eps from x.
  """
  logits_fn, x, labels = checks.checked(logits_fn, x, labels, low=low, high=high)
  targets = _least(logits_fn, x, labels)
  return bim(key, logits_fn, x, targets, eps=eps, step_size=step_size, steps=steps, targeted=True, low=low, high=high)


@compiled
def _least(logits_fn, x, labels):
  logits = logits_fn(x).astype(jnp.float32)
  own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
  return jnp.where(own, jnp.inf, logits).argmin(-1).astype(jnp.int32)


def _climbed(loss, targeted):
  """What is climbed: for cross entropies what has their direction also where a network is confident.

  It grows with the loss, and steps have lengths of their own.
  """
  loss = against if loss is cross_entropy else getattr(loss, 'climbed', loss)
  return (lambda logits, labels: -loss(logits, labels)) if targeted else loss


def _gradient(logits_fn, labels, climbed, x):
  """The gradients in x, 0 where there are none. Examples do not meet in the sum: each has its own."""
  return jnp.nan_to_num(jax.grad(lambda x: climbed(logits_fn(x), labels).sum())(x))


@functools.partial(compiled, static=('norm', 'random', 'targeted', 'loss'))
def _one_step(key, logits_fn, x, labels, eps, start, low, high, *, norm, random, targeted, loss):
  given, x = x.dtype, widened(x)
  eps, start, low, high = numbers(x, eps, start, low, high)
  begun = x
  if random:
    begun = jnp.clip(x + start * steepest(jax.random.normal(key, x.shape, x.dtype), norm), low, high)
  gradient = _gradient(seeing(given, logits_fn), labels, _climbed(loss, targeted), begun)
  return jax.lax.stop_gradient(jnp.clip(begun + (eps - start) * steepest(gradient, norm), low, high).astype(given))


@functools.partial(compiled, static=('norm', 'random', 'targeted', 'loss', 'momentum'))
def _ascent(
  key, logits_fn, x, labels, eps, size, decay, steps, restarts, low, high, *, norm, random, targeted, loss, momentum
):
  """The best of several projected ascents."""
  given, x = x.dtype, widened(x)
  eps, size, decay, low, high = numbers(x, eps, size, decay, low, high)
  logits_fn, climbed = seeing(given, logits_fn), _climbed(loss, targeted)

  def step(_, state):
    at, gathered = state
    gradient = _gradient(logits_fn, labels, climbed, at)
    if momentum:
      gradient = scaled(gradient)
      sizes = column(jnp.abs(gradient).reshape(len(gradient), -1).sum(-1), gradient)
      gradient = gathered = decay * gathered + gradient / jnp.where(sizes > 0, sizes, 1.0)
    # The ball and the box in one, in this order: a point of the ball that is clipped to the box stays in the ball.
    return jnp.clip(within(at + size * steepest(gradient, norm), x, eps, norm), low, high), gathered

  def restart(i, best):
    chosen, fooled, highest = best
    begun = x
    if random:
      begun = jnp.clip(x + random_change(jax.random.fold_in(key, i), x, eps, norm), low, high)
    end, _ = jax.lax.fori_loop(0, steps, step, (begun, jnp.zeros_like(x) if momentum else ()))
    logits = logits_fn(end)
    reached = climbed(logits, labels)
    # The loss does not say it: of three classes (0.49, 0.51, 0) errs on the first, (0.34, 0.33, 0.33) does not.
    fools = (logits.argmax(-1) == labels) == targeted if logits.ndim == 2 else jnp.zeros_like(fooled)
    better = jnp.where(fools == fooled, reached > highest, fools) & ~jnp.isnan(reached)
    kept = jnp.where(column(better, x), end, chosen)
    return kept, jnp.where(better, fools, fooled), jnp.where(better, reached, highest)

  # On several devices what is kept differs as the examples do.
  none = (x, *(varying_alike(start, x)[0] for start in (jnp.zeros(len(x), bool), jnp.full(len(x), -jnp.inf))))
  return jax.lax.stop_gradient(jax.lax.fori_loop(0, restarts, restart, none)[0].astype(given))
