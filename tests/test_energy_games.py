"""BEGAN and EBGAN: the balance and the losses on hand-made networks, and the auto-encoder's sizes."""

import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import jitted
import numpy as np
import optax
import pytest

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.evaluation import of_networks, suited
from gan_jax.games.began import BEGAN
from gan_jax.games.ebgan import EBGAN
from gan_jax.latents.distributions import Normal
from gan_jax.nets import autoencoder

KEY = jax.random.key(0)


class Scale(nn.Module):
  """Multiplies by one weight; as an auto-encoder, its error on v is |w - 1| |v|, its code v itself."""

  start: float

  @nn.compact
  def __call__(self, x, *, train, codes=False):
    y = x * self.param('w', lambda key: jnp.float32(self.start))
    return (y, x) if codes else y


def step_of(game, rates, images, latents, accumulate=1):
  """(state after one step of descent, its metrics, the step, a feed) from hand-made images and latents."""
  optimizers = {name: optax.sgd(rate) for name, rate in rates.items()}
  batch = {'images': {'image': images}, 'latents': latents}
  state = jitted.init(game, optimizers, batch, KEY)
  rows = []
  for turn in game.turns:
    given = batch if turn.streams is None else {'latents': latents}
    state, metrics = jitted.play(game, optimizers, turn, state, given, KEY, compute=core.Compute(accumulate))
    rows.append({name: float(value) for name, value in metrics.items()})
  return state, {**rows[0], **rows[1]}


def weight(state, player):
  return float(state.players[player].params[player]['w'])


IMAGES, LATENTS = jnp.array([[2.0, -4.0], [1.0, 1.0]]), jnp.array([[1.0, -1.0], [3.0, 1.0]])
# Means of absolute values: 2 of the images, 1.5 of the latents.


@pytest.mark.parametrize('accumulate', [1, 2])
def test_a_step_of_began_by_hand(accumulate):
  game = BEGAN(Scale(0.5), Scale(0.25), Normal((2,)), gamma=0.6, gain=0.1, k=0.5)
  state, metrics = step_of(game, {'generator': 0.1, 'discriminator': 0.2}, IMAGES, LATENTS, accumulate)
  # L(x) = 0.75 * 2, L(G(z)) = 0.75 * 0.5 * 1.5; both fall by their size as w grows.
  assert metrics['real_error'] == pytest.approx(1.5)
  assert metrics['discriminator_loss'] == pytest.approx(1.5 - 0.5 * 0.5625)
  judge = 0.25 + 0.2 * (2 - 0.5 * 0.75)
  assert weight(state, 'discriminator') == pytest.approx(judge)
  # The generator's turn sees the new discriminator, and the errors on data of the one before.
  fake_error = (1 - judge) * 0.5 * 1.5
  assert metrics['generator_loss'] == pytest.approx(fake_error, rel=1e-5)
  assert weight(state, 'generator') == pytest.approx(0.5 - 0.1 * (1 - judge) * 1.5)
  assert metrics['k'] == pytest.approx(0.5 + 0.1 * (0.6 * 1.5 - fake_error), rel=1e-5)
  assert float(state.variables['table']['k']) == metrics['k']
  assert metrics['global_measure'] == pytest.approx(1.5 + abs(0.6 * 1.5 - fake_error), rel=1e-5)


def test_the_balance_rests_where_the_errors_have_the_ratio_gamma():
  # L(x) = 0.75 * 2 = 1.5 and L(G(z)) = 0.75 * 0.8 * 1.5 = 0.9 = gamma L(x); nobody moves.
  game = BEGAN(Scale(0.8), Scale(0.25), Normal((2,)), gamma=0.6, gain=1.0, k=0.3)
  _, metrics = step_of(game, {'generator': 0.0, 'discriminator': 0.0}, IMAGES, LATENTS)
  assert metrics['k'] == pytest.approx(0.3, abs=1e-6)
  assert metrics['global_measure'] == pytest.approx(1.5, rel=1e-5)
  for gamma, end in ((1.0, 1.0), (0.1, 0.0)):  # and stays in [0, 1]
    moved = BEGAN(Scale(0.8), Scale(0.25), Normal((2,)), gamma=gamma, gain=100.0, k=0.3)
    assert step_of(moved, {'generator': 0.0, 'discriminator': 0.0}, IMAGES, LATENTS)[1]['k'] == end


