r"""Dynamics: rules that combine the gradients of all players when they move at once, before any optimizer.

A field maps the parameters of all players to their gradients, each with respect to its own loss. A rule takes the field
and the parameters and returns the directions to descend. On the bilinear game x y, simultaneous steps of rate r
multiply the distance from the equilibrium by $\sqrt{1 + r^2}$; the other rules reduce it.

>>> field = lambda p: {'x': p['y'], 'y': -p['x']}  # min over x, max over y of x y
>>> extragradient(field, {'x': 1.0, 'y': 0.0}, rate=0.5)
{'x': 0.5, 'y': -1.0}
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.base.errors import UserError, one_of

Field = Callable[[Any], Any]


def rule(*, of: str, **settings: float) -> Callable[[Field, Any], Any]:
  """A rule by its name, with its settings. Configs use it.

  Args:
    of: name of the rule: simultaneous, extragradient, consensus or symplectic.
    **settings: settings of that rule.

  Raises:
    UserError: the rule or a setting is unknown, or a setting is missing.

  >>> rule(of='extragradient', rate=0.5)(lambda p: {'x': p['y'], 'y': -p['x']}, {'x': 1.0, 'y': 0.0})
  {'x': 0.5, 'y': -1.0}
  """
  rules: dict[str, Any] = {f.__name__: f for f in (simultaneous, extragradient, consensus, symplectic)}
  if of not in rules:
    raise one_of('rule of config.game.dynamics', of, rules)
  given = {k: p for k, p in inspect.signature(rules[of]).parameters.items() if k not in ('field', 'params')}
  known = set(given)
  for name in settings:
    if name not in known:
      raise one_of(f'setting of {of}', name, known)
  for name, parameter in given.items():
    if parameter.default is parameter.empty and name not in settings:
      raise UserError(f'config.game.dynamics: {of} needs {name}: set config.game.dynamics.{name} to a number')
  return functools.partial(rules[of], **settings)


def simultaneous(field: Field, params: Any) -> Any:
  """All players step along their own gradients at the same point.

  Args:
    field: params of all players -> their gradients.
    params: of all players.

  Returns:
    Directions to descend, in the form of params.
  """
  return field(params)


def extragradient(field: Field, params: Any, *, rate: float) -> Any:
  """Looks ahead: returns the gradients at the point that a step of `rate` would reach.

  Source: Gidel et al. 2018, https://arxiv.org/abs/1802.10551, eq. 9-10 (after Korpelevich 1976).
  differs: the step ahead is plain descent, and sees the batch and the latents of the real one. Before Adam this is not
  the authors' ExtraAdam, whose step ahead is one of Adam's too and draws a batch of its own.

  Args:
    field: params of all players -> their gradients.
    params: of all players.
    rate: size of the step ahead, of plain descent whatever optimizer takes the real one.
  """
  ahead = jax.tree.map(lambda p, g: p - rate * g, params, field(params))
  return field(ahead)


def consensus(field: Field, params: Any, *, weight: float) -> Any:
  r"""Adds the gradient of half the field's squared norm to the field: $F + \gamma J^T F$.

  Source: Mescheder et al. 2017, https://arxiv.org/abs/1705.10461, algorithm 1.

  Args:
    field: params of all players -> their gradients, differentiable.
    params: of all players.
    weight: gamma.

  >>> field = lambda p: {'x': p['y'], 'y': -p['x']}
  >>> d = consensus(field, {'x': jnp.float32(1.0), 'y': jnp.float32(0.0)}, weight=0.5)
  >>> float(d['x']), float(d['y'])
  (0.5, -1.0)
  """
  value, backward = jax.vjp(field, params)
  (pull,) = backward(value)
  return jax.tree.map(lambda f, g: f + weight * g, value, pull)


def symplectic(field: Field, params: Any, *, weight: float = 1.0, align: bool = True) -> Any:
  r"""Symplectic gradient adjustment: $F + \lambda A^T F$ with A the antisymmetric part of the field's Jacobian.

  Source: Balduzzi et al. 2018, https://arxiv.org/abs/1802.05642, algorithm 1, with its choice of the sign,
  $sign(\frac1d \langle F, \nabla H \rangle \langle A^T F, \nabla H \rangle + 0.1)$, $H = \frac12 |F|^2$.

  Args:
    field: params of all players -> their gradients, differentiable.
    params: of all players.
    weight: lambda.
    align: choose the sign of the adjustment by the source's rule; if False the sign is +.
  """
  value, backward = jax.vjp(field, params)
  (transposed,) = backward(value)  # J^T F, the gradient of H
  # J F, as the adjoint of v -> J^T v: convolutions have no forward mode.
  (forward,) = jax.vjp(backward, value)[1]((value,))
  adjustment = jax.tree.map(lambda t, f: 0.5 * (t - f), transposed, forward)
  sign: Any = 1.0
  if align:
    dot = lambda a, b: sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    size = sum(jnp.size(leaf) for leaf in jax.tree.leaves(params))
    sign = jnp.sign(dot(value, transposed) * dot(adjustment, transposed) / size + 0.1)
  return jax.tree.map(lambda f, a: f + weight * sign * a, value, adjustment)


def lookahead(slow: Any, fast: Any, step: jax.Array, *, every: int = 5, share: float = 0.5) -> tuple[Any, Any]:
  r"""Lookahead-minimax: every k steps all players move to a point between their slow and their fast parameters.

  This is the function on parameters; `gan_jax.optim.minimax.lookahead` is the optax transformation for one player.

  Source: Chavdarova et al. 2020, https://arxiv.org/abs/2006.14567, algorithm 1.

  Args:
    slow: parameters of all players at the last synchronisation.
    fast: parameters of all players now.
    step: number of finished steps, int32 scalar.
    every: k.
    share: alpha, the weight of the fast parameters.

  Returns:
    The new (slow, fast).

  >>> [float(x) for x in lookahead(jnp.float32(0.0), jnp.float32(2.0), jnp.int32(5))]
  [1.0, 1.0]
  """
  if every < 1:
    raise UserError(f'lookahead: every={every} must be at least 1')
  due = step % every == 0
  slow = jax.tree.map(lambda s, f: jnp.where(due, s + share * (f - s), s), slow, fast)
  return slow, jax.tree.map(lambda s, f: jnp.where(due, s, f), slow, fast)
