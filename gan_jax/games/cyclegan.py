r"""CycleGAN, DualGAN and DiscoGAN: two domains of pictures without pairs, and a generator each way.

  min_G,F  L(D_b, G(a)) + L(D_a, F(b)) + lambda (E|F(G(a)) - a| + E|G(F(b)) - b|)

The three papers differ in the loss L, in the terms beside it and in who moves when, which are settings here.

Source: Zhu et al. 2017 (CycleGAN), https://arxiv.org/abs/1703.10593, eq. 3 and section 4; Yi et al. 2017 (DualGAN),
https://arxiv.org/abs/1704.02510, eq. 1 to 3; Kim et al. 2017 (DiscoGAN), https://arxiv.org/abs/1703.05192, eq. 5 to
8; the authors' code (junyanz/pytorch-CycleGAN-and-pix2pix, duxingren14/DualGAN, SKTBrain/DiscoGAN).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from gan_jax import losses
from gan_jax.base.errors import UserError
from gan_jax.core.clock import read_clock
from gan_jax.core.game import Batch, LossAndMetrics, Turn
from gan_jax.core.sampled import Output
from gan_jax.games.parts import pool as pools
from gan_jax.games.parts.fit import check_head, check_same_shape
from gan_jax.games.parts.pairs import pair_of
from gan_jax.games.parts.passes import passes
from gan_jax.games.parts.penalties import check_eager, penalty_of

#: There and back.
WAYS = (('a', 'b'), ('b', 'a'))
DISTANCES = {'l1': losses.reconstruction.absolute_error, 'l2': losses.reconstruction.squared_error}


class CycleGAN(nn.Module):
  """Two players of two networks; the streams 'a' and 'b'.

  Attributes:
    generator_ab: pictures of a, train -> pictures of b; generator_ba: the way back.
    discriminator_a: pictures, train -> logits of any shape, high for pictures of a; discriminator_b: for b.
    loss: an `AdversarialLoss`, as in the standard game.
    adversarial: weight of it for the generators; 2, for `least_squares` is half of CycleGAN's squares.
    cycle: lambda, the weight of both ways back; 0 for none.
    distance: of a picture from its way back, 'l1' or 'l2'.
    identity: weight, as a share of `cycle`, of the distance of a picture of b from what generator_ab makes of it.
    features: weight of DiscoGAN's distance between the discriminator's mean features of data and of fakes.
    rates: ((step, r), ...): from that step on the terms of `cycle` weigh r times as much, all others 1 - r times; the
      first r holds from the start.
    penalty: None, or a penalty of the discriminators, such as {'name': 'GradientPenalty', 'weight': 10.0}.
    pool: fakes of earlier steps, of each domain, among which a discriminator's are drawn; 0 for none.
    first: the player that begins a step, 'generator' or 'discriminator'.
    generator_steps: moves of the generators in a step; `discriminator_steps` of the discriminators.
    share: the second player's first move takes the pictures of the first player's last.
    one_pass: one pass of a network for several batches, where networks know no other example (no batch norm).
  """

  generator_ab: nn.Module
  generator_ba: nn.Module
  discriminator_a: nn.Module
  discriminator_b: nn.Module
  loss: str | losses.AdversarialLoss = 'least_squares'
  adversarial: float = 2.0
  cycle: float = 10.0
  distance: Literal['l1', 'l2'] = 'l1'
  identity: float = 0.5
  features: float = 0.0
  rates: tuple[tuple[int, float], ...] = ()
  penalty: Callable[..., Any] | None = None
  pool: int = 50
  first: Literal['generator', 'discriminator'] = 'generator'
  generator_steps: int = 1
  discriminator_steps: int = 1
  share: bool = True
  one_pass: bool = False
  latents = None
  outputs = {'ab': Output('b', of='a'), 'ba': Output('a', of='b')}

  def check_training(self, streams: Mapping[str, Any]) -> None:
    """Raises a UserError for a lazy penalty, and for moves of a discriminator on pictures that it has seen."""
    check_eager(self.penalty, self)
    if self.first == 'generator' and self.discriminator_steps > 1 and not self.pool:
      raise UserError(
        f"discriminator_steps={self.discriminator_steps} with first='generator' and pool=0: all moves would be on the "
        'pictures that the generators made once; set config.game.first=discriminator'
      )

  @property
  def turns(self) -> tuple[Turn, ...]:
    order = ('generator', 'discriminator') if self.first == 'generator' else ('discriminator', 'generator')
    moves = {'generator': self.generator_steps, 'discriminator': self.discriminator_steps}
    share = lambda i: 'batch' if i and self.share else False
    return tuple(Turn((name,), f'{name}_loss', moves[name], share=share(i)) for i, name in enumerate(order))

  def generator_loss(self, batch: Batch) -> LossAndMetrics:
    pair, distance, terms = pair_of(self.loss), DISTANCES[self.distance], {}
    for one, other in WAYS:
      there, back = (getattr(self, f'generator_{x}{y}') for x, y in ((one, other), (other, one)))
      image, target = batch[one]['image'], batch[other]['image']
      identity = (target,) if self.cycle * self.identity else ()
      if identity and image.shape[-1] != target.shape[-1]:
        raise UserError(
          f'config.game.identity={self.identity} shows a generator pictures of its goal, but of the domains one has '
          f'{image.shape[-1]} channels and one {target.shape[-1]}: set config.game.identity=0'
        )
      fake, *same = passes(there, image, *identity, one=self.one_pass, compute=False)
      check_same_shape(fake, target)
      self.put_variable('scratch', f'fake_{other}', fake)
      logits, features = self._judged(other, fake)
      real_logits, real_features = self._judged(other, target) if pair.relativistic or self.features else (None, ())
      terms[f'fooled_{other}'] = self.adversarial * pair.generator(logits, real_logits)
      if self.features:
        matched = [losses.features.feature_matching(r, f) for r, f in zip(real_features, features, strict=True)]
        terms[f'features_{other}'] = self.features * sum(matched, jnp.zeros(()))
      if self.cycle:
        terms[f'cycle_{one}'] = self.cycle * distance(back(fake, train=True), image)
      if same:
        terms[f'identity_{other}'] = self.cycle * self.identity * distance(same[0], target)
    if self.rates:
      rate = self._rate()
      terms = {name: (rate if name.startswith('cycle') else 1.0 - rate) * term for name, term in terms.items()}
    return sum(terms.values(), jnp.zeros(())), terms

  def discriminator_loss(self, batch: Batch) -> LossAndMetrics:
    pair, terms = pair_of(self.loss), {}
    for one, other in WAYS:
      discriminator, real = getattr(self, f'discriminator_{other}'), batch[other]['image']
      fake: jax.Array
      if self.first == 'generator':  # what it made before it moved
        fake = self.get_variable('scratch', f'fake_{other}')
      else:
        fake = getattr(self, f'generator_{one}{other}')(batch[one]['image'], train=True)
      fake = self._pooled(other, fake)
      real_logits, fake_logits = passes(discriminator, real, fake, one=self.one_pass)
      check_head(pair, self.loss, real_logits)
      terms[f'discriminator_{other}'] = pair.discriminator(real_logits, fake_logits)
      if self.penalty is not None:
        terms[f'penalty_{other}'] = penalty_of(self.penalty, pair, discriminator, self.make_rng('noise'), real, fake)
    return sum(terms.values(), jnp.zeros(())), terms

  def _judged(self, domain: str, image: jax.Array) -> tuple[jax.Array, Any]:
    """(logits, features or nothing) of a domain's discriminator."""
    discriminator = getattr(self, f'discriminator_{domain}')
    return discriminator(image, train=True, features=True) if self.features else (discriminator(image, train=True), ())

  def _pooled(self, domain: str, fake: jax.Array) -> jax.Array:
    """Fakes to show a discriminator, after an exchange with those of earlier steps."""
    if not self.pool:
      return fake
    if not self.has_variable('memory', name := f'pool_{domain}'):  # while the game is initialised
      self.put_variable('memory', name, pools.empty(self.pool, fake.shape[1:]))
      return fake
    shown, after = pools.exchange(self.make_rng('noise'), self.get_variable('memory', name), fake)
    self.put_variable('memory', name, after)
    return shown

  def _rate(self) -> jax.Array:
    """r of `rates` now."""
    steps, rates = zip(*sorted(self.rates), strict=True)
    schedule = optax.join_schedules([optax.constant_schedule(rate) for rate in rates], steps[1:])
    return jnp.asarray(schedule(read_clock(self).step))

  def sample(self, batch: Batch) -> dict[str, jax.Array]:
    return {x + y: getattr(self, f'generator_{x}{y}')(batch[x]['image'], train=False) for x, y in WAYS}

  def round_trip(self, batch: Batch) -> dict[str, jax.Array]:
    """{domain: its pictures after the way there and back}, in eval mode."""
    made = self.sample(batch)
    return {'a': self.generator_ba(made['ab'], train=False), 'b': self.generator_ab(made['ba'], train=False)}