def test_a_step_of_ebgan_by_hand():
  game = EBGAN(Scale(0.5), Scale(0.25), Normal((2,)), margin=1.0, pulling_away=0.5)
  state, metrics = step_of(game, {'generator': 0.1, 'discriminator': 0.2}, IMAGES, LATENTS)
  real, latents = np.linalg.norm(IMAGES, axis=1), np.linalg.norm(LATENTS, axis=1)
  assert metrics['real_energy'] == pytest.approx(0.75 * real.mean(), rel=1e-5)
  # Fakes of energies 0.375 times sqrt(2) and sqrt(10): the margin of 1 pushes only the first.
  fake = 0.75 * 0.5 * latents
  assert metrics['discriminator_loss'] == pytest.approx(0.75 * real.mean() + (1 - fake[0]) / 2, rel=1e-5)
  judge = 0.25 + 0.2 * (real.mean() - 0.5 * latents[0] / 2)
  assert weight(state, 'discriminator') == pytest.approx(judge, rel=1e-5)
  # The codes (1, -1) and (3, 1), halved, have the cosine 2 / sqrt(20).
  assert metrics['pulling_away'] == pytest.approx(0.2, rel=1e-5)
  assert metrics['generator_loss'] == pytest.approx((1 - judge) * 0.5 * latents.mean() + 0.5 * 0.2, rel=1e-5)
  assert weight(state, 'generator') == pytest.approx(0.5 - 0.1 * (1 - judge) * latents.mean(), rel=1e-5)


def test_ebgan_without_the_pulling_away_term():
  game = EBGAN(Scale(0.5), Scale(0.25), Normal((2,)), margin=1.0)
  _, metrics = step_of(game, {'generator': 0.1, 'discriminator': 0.0}, IMAGES, LATENTS)
  assert 'pulling_away' not in metrics
  assert metrics['generator_loss'] == pytest.approx(0.375 * np.linalg.norm(LATENTS, axis=1).mean(), rel=1e-5)


class Asked:
  """What `held_out` asks of an evaluation: three sets of one example each."""

  def __init__(self, game):
    self.game, self.batch_size = game, 4
    self.variables = {'params': {'discriminator': {'w': jnp.float32(1.25)}}, 'table': {'k': jnp.float32(0.0)}}
    self.fake = types.SimpleNamespace(examples=np.float32([[2.0, 2.0, 2.0]]))

  trained_examples = lambda self, count: np.float32([[0.0, 4.0, 0.0]])
  held_out_examples = lambda self, count: np.float32([[3.0, 1.0, 1.0]])
  once = lambda self, name, make: make()

  def in_range(self, examples):
    assert len(examples) == self.batch_size, 'in batches of the training, which groups divide'
    return examples


@pytest.mark.parametrize(
  ('game', 'overfitting'),
  # A quarter of the sum of absolute values over 3, and of the norm.
  [(BEGAN, (5 - 4) / (6 - 4)), (EBGAN, (np.sqrt(11) - 4) / (np.sqrt(12) - 4))],
)
def test_an_energy_game_is_asked_for_energies(game, overfitting):
  asked = Asked(game(Scale(1.0), Scale(1.25), Normal((3,))))
  (figure,) = of_networks.held_out_figures(asked)
  assert figure.name == 'overfitting'
  np.testing.assert_allclose(figure.value, overfitting, rtol=1e-5)


def test_a_game_that_says_no_logits_is_not_asked():
  """What its discriminator gives may be anything, such as reconstructions."""

  class Standalone(nn.Module):
    discriminator: nn.Module
    latents: Normal = Normal((3,))

  with pytest.raises(UserError, match=r'Standalone has no method logits\(image\).*: leave the metric held_out out'):
    suited.check_game('held_out', Standalone(Scale(1.25)))


def test_the_networks_of_the_paper():
  net = autoencoder.AutoEncoder()
  x = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
  variables = jax.eval_shape(lambda x: net.init(KEY, x, train=True), x)
  (reconstruction, codes), _ = jax.eval_shape(
    lambda v, x: net.apply(v, x, train=True, codes=True, mutable=True), variables, x
  )
  assert reconstruction.shape == (2, 64, 64, 3) and codes.shape == (2, 64)
  kernels = {
    jax.tree_util.keystr(path): leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables['params'])
    if leaf.ndim == 4
  }
  encoder = [shape[2:] for name, shape in sorted(kernels.items()) if "['encoder']" in name]
  # 1 + 4 resolutions of two and 3 that stride; 4 of two and the one to the image.
  assert len(encoder) == 12 and len(kernels) == 12 + 9
  assert encoder.count((128, 256)) == encoder.count((256, 384)) == encoder.count((384, 512)) == 1
  sizes = {half: sum(leaf.size for leaf in jax.tree.leaves(variables['params'][half])) for half in variables['params']}
  conv = lambda n, m: (9 * n + 1) * m
  growing = conv(128, 128) + 2 * conv(256, 256) + 2 * conv(384, 384) + conv(512, 512)
  growing += 2 * conv(128, 128) + conv(128, 256) + conv(256, 384) + conv(384, 512)
  assert sizes['encoder'] == conv(3, 128) + growing + 8 * 8 * 512 * 64 + 64
  assert sizes['decoder'] == 65 * 8 * 8 * 128 + 8 * conv(128, 128) + conv(128, 3)


def test_an_auto_encoder_of_another_size_is_named():
  net = autoencoder.AutoEncoder(autoencoder.Encoder((4, 8), 3), autoencoder.Decoder((4, 4), 1, base=8))
  with pytest.raises(UserError, match=r'returns \(16, 16, 1\) for examples \(8, 8, 1\)'):
    net.init(KEY, jnp.zeros((1, 8, 8, 1)), train=True)
