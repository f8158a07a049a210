"""A classifier that is trained against adversarial examples: one player, whose opponent is an attack.

  min_theta E [ max_{|x' - x| <= eps} J(theta, x', y) ]

Source: Madry et al. 2017, https://arxiv.org/abs/1706.06083, eq. 2.1; Goodfellow et al. 2014,
https://arxiv.org/abs/1412.6572, section 6. Unlike a GAN's, the inner player has no weights: it changes one input.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import attacks
from gan_jax.attacks.losses import cross_entropy
from gan_jax.attacks.networks import first
from gan_jax.base.errors import UserError
from gan_jax.core.game import Turn
from gan_jax.data.streams import Stream
from gan_jax.games.parts import defences


class Robust(nn.Module):
  """One classifier, its defence, and networks that it may learn to withstand.

  Attributes:
    classifier: examples, train -> logits (B, classes), or (logits, features).
    defence: of `gan_jax.games.parts.defences`, such as {'name': 'FGSM', 'alpha': 0.5}.
    eps: the largest change of a pixel, in units of pixels; the ball of every defence.
    limits: (low, high) of pixels: config.data.range.
    sources: networks that adversarial examples are made for beside the classifier. They learn from examples as they
      are, and nothing from the classifier. differs: Tramer et al. train them before, here they learn in the same steps.
    latents: None, for the game makes nothing of nothing: `sample` changes the examples that it is given.
  """

  classifier: nn.Module
  defence: Callable[..., Any] = defences.Plain()
  eps: float = 0.25
  limits: tuple[float, float] = (0.0, 1.0)
  sources: tuple[nn.Module, ...] = ()
  latents: None = None

  @property
  def turns(self) -> tuple[Turn, ...]:
    return (
      *((Turn(('sources',), 'sources_loss'),) if self.sources else ()),
      Turn(('classifier',), 'classifier_loss'),
    )

  def check_training(self, streams: Mapping[str, Stream]) -> None:
    """The limits are the range of the data, or attacks would cut off what lies outside; each class has a logit."""
    if 'images' not in streams:
      return
    stream = streams['images']
    limits, wanted = tuple(self.limits), tuple(stream.range_of('image'))
    if limits != wanted:
      raise UserError(f'config.game.limits={limits} but config.data.range={wanted}: make them equal')
    networks = {'classifier': self.classifier, **{f'sources[{i}]': source for i, source in enumerate(self.sources)}}
    for name, network in networks.items():
      out = lambda x, network=network: first(network.init_with_output(jax.random.key(0), x, train=False)[0])
      count = jax.eval_shape(out, stream.fields(1)['image']).shape[-1]
      if count < stream.classes:
        raise UserError(
          f'config.game.{name} gives {count} logits, but config.data.classes={stream.classes}: give it as many'
        )

  def _examples(self, batch) -> tuple[jax.Array, jax.Array]:
    return batch['images']['image'], batch['images']['label']

  def _pure(self, network: nn.Module):
    """A network as an attack takes it: nothing that is done to it is differentiated in its weights."""
    module, variables = network.unbind()
    return attacks.logits_fn(module, jax.lax.stop_gradient(variables))

  @property
  def _limits(self) -> dict[str, float]:
    return dict(low=self.limits[0], high=self.limits[1])

  def classifier_loss(self, batch):
    x, labels = self._examples(batch)
    train = lambda x: first(self.classifier(x, train=True))
    if self.is_initializing():
      return cross_entropy(train(x), labels).mean()  # there is nothing to attack yet
    attacked = [self._pure(network) for network in (self.classifier, *self.sources)]
    loss, made = self.defence(train, attacked, self.make_rng('noise'), x, labels, eps=self.eps, **self._limits)
    right = lambda x: (attacked[0](x).argmax(-1) == labels).mean(dtype=jnp.float32)
    metrics = {'accuracy': right(x)}
    if made is not None:
      metrics[f'{getattr(self.defence, "made", "adversarial")}_accuracy'] = right(jax.lax.stop_gradient(made))
    return loss, metrics

  def sources_loss(self, batch):
    x, labels = self._examples(batch)
    each = [cross_entropy(first(source(x, train=True)), labels).mean() for source in self.sources]
    return jnp.stack(each).sum()

  def sample(self, batch):
    """The examples that it is given, changed by ten steps of projected gradient ascent against the classifier.

    Examples without labels, such as pictures of one's own, are attacked as what the classifier takes them for.
    """
    x = batch['images']['image']
    if self.is_initializing():
      return x
    size, network = self.eps / 4, self._pure(self.classifier)
    labels = batch['images'].get('label')
    labels = network(x).argmax(-1) if labels is None else labels
    return attacks.pgd(
      self.make_rng('noise'), network, x, labels, eps=self.eps, steps=10, step_size=size, **self._limits
    )
