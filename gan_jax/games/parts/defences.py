"""What a classifier is trained on so that small changes of its examples do not fool it.

A defence is called with the network in training mode, networks to attack (in eval mode, nothing of theirs is
differentiated), a key, examples, labels and what attacks take: `(train, attacked, key, x, labels, *, eps, low, high)`.
It returns (loss, the changed examples or None); its `made` says what these are, for the name of their accuracy.
differs: adversarial examples are made for the network in eval mode, as in the code of TRADES; Madry et al. attack the
network of CIFAR-10 as it trains (batch statistics of the batch).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax import attacks
from gan_jax.attacks.checks import check_eps
from gan_jax.attacks.losses import cross_entropy
from gan_jax.attacks.networks import seeing
from gan_jax.attacks.norms import widened
from gan_jax.base.errors import UserError
from gan_jax.base.functions import known

Network = Callable[[jax.Array], jax.Array]


def divergence(logits: jax.Array, target: jax.Array) -> jax.Array:
  """The Kullback-Leibler divergence from `target`'s classes to those of `logits`, both (B, classes): (B,), nats.

  >>> float(divergence(jnp.zeros((1, 2)), jnp.zeros((1, 2)))[0])
  0.0
  """
  log_p, log_q = jax.nn.log_softmax(target.astype(jnp.float32)), jax.nn.log_softmax(logits.astype(jnp.float32))
  return (jnp.exp(log_p) * (log_p - log_q)).sum(-1)


def _check(defence: Any, **ranges: tuple[float, float]) -> None:
  """Raises a UserError for a number of a defence that is outside its range."""
  for name, (low, high) in ranges.items():
    value = getattr(defence, name)
    if known(value) and not low <= value <= high:
      where = f'from {low:g} to {high:g}' if high < math.inf else f'at least {low:g}'
      raise UserError(f'config.game.defence: {name}={value!r} of {type(defence).__name__} must be {where}')


def _check_steps(defence: Any) -> None:
  if known(defence.steps):
    if isinstance(defence.steps, bool) or int(defence.steps) != defence.steps:
      raise UserError(f'config.game.defence: steps={defence.steps!r} must be a whole number')
    _check(defence, steps=(1, math.inf))
  if known(defence.step_size) and not defence.step_size > 0:
    raise UserError(f'config.game.defence: step_size={defence.step_size} of {type(defence).__name__} must be above 0')


@dataclasses.dataclass(frozen=True)
class Plain:
  """No defence: the cross entropy of the examples as they are."""

  def __call__(self, train: Network, attacked: Sequence[Network], key, x, labels, **settings) -> tuple[Any, None]:
    return cross_entropy(train(x), labels).mean(), None


@dataclasses.dataclass(frozen=True)
class FGSM:
  r"""The mixed objective $\alpha J(x, y) + (1 - \alpha) J(x + \epsilon\,\mathrm{sign}\nabla_x J, y)$.

  Source: Goodfellow et al. 2014, https://arxiv.org/abs/1412.6572, section 6.

  Attributes:
    alpha: the share of the examples as they are.
    start: of `attacks.fgsm`, a random step first, as a share of eps.
  """

  alpha: float = 0.5
  start: float = 0.0

  def __post_init__(self) -> None:
    _check(self, alpha=(0, 1))

  def __call__(self, train: Network, attacked: Sequence[Network], key, x, labels, *, eps, **limits):
    # eps may vary over a population, and then tells nothing of whether there is a start.
    start = self.start * eps if self.start else 0.0
    made = attacks.fgsm(key, attacked[0], x, labels, eps=eps, start=start, **limits)
    clean, fooled = cross_entropy(train(x), labels).mean(), cross_entropy(train(made), labels).mean()
    return self.alpha * clean + (1 - self.alpha) * fooled, made


@dataclasses.dataclass(frozen=True)
class Noise:
  r"""The mixed objective of `FGSM` with noise for its step: the control that says what training on noise alone gives.

  Source: Goodfellow et al. 2014, https://arxiv.org/abs/1412.6572, section 6: each pixel moves by eps, up or down.

  Attributes:
    alpha: the share of the examples as they are.
  """

  alpha: float = 0.5
  made = 'noisy'

  def __post_init__(self) -> None:
    _check(self, alpha=(0, 1))

  def __call__(self, train: Network, attacked: Sequence[Network], key, x, labels, *, eps, low, high):
    check_eps(eps, x, 'linf', low, high)
    made = jnp.clip(x + eps * jax.random.rademacher(key, x.shape, x.dtype), low, high).astype(x.dtype)
    clean, noisy = cross_entropy(train(x), labels).mean(), cross_entropy(train(made), labels).mean()
    return self.alpha * clean + (1 - self.alpha) * noisy, made


@dataclasses.dataclass(frozen=True)
class PGD:
  """The loss of the worst examples that projected gradient ascent finds, and of nothing else.

  Source: Madry et al. 2017, https://arxiv.org/abs/1706.06083, eq. 2.1.

  Attributes:
    steps: of the attack.
    step_size: of each, as a share of eps (Madry: 0.01 of 0.3 on MNIST, 2 of 8 on CIFAR-10).
  """

  steps: int = 40
  step_size: float = 1 / 30

  def __post_init__(self) -> None:
    _check_steps(self)

  def __call__(self, train: Network, attacked: Sequence[Network], key, x, labels, *, eps, **limits):
    size = self.step_size * eps
    made = attacks.pgd(key, attacked[0], x, labels, eps=eps, steps=self.steps, step_size=size, **limits)
    return cross_entropy(train(made), labels).mean(), made


@dataclasses.dataclass(frozen=True)
class TRADES:
  r"""$J(f(x), y) + \beta \max_{x'} \mathrm{KL}(f(x) \,\|\, f(x'))$: what a change does, apart from what is right.

  Source: Zhang et al. 2019, https://arxiv.org/abs/1901.08573, eq. 5; the authors' code (trades.py).

  Attributes:
    beta: weight of the second term (1 on MNIST, 6 on CIFAR-10).
    steps: of the attack, from the example and a little normal noise.
    step_size: of each, as a share of eps (0.01 of 0.3 on MNIST).
    noise: deviation of that noise.
  """

  beta: float = 1.0
  steps: int = 40
  step_size: float = 1 / 30
  noise: float = 1e-3

  def __post_init__(self) -> None:
    _check_steps(self)
    _check(self, beta=(0, math.inf), noise=(0, math.inf))

  def __call__(self, train: Network, attacked: Sequence[Network], key, x, labels, *, eps, low, high):
    check_eps(eps, x, 'linf', low, high)
    network, size, given = seeing(x.dtype, attacked[0]), self.step_size * eps, x
    target, x = network(x), widened(x)
    begun = x + self.noise * jax.random.normal(key, x.shape, x.dtype)

    def step(_, at):
      slope = jnp.nan_to_num(jax.grad(lambda at: divergence(network(at), target).sum())(at))
      return jnp.clip(x + jnp.clip(at + size * jnp.sign(slope) - x, -eps, eps), low, high)

    made = jax.lax.fori_loop(0, self.steps, step, begun).astype(given.dtype)
    clean = train(given)
    return cross_entropy(clean, labels).mean() + self.beta * divergence(train(made), clean).mean(), made


@dataclasses.dataclass(frozen=True)
class Ensemble:
  """The mixed objective with FGSM examples that are made for one of several networks, drawn anew for every batch.

  Source: Tramer et al. 2017, https://arxiv.org/abs/1705.07204, section 4.2. differs: the whole batch comes twice, as it
  is and changed; the authors change half of it.
  """

  def __call__(self, train: Network, attacked: Sequence[Network], key, x, labels, *, eps, **limits):
    if len(attacked) < 2:
      raise UserError('config.game.defence=Ensemble takes other networks: list some in config.game.sources')
    choice, start = jax.random.split(key)
    of = [lambda x, network=network: attacks.fgsm(start, network, x, labels, eps=eps, **limits) for network in attacked]
    made = jax.lax.switch(jax.random.randint(choice, (), 0, len(of)), of, x)
    return 0.5 * (cross_entropy(train(x), labels).mean() + cross_entropy(train(made), labels).mean()), made
