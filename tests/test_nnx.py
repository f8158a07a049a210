"""Our Linen networks in Flax NNX code: `nnx.bridge.ToNNX` gives what Linen gives, the variables of layers included."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gan_jax import losses
from gan_jax.nets import dcgan

GENERATOR = dcgan.Generator(channels=(4, 4), base=2, kernel=4, image_channels=1)
DISCRIMINATOR = dcgan.Discriminator(channels=(4, 4), kernel=4, weights='spectral')
Z = jax.random.normal(jax.random.key(0), (4, 3))
X = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))


def variables_of(module):
  """The collections of an NNX module as Linen has them."""
  kinds = {'Param': 'params', 'BatchStat': 'batch_stats', 'spectral': 'spectral'}
  found = {}
  for path, value in nnx.to_flat_state(nnx.state(module)):
    if type(value).__name__ in kinds:  # not the counters of random numbers
      inner = found.setdefault(kinds[type(value).__name__], {})
      for part in path[:-1]:
        inner = inner.setdefault(part, {})
      inner[path[-1]] = jnp.array(value[...])
  return found


def close(a, b):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)


@pytest.mark.parametrize(
  ('network', 'x', 'written'),
  [(GENERATOR, Z, ['batch_stats']), (DISCRIMINATOR, X, ['batch_stats', 'spectral'])],
  ids=['batch statistics', 'and spectral norm'],
)
def test_a_network_gives_what_linen_gives_and_keeps_what_it_writes(network, x, written):
  module = nnx.bridge.ToNNX(network, rngs=nnx.Rngs(0)).lazy_init(x, train=True)
  before = variables_of(module)
  assert set(before) == {'params', *written}
  trained, after = jax.jit(lambda v: network.apply(v, x, train=True, mutable=written))(before)
  close(nnx.jit(lambda m: m(x, train=True, mutable=['params', *written]))(module), trained)
  close({name: variables_of(module)[name] for name in written}, after)
  assert all(
    np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (before['batch_stats'], after['batch_stats'])), strict=True)
  )
  now = variables_of(module)
  close(nnx.jit(lambda m: m(x, train=False))(module), jax.jit(lambda v: network.apply(v, x, train=False))(now))
  jax.tree.map(np.testing.assert_array_equal, variables_of(module), now)


def test_a_loss_of_logits_trains_it_by_an_optimizer_of_nnx():
  module = nnx.bridge.ToNNX(DISCRIMINATOR, rngs=nnx.Rngs(0)).lazy_init(X, train=True)
  optimizer = nnx.Optimizer(module, optax.sgd(0.1), wrt=nnx.Param)
  before = variables_of(module)

  def loss(module):
    logits = module(X, train=True, mutable=['params', 'batch_stats', 'spectral'])
    return losses.hinge.discriminator(logits[:2], logits[2:])

  @nnx.jit
  def step(module, optimizer):
    optimizer.update(module, nnx.grad(loss)(module))

  def linen_loss(params):
    logits, written = DISCRIMINATOR.apply(
      {**before, 'params': params}, X, train=True, mutable=['batch_stats', 'spectral']
    )
    return losses.hinge.discriminator(logits[:2], logits[2:]), written

  step(module, optimizer)
  gradients, written = jax.jit(jax.grad(linen_loss, has_aux=True))(before['params'])
  wanted = {'params': jax.tree.map(lambda p, g: p - 0.1 * g, before['params'], gradients), **written}
  close(variables_of(module), wanted)
