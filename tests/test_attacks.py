"""Attacks on networks whose answer is known, what they refuse, and the game that trains against them."""

import gc
import weakref

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import few
from jax.tree_util import Partial
from precision import float64

from gan_jax import attacks, core
from gan_jax import config as config_lib
from gan_jax.attacks import black_box, norms
from gan_jax.attacks.losses import cross_entropy, margin
from gan_jax.base.errors import UserError
from gan_jax.base.functions import as_partial
from gan_jax.games.parts import defences
from gan_jax.games.robust import Robust
from gan_jax.nets import classifier, mlp
from gan_jax.runs.experiment import experiment_of
from gan_jax.training import checks

KEY = jax.random.key(0)
#: Two classes divided by the plane w x = b: all distances are known.
W, B = jnp.array([3.0, -4.0, 0.0]), 0.5
X = jnp.array([[0.7, 0.3, 0.5], [0.5, 0.6, 0.2], [0.6, 0.2, 0.9]])
LABELS = jnp.array([0, 1, 0])


def _plane(w, x):
  side = x.reshape(len(x), -1) @ w - B
  return jnp.stack([side, -side], -1)


PLANE = Partial(_plane, W)
DISTANCE = np.abs(X @ W - B) / 5.0

#: Attacks of a ball, with settings that make them quick.
BALL = {
  'fgsm': {},
  'bim': {},
  'pgd': dict(steps=10, step_size=0.05, restarts=2),
  'mim': {},
  'least_likely': {},
  'spsa': dict(steps=20, samples=16, learning_rate=0.05),
  'nes': dict(steps=40, samples=16),
  'square': dict(queries=40),
}


def pictures(x):
  return x.reshape(len(x), 1, 3, 1)


@pytest.mark.parametrize('name', BALL)
def test_an_attack_of_a_ball_crosses_a_plane_that_is_near_and_none_that_is_far(name):
  attack, settings = getattr(attacks, name), BALL[name]
  # In the norm linf the plane is |w x - b| / |w|_1 away: 0.4/7, 1.4/7, 0.5/7.
  for eps, fooled in ((0.05, [False, False, False]), (0.1, [True, False, True]), (0.22, [True, True, True])):
    made = attack(KEY, PLANE, pictures(X), LABELS, eps=eps, **settings)
    assert made.shape == (3, 1, 3, 1)
    change = np.abs(made - pictures(X))
    assert change.max() <= eps + 1e-6 and made.min() >= 0 and made.max() <= 1
    assert (np.asarray(PLANE(made).argmax(-1)) != np.asarray(LABELS)).tolist() == fooled


@pytest.mark.parametrize('name', ['fgsm', 'bim', 'pgd', 'mim', 'spsa', 'nes', 'square', 'carlini_wagner'])
def test_targeted_attacks_reach_the_class_that_is_asked_for(name):
  settings = {**BALL, 'carlini_wagner': dict(steps=100, searches=4, constant=1.0)}[name]
  eps = {} if name == 'carlini_wagner' else {'eps': 0.25}
  made = getattr(attacks, name)(KEY, PLANE, pictures(X), 1 - LABELS, targeted=True, **eps, **settings)
  assert PLANE(made).argmax(-1).tolist() == (1 - LABELS).tolist()


def test_fgsm_of_both_norms_by_hand():
  np.testing.assert_allclose(
    attacks.fgsm(KEY, PLANE, X, LABELS, eps=0.1), X + 0.1 * np.array([[-1, 1, 0], [1, -1, 0], [-1, 1, 0]]), atol=1e-6
  )
  unit = np.array([[-0.6, 0.8, 0], [0.6, -0.8, 0], [-0.6, 0.8, 0]])
  np.testing.assert_allclose(attacks.fgsm(KEY, PLANE, X, LABELS, eps=0.1, norm='l2'), X + 0.1 * unit, atol=1e-6)
  begun = attacks.fgsm(KEY, PLANE, X, LABELS, eps=0.1, start=0.05)
  assert np.abs(begun - X).max() <= 0.1 + 1e-6 and not np.allclose(begun, attacks.fgsm(KEY, PLANE, X, LABELS, eps=0.1))


def test_pgd_in_l2_stays_in_its_ball_and_restarts_keep_the_highest_loss():
  made = attacks.pgd(KEY, PLANE, X, LABELS, eps=0.15, steps=60, norm='l2')
  assert np.linalg.norm(made - X, axis=-1).max() <= 0.15 + 1e-6
  np.testing.assert_array_equal(PLANE(made).argmax(-1) != LABELS, DISTANCE < 0.15)

  bumps = lambda x: jnp.stack([jnp.zeros(len(x)), jnp.sin(20 * x).sum(-1)], -1)
  losses = [
    cross_entropy(bumps(attacks.pgd(KEY, bumps, X, LABELS, eps=0.3, steps=3, restarts=n)), LABELS) for n in (1, 8)
  ]
  assert (losses[1] >= losses[0]).all() and (losses[1] > losses[0]).any()


@pytest.mark.parametrize('name', ['fgsm', 'pgd', 'mim'])
def test_steps_in_l2_are_as_long_against_a_confident_network(name):
  """Of margins of 60 the gradient of the cross-entropy is 1e-26 long, its square 0 in float32."""
  confident = lambda x: 60 * _plane(W, x) / jnp.abs(X @ W - B).max()
  settings = {} if name == 'fgsm' else dict(steps=20)
  made = getattr(attacks, name)(KEY, confident, X, LABELS, eps=0.2, norm='l2', **settings)
  np.testing.assert_array_equal(PLANE(made).argmax(-1) != LABELS, DISTANCE < 0.2)
  flat = norms.steepest(jnp.array([[3e-30, -4e-30], [0.0, 0.0]]), 'l2')
  np.testing.assert_allclose(flat, [[0.6, -0.8], [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize('name', ['carlini_wagner', 'deepfool', 'spsa', 'nes'])
def test_searches_of_small_steps_take_halves(name, dtype):
  x = jnp.array([[0.0, 0.5, 1.0], [1.0, 0.5, 0.0]], dtype)  # black and white pixels move too
  labels = PLANE(x.astype(jnp.float32)).argmax(-1)
  settings = {'carlini_wagner': dict(steps=60, searches=5, learning_rate=0.1), 'deepfool': dict(overshoot=0.2)}
  ball = dict(eps=0.9, steps=30, samples=8)
  more = settings.get(name, ball if name == 'nes' else {**ball, 'learning_rate': 0.1})
  made = getattr(attacks, name)(KEY, PLANE, x, labels, **more)
  assert made.dtype == dtype
  assert (PLANE(made.astype(jnp.float32)).argmax(-1) != labels).all()


@pytest.mark.parametrize('name', ['bim', 'pgd', 'mim', 'TRADES'])
def test_steps_smaller_than_a_bfloat16_tells_add_up(name):
  """Near 0.7 neighbours are 0.004 apart: 40 steps of 0.001 along a plane's normal would not move from there."""
  x = jnp.full((4, 3), 0.7, jnp.bfloat16)
  labels = PLANE(x.astype(jnp.float32)).argmax(-1)
  if name == 'TRADES':
    _, made = defences.TRADES()(PLANE, [PLANE], KEY, x, labels, eps=0.032, low=0.0, high=1.0)
  else:
    start = dict(random_start=False) if name == 'pgd' else {}
    made = getattr(attacks, name)(KEY, PLANE, x, labels, eps=0.032, steps=40, step_size=0.001, **start)
  assert made.dtype == jnp.bfloat16
  moved = np.abs(np.float32(made) - np.float32(x))[:, :2]  # the plane does not know of the third
  assert (moved > 0.025).all() and (moved < 0.032 + 0.002).all()


@pytest.mark.parametrize('name', ['pgd', 'carlini_wagner', 'deepfool'])
def test_examples_of_float64_stay_so(name):
  with float64():
    x = jnp.asarray(np.asarray(X, np.float64))
    network = Partial(_plane, jnp.asarray(W, jnp.float64))
    settings = {'pgd': dict(eps=0.9), 'carlini_wagner': dict(steps=60, searches=5, learning_rate=0.1)}.get(name, {})
    made = getattr(attacks, name)(KEY, network, x, LABELS, **settings)
    assert made.dtype == jnp.float64 and (network(made).argmax(-1) != LABELS).any()


def test_measures_want_a_label_per_example_and_count_in_floats():
  for measure in (attacks.error_rate, lambda network, x, labels: attacks.report(network, x, x, labels)):
    with pytest.raises(UserError, match=r'labels are int32 of shape \(3, 1\): give 3 integers'):
      measure(PLANE, X, LABELS[:, None])
  with pytest.raises(UserError, match='labels are int32 of shape'):
    attacks.error_rate(PLANE, X[:0], LABELS[:0])
  with pytest.raises(UserError, match='there are no examples'):
    attacks.logits_of(PLANE, X[:0])
  wrongs = {
    'label 2 is out of range: .* 0 to 1': LABELS + 1,
    'label -1 is out of range': LABELS - 1,
    'labels are float32': LABELS + 0.3,
    'labels are <U1': np.array(['a', 'b', 'a']),
  }
  for message, wrong in wrongs.items():
    for measure in (attacks.error_rate, lambda network, x, labels: attacks.report(network, x, x, labels)):
      with pytest.raises(UserError, match=message):
        measure(PLANE, X, wrong)
  x, change = np.full((1, 1, 3, 1), 200, np.uint8), np.array([10, -20, 5]).reshape(1, 1, 3, 1)
  found = attacks.report(lambda x: jnp.zeros((len(x), 2)), x, (x + change).astype(np.uint8), np.zeros(1, int))
  assert found.linf == 20 and found.l2 == pytest.approx(np.sqrt(525))
  lists = attacks.fgsm(KEY, PLANE, X.tolist(), LABELS.tolist(), eps=0.1)
  np.testing.assert_array_equal(lists, attacks.fgsm(KEY, PLANE, X, LABELS, eps=0.1))


@pytest.mark.parametrize('targeted', [False, True])
def test_a_restart_that_changes_the_class_is_worth_more_than_a_higher_loss(targeted):
  """On the left (0.49, 0.51, 0) sees class 1 at a loss of 0.71, on the right (0.34, 0.33, 0.33) class 0 at 1.08."""
  sides = jnp.log(jnp.array([[0.49, 0.51, 1e-9], [0.34, 0.33, 0.33]]))
  network = lambda x: sides[(x[:, 0] > 0.5).astype(int)]
  x, labels = jnp.full((8, 2), 0.5), jnp.zeros(8, int)  # aimed at 0, the right is there, the left has the lower loss
  settings = dict(eps=0.5, steps=1, targeted=targeted)
  made = attacks.pgd(KEY, network, x, labels, restarts=16, **settings)
  assert ((network(made).argmax(-1) == labels) == targeted).all()
  # What is no (B, classes) has no class: the loss alone counts.
  both = attacks.stack(network, network)
  made = attacks.pgd(KEY, both, x, labels, restarts=16, loss=attacks.mean_of_losses, **settings)
  assert ((network(made).argmax(-1) == labels) != targeted).all()


@pytest.mark.parametrize('name', ['carlini_wagner', 'deepfool'])
def test_attacks_of_least_distance_find_the_distance_of_a_plane(name):
  settings = dict(steps=300, searches=6, constant=0.1) if name == 'carlini_wagner' else dict(overshoot=0.001)
  made = getattr(attacks, name)(KEY, PLANE, X, LABELS, **settings)
  assert (PLANE(made).argmax(-1) != LABELS).all()
  np.testing.assert_allclose(np.linalg.norm(made - X, axis=-1), DISTANCE, rtol=0.05)
  if name == 'deepfool':
    made = attacks.deepfool(KEY, PLANE, X, LABELS, overshoot=0.001, norm='linf')
    np.testing.assert_allclose(np.abs(made - X).max(-1), np.abs(X @ W - B) / 7, rtol=0.01)


def test_what_is_wrong_already_is_left_alone_by_those_that_look_for_the_nearest():
  for name, settings in (('deepfool', {}), ('square', dict(eps=0.1)), ('nes', dict(eps=0.1, steps=3))):
    made = getattr(attacks, name)(KEY, PLANE, pictures(X), 1 - LABELS, **settings)
    np.testing.assert_array_equal(made, pictures(X), err_msg=name)


def test_margin_is_negative_where_the_network_errs():
  assert margin(jnp.array([[1.0, 3.0, 0.0]]), jnp.array([0])).tolist() == [-2.0]


def test_ensembles_and_transfer():
  other = Partial(_plane, W[::-1])
  both = attacks.mean_of_logits(PLANE, other)
  np.testing.assert_allclose(both(X), (PLANE(X) + other(X)) / 2, atol=1e-6)
  stacked = attacks.stack(PLANE, other)
  expected = (cross_entropy(PLANE(X), LABELS) + cross_entropy(other(X), LABELS)) / 2
  np.testing.assert_allclose(attacks.mean_of_losses(stacked(X), LABELS), expected, rtol=1e-6)
  # What is climbed for it has its direction, and grows with it.
  climbed = lambda x: attacks.mean_of_losses.climbed(stacked(x), LABELS).sum()
  slope = jax.grad(lambda x: attacks.mean_of_losses(stacked(x), LABELS).sum())(X)
  np.testing.assert_allclose(norms.steepest(jax.grad(climbed)(X), 'l2'), norms.steepest(slope, 'l2'), atol=1e-5)
  made = attacks.bim(KEY, stacked, X, LABELS, eps=0.1, steps=5, loss=attacks.mean_of_losses)
  assert attacks.mean_of_losses(stacked(made), LABELS).sum() > expected.sum()
  found = attacks.transfer_rates(lambda f: attacks.fgsm(KEY, f, X, LABELS, eps=0.22), {'a': PLANE, 'b': PLANE}, LABELS)
  assert found == {'a': {'a': 1.0, 'b': 1.0}, 'b': {'a': 1.0, 'b': 1.0}}


def test_batches_give_what_one_call_gives():
  whole = attacks.bim(KEY, PLANE, X, LABELS, eps=0.1)
  np.testing.assert_array_equal(attacks.in_batches(attacks.bim, KEY, PLANE, X, LABELS, size=2, eps=0.1), whole)
  found = attacks.report(PLANE, X, whole, LABELS)
  assert (round(found.accuracy, 4), round(found.linf, 4)) == (0.3333, 0.1)


def test_projection_onto_a_line():
  line = lambda z: jnp.concatenate([z, z], -1)
  found = attacks.project(line, np.array([[0.2, 0.6]]), np.zeros((2, 1, 1)), steps=300)
  np.testing.assert_allclose(found, [[0.4, 0.4]], atol=0.01)
  with pytest.raises(UserError, match='makes examples of shape'):
    attacks.project(line, np.zeros((1, 3)), np.zeros((2, 1, 1)))
  for wrong in (np.array([[100, 120]], np.uint8), np.array([[0.2, np.nan]])):
    with pytest.raises(UserError, match='scale them to floats'):
      attacks.project(line, wrong, np.zeros((2, 1, 1)))


BAD = {
  'no range': (dict(low=1.0, high=0.0), 'low < high'),
  'outside': (dict(low=0.3), 'outside'),
  'bytes': (dict(x=np.zeros((3, 3), np.uint8)), 'floats'),
  'one example': (dict(x=X[0]), 'batch'),
  'rank': (dict(logits_fn=lambda x: x.sum(-1)), 'logits of shape'),
  'pair': (dict(logits_fn=lambda x: (x, x)), 'a tuple'),
  'one class': (dict(logits_fn=lambda x: x[:, :1]), '2 classes'),
  'labels of one-hot': (dict(labels=np.eye(3)[:, :2]), '3 integers'),
  'label too large': (dict(labels=np.array([0, 1, 2])), 'label 2 is out of range'),
  'label negative': (dict(labels=np.array([0, -1, 1])), 'label -1 is out of range'),
  'not a number': (dict(x=X.at[0, 0].set(jnp.nan)), 'outside'),
  'eps 0': (dict(eps=0.0), 'eps=0 is out of range'),
  'eps too large': (dict(eps=1.5), 'eps=1.5 is out of range'),
  'norm': (dict(norm='l7'), 'unknown norm'),
  'one loss of all': (dict(loss=lambda logits, labels: cross_entropy(logits, labels).mean()), r'shape \(\) for 3'),
  'loss of columns': (dict(loss=lambda logits, labels: cross_entropy(logits, labels)[:, None]), r'shape \(3, 1\)'),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_input_is_one_line(case):
  given, message = BAD[case]
  arguments = dict(logits_fn=PLANE, x=X, labels=LABELS, eps=0.1) | given
  with pytest.raises(UserError, match=message) as error:
    attacks.fgsm(KEY, **arguments)
  assert '\n' not in str(error.value)
  with pytest.raises(UserError, match=message):
    attacks.pgd(KEY, **arguments)


def test_settings_of_attacks_are_checked():
  for name, settings in (
    ('pgd', dict(eps=0.1, steps=0)), ('pgd', dict(eps=0.1, step_size=-1.0)), ('mim', dict(eps=0.1, steps=1.5)),
    ('fgsm', dict(eps=0.1, start=0.2)), ('carlini_wagner', dict(confidence=-1.0)), ('deepfool', dict(candidates=1)),
    ('carlini_wagner', dict(confidence=np.nan)), ('deepfool', dict(candidates=2.5)), ('deepfool', dict(overshoot=-1.0)),
    ('deepfool', dict(overshoot=np.nan)), ('mim', dict(eps=0.1, decay=-5.0)), ('mim', dict(eps=0.1, decay=np.nan)),
    ('bim', dict(eps=0.1, random_start=True)), ('pgd', dict(eps=0.1, restarts=2, random_start=False)),
    ('square', dict(eps=0.1)), ('spsa', dict(eps=0.1, samples=0)), ('nes', dict(eps=0.1, sigma=0.0)),
  ):  # fmt: skip
    named = 'takes pictures' if name == 'square' else list(settings)[-1]  # (B, n) are no pictures
    with pytest.raises(UserError, match=named):
      getattr(attacks, name)(KEY, PLANE, X, LABELS, **settings)


def _batch(count=8):
  x = jax.random.uniform(jax.random.key(1), (count, 8, 8, 1))
  return {'images': {'image': x, 'label': (x.mean((1, 2, 3)) > 0.5).astype(jnp.int32)}}


DEFENCES = ('Plain', 'FGSM', 'Noise', 'PGD', 'TRADES', 'Ensemble')


@pytest.mark.parametrize('name', few(DEFENCES, lambda name: name in ('PGD', 'Ensemble')))
def test_a_defence_moves_the_classifier_alone_and_a_network_of_convolutions_can_be_attacked(name):
  defence = getattr(defences, name)(**(dict(steps=2) if name in ('PGD', 'TRADES') else {}))
  sources = (mlp.Softmax(2),) if name == 'Ensemble' else ()
  game = Robust(classifier.Classifier(2, (4, 8)), defence, eps=0.1, sources=sources)
  optimizers = {player: optax.sgd(0.1) for player in core.players_of(game)}
  state = core.init(game, optimizers, _batch(), KEY)
  after, metrics = jax.jit(lambda state: core.play(game, optimizers, game.turns[-1], state, _batch(), KEY))(state)
  judged = {'Plain': set(), 'Noise': {'noisy_accuracy'}}.get(name, {'adversarial_accuracy'})
  assert {n for n in metrics if n.endswith('accuracy')} == {'accuracy', *judged}
  assert all(np.isfinite(v) for v in metrics.values())
  moved = jax.tree.map(
    lambda a, b: bool((a != b).any()), state.players['classifier'].params, after.players['classifier'].params
  )
  assert any(jax.tree.leaves(moved))
  if sources:
    jax.tree.map(np.testing.assert_array_equal, state.players['sources'], after.players['sources'])
  variables = core.game_variables(game, after)
  made = game.apply(variables, _batch(), method='sample', rngs={'noise': KEY})
  assert 0 < np.abs(made - _batch()['images']['image']).max() <= 0.1 + 1e-6


def test_the_mixed_objective_by_hand():
  game = Robust(mlp.Softmax(2), defences.FGSM(alpha=0.25), eps=0.1)
  state = core.init(game, {'classifier': optax.sgd(0.1)}, _batch(), KEY)
  variables, x, labels = core.game_variables(game, state), *_batch()['images'].values()
  network = lambda x: mlp.Softmax(2).apply({'params': variables['params']['classifier']}, x, train=False)
  slope = jax.grad(lambda x: cross_entropy(network(x), labels).sum())(x)
  made = jnp.clip(x + 0.1 * jnp.sign(slope), 0, 1)
  wanted = 0.25 * cross_entropy(network(x), labels).mean() + 0.75 * cross_entropy(network(made), labels).mean()
  loss, _ = game.apply(variables, _batch(), method='classifier_loss', rngs={'noise': KEY})
  np.testing.assert_allclose(loss, wanted, rtol=1e-6)


def test_noise_moves_every_pixel_by_eps_inside_the_range():
  game = Robust(mlp.Softmax(2), defences.Noise(alpha=0.25), eps=0.1)
  state = core.init(game, {'classifier': optax.sgd(0.1)}, _batch(), KEY)
  variables, x, labels = core.game_variables(game, state), *_batch()['images'].values()
  network = lambda x: mlp.Softmax(2).apply({'params': variables['params']['classifier']}, x, train=False)
  loss, made = game.defence(network, [network], KEY, x, labels, eps=0.1, low=0.0, high=1.0)
  assert made.min() == 0 and made.max() == 1
  inside = (x > 0.1) & (x < 0.9)
  np.testing.assert_allclose(np.abs(made - x)[inside], 0.1, atol=1e-6)
  assert 0.4 < (made > x)[inside].mean() < 0.6
  wanted = 0.25 * cross_entropy(network(x), labels).mean() + 0.75 * cross_entropy(network(made), labels).mean()
  np.testing.assert_allclose(loss, wanted, rtol=1e-6)


def test_limits_are_the_range_of_the_data():
  load = lambda *changes: config_lib.override(config_lib.load('configs/adversarial_examples.py:digits'), changes)
  with pytest.raises(UserError, match=r'config.game.limits=\(0.0, 1.0\) but config.data.range=\(-1.0, 1.0\): make'):
    checks.check_games(experiment_of(load('--config.data.range=(-1.0,1.0)')))
  both = load('--config.data.range=(-1.0,1.0)', '--config.game.limits=(-1.0,1.0)')
  checks.check_games(experiment_of(both))


def test_each_class_has_a_logit():
  load = lambda *changes: config_lib.override(config_lib.load('configs/adversarial_examples.py:digits'), changes)
  with pytest.raises(UserError, match=r'config.game.classifier gives 5 logits, but config.data.classes=10'):
    checks.check_games(experiment_of(load('--config.game.classifier.outputs=5')))


@pytest.mark.parametrize(
  ('name', 'settings'),
  [('TRADES', dict(steps=0)), ('TRADES', dict(step_size=-0.25)), ('TRADES', dict(beta=-6.0)),
   ('TRADES', dict(noise=np.nan)), ('FGSM', dict(alpha=1.5)), ('Noise', dict(alpha=-0.5)), ('PGD', dict(steps=0))],
)  # fmt: skip
def test_settings_of_defences_are_checked(name, settings):
  with pytest.raises(UserError, match=next(iter(settings))):
    getattr(defences, name)(**settings)


def test_trades_passes_over_slopes_without_end():
  x, network = X.at[:, 2].set(0.0), lambda x: PLANE(x**2 + 0 * jnp.sqrt(x))
  loss, made = defences.TRADES(steps=2)(network, [network], KEY, x, LABELS, eps=0.05, low=0.0, high=1.0)
  assert np.isfinite(loss) and np.isfinite(made).all()


def test_a_partial_may_say_that_a_network_is_in_eval_mode_and_a_module_need_not():
  class Bare(nn.Module):
    @nn.compact
    def __call__(self, x):
      return nn.Dense(2)(x)

  module = mlp.Softmax(2)
  variables = module.init(KEY, X, train=False)
  wanted = attacks.fgsm(KEY, attacks.logits_fn(module, variables), X, LABELS, eps=0.1)
  partial = Partial(module.apply, variables, train=False)
  np.testing.assert_array_equal(attacks.fgsm(KEY, partial, X, LABELS, eps=0.1), wanted)
  assert attacks.error_rate(partial, X, LABELS) == attacks.error_rate(attacks.logits_fn(module, variables), X, LABELS)
  assert as_partial(partial).func == as_partial(Partial(module.apply, variables, train=False)).func  # compiled once
  both = attacks.fgsm(KEY, attacks.stack(partial, partial), X, LABELS, eps=0.1, loss=attacks.mean_of_losses)
  np.testing.assert_allclose(both, wanted, atol=1e-6)
  dense = attacks.logits_fn(sequential := nn.Sequential([nn.Dense(2)]), sequential.init(KEY, X))
  assert dense(X).shape == (3, 2)
  bare = attacks.logits_fn(Bare(), Bare().init(KEY, X))
  assert bare(X).shape == (3, 2)


def test_an_ensemble_needs_sources():
  game = Robust(mlp.Softmax(2), defences.Ensemble())
  state = core.init(game, {'classifier': optax.sgd(0.1)}, _batch(), KEY)
  with pytest.raises(UserError, match='sources'):
    game.apply(core.game_variables(game, state), _batch(), method='classifier_loss', rngs={'noise': KEY})


@pytest.mark.parametrize('queries', [40, 1000, 10_000, 300_000])
def test_squares_get_smaller_at_the_authors_parts_of_the_queries(queries):
  # `p_selection` of the authors' code: halved where int(i / queries * 10000) is above 10, 50, 200, ...
  for i in {*range(min(queries, 400)), *np.linspace(0, queries - 1, 500).astype(int).tolist()}:
    assert (i >= black_box._halved_from(queries)).sum() == (i * 10_000 // queries > np.array(black_box.HALVINGS)).sum()


class Trained:
  """A network that changes in place, as modules of NNX do."""

  def __init__(self):
    self.w = W

  def __call__(self, x):
    return _plane(self.w, x)


def test_a_function_is_asked_anew_in_each_call():
  network, other = Trained(), Trained()
  both = attacks.mean_of_logits(network, other)
  assert attacks.error_rate(network, X, LABELS) == 0 and attacks.error_rate(both, X, LABELS) == 0
  before = attacks.fgsm(KEY, network, X, LABELS, eps=0.1)
  network.w = -W
  other.w = -W
  assert attacks.error_rate(network, X, LABELS) == 1 and attacks.error_rate(both, X, LABELS) == 1
  np.testing.assert_allclose(attacks.fgsm(KEY, network, X, LABELS, eps=0.1) - X, X - before, atol=1e-6)


@pytest.mark.parametrize('name', ['fgsm', 'bim', 'pgd', 'mim'])
@pytest.mark.parametrize('targeted', [False, True])
def test_a_confident_network_has_the_gradients_of_a_doubtful_one(name, targeted):
  """Of its probabilities the gradient is 0 in float32."""
  confident = lambda x: 1e3 * PLANE(x)
  assert not jax.grad(lambda x: cross_entropy(confident(x), LABELS).sum())(X).any()
  labels = 1 - LABELS if targeted else LABELS
  made = [getattr(attacks, name)(KEY, f, X, labels, eps=0.1, targeted=targeted) for f in (PLANE, confident)]
  np.testing.assert_allclose(*made, atol=1e-6)
  # So has the mean of several losses, here of two networks alike, whose direction is that of each.
  settings = dict(eps=0.1, targeted=targeted, loss=attacks.mean_of_losses)
  for network, wanted in zip((PLANE, confident), made, strict=True):
    both = getattr(attacks, name)(KEY, attacks.stack(network, network), X, labels, **settings)
    np.testing.assert_allclose(both, wanted, atol=1e-6)


@pytest.mark.parametrize('name', ['spsa', 'nes', 'pgd', 'square'])
def test_the_scale_of_pixels_does_not_matter(name):
  small = dict(steps=5) if name == 'pgd' else BALL[name] if name == 'square' else dict(steps=10, samples=8)
  x, of_bytes = pictures(X), lambda x: PLANE(x / 255)
  made = getattr(attacks, name)(KEY, PLANE, x, LABELS, eps=0.1, **small)
  scaled = getattr(attacks, name)(KEY, of_bytes, 255 * x, LABELS, eps=25.5, low=0.0, high=255.0, **small)
  np.testing.assert_allclose(scaled / 255, made, atol=0.02)  # two steps; without the scale it is 0.1


@pytest.mark.parametrize('dtype', [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize('name', ['deepfool', 'carlini_wagner', 'spsa', 'nes'])
def test_examples_of_half_precision_fool_as_they_come_back(name, dtype):
  """The network is asked for what is returned, not for points between two numbers of that precision."""
  x, seen = pictures(X).astype(dtype), []

  def network(x):
    seen.append(x.dtype)
    return PLANE(x.astype(jnp.float32))

  settings = {**BALL, 'carlini_wagner': dict(steps=100, searches=4, constant=1.0), 'deepfool': {}}[name]
  eps = {} if name in ('deepfool', 'carlini_wagner') else {'eps': 0.25}
  made = getattr(attacks, name)(KEY, network, x, LABELS, **eps, **settings)
  assert made.dtype == dtype and set(seen) == {jnp.dtype(dtype)}
  assert attacks.error_rate(network, made, LABELS) == 1


def test_confidence_of_half_precision_is_a_mean():
  many = jnp.tile(X, (700, 1))
  sure = lambda x: (4 * PLANE(x)).astype(jnp.bfloat16)
  wrong = attacks.report(sure, many, many, 1 - jnp.tile(LABELS, 700))
  expected = float(jax.nn.softmax(4 * PLANE(X), -1).max(-1).mean())
  assert wrong.confidence == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize('name', ['fgsm', 'pgd', 'mim', 'deepfool', 'spsa', 'nes', 'carlini_wagner'])
def test_gradients_without_end_make_no_examples_that_are_no_numbers(name):
  """A square root has an infinite slope at a black pixel, and no value below it."""
  x = X.at[:, 2].set(0.0)
  root = lambda x: PLANE(x**2 + 0 * jnp.sqrt(x))
  labels = root(x).argmax(-1)
  small = {'spsa': dict(steps=3, samples=4), 'nes': dict(steps=3, samples=4)}
  settings = small.get(name, dict(steps=100, searches=3, constant=1.0) if name == 'carlini_wagner' else {})
  eps = {} if name in ('deepfool', 'carlini_wagner') else {'eps': 0.05}
  made = getattr(attacks, name)(KEY, root, x, labels, **eps, **settings)
  assert np.isfinite(made).all() and (np.asarray(made) != np.asarray(x)).any()


def test_what_is_measured_of_nothing_or_of_several_networks_is_refused():
  with pytest.raises(UserError, match='logits of 1 of 3 examples are NaN'):
    attacks.error_rate(PLANE, X.at[0].set(jnp.nan), LABELS)
  with pytest.raises(UserError, match='is asked of one'):
    attacks.error_rate(attacks.stack(PLANE, PLANE), X, LABELS)
  with pytest.raises(UserError, match='make it of JAX operations'):
    attacks.error_rate(lambda x: np.asarray(x), X, LABELS)
  with pytest.raises(UserError, match='pure_callback'):
    attacks.fgsm(KEY, lambda x: np.asarray(x), X, LABELS, eps=0.1)


def test_one_number_is_of_all_examples_inside_jit_too():
  each = jnp.array([0.1, 0.2, 0.3])
  with pytest.raises(UserError, match='eps has the shape'):
    jax.jit(lambda eps: attacks.pgd(KEY, PLANE, X, LABELS, eps=eps))(each)
  with pytest.raises(UserError, match='low has the shape'):
    attacks.pgd(KEY, PLANE, X, LABELS, eps=0.1, low=np.zeros(3))
  one = lambda x, label, eps: attacks.fgsm(KEY, PLANE, x[None], label[None], eps=eps)[0]
  change = jnp.abs(jax.vmap(one)(X, LABELS, each) - X).max(1)
  assert (change <= each + 1e-6).all() and change[2] > change[0]
  assert attacks.fgsm(KEY, PLANE, X, LABELS, eps=0.1, start=np.float32(0)).shape == X.shape


@pytest.mark.parametrize('name', ['fgsm', 'pgd', 'deepfool', 'carlini_wagner', 'spsa'])
def test_adversarial_training_differentiates_the_loss_and_not_the_search(name):
  settings = {'carlini_wagner': dict(steps=5, searches=1), 'spsa': dict(eps=0.1, steps=2, samples=2)}.get(name, {})
  settings |= {'norm': 'l2', 'eps': 0.1} if name in ('fgsm', 'pgd') else {}
  attack = getattr(attacks, name)

  def loss(w, made=None):
    found = attack(KEY, Partial(_plane, w), X, LABELS, **settings) if made is None else made
    return cross_entropy(_plane(w, found), LABELS).mean(), found

  gradient, made = jax.grad(loss, has_aux=True)(W)
  np.testing.assert_allclose(gradient, jax.grad(lambda w: loss(w, made)[0])(W), rtol=1e-6)
  closed = lambda w: attack(KEY, lambda x: _plane(w, x), X, LABELS, **settings)
  assert not jax.jacrev(closed)(W).any()


@pytest.mark.parametrize('name', BALL)
def test_numbers_of_numpy_beside_examples_of_float32(name):
  with float64():
    made = getattr(attacks, name)(KEY, PLANE, pictures(X), LABELS, eps=np.float64(0.1), **BALL[name])
  assert made.dtype == jnp.float32


@pytest.mark.parametrize('name', ['pgd', 'carlini_wagner', 'deepfool', 'spsa', 'square'])
def test_attacks_inside_a_shard_map_that_checks_what_varies(name):
  settings = {**BALL, 'carlini_wagner': dict(steps=5, searches=2), 'deepfool': {}}[name]
  eps = {} if name in ('deepfool', 'carlini_wagner') else {'eps': 0.1}
  attack = lambda x, labels: getattr(attacks, name)(KEY, PLANE, x, labels, **eps, **settings)
  mesh, rows = jax.sharding.Mesh(np.array(jax.devices()[:3]), ('devices',)), jax.sharding.PartitionSpec('devices')
  made = jax.jit(jax.shard_map(attack, mesh=mesh, in_specs=(rows, rows), out_specs=rows))(pictures(X), LABELS)
  assert made.shape == (3, 1, 3, 1) and np.isfinite(made).all()


def test_programs_of_functions_that_are_no_partials_are_forgotten():
  """Else each call would keep the weights that it had."""
  kept = []

  def asked():
    weights = np.ones((1, 3), np.float32)
    network = lambda x: PLANE(x * weights)
    kept.append(weakref.ref(network))
    attacks.error_rate(network, X, LABELS)
    attacks.in_batches(attacks.fgsm, KEY, network, X, LABELS, size=1, eps=0.1)

  asked()
  gc.collect()
  assert kept[0]() is None


def test_a_set_in_batches_compiles_a_function_once():
  traced = []

  def network(x):
    traced.append(x.shape)
    return PLANE(x)

  attacks.in_batches(attacks.fgsm, KEY, network, X, LABELS, size=1, eps=0.1)
  shapes = len(traced)
  assert shapes < 2 * len(X), 'one look at the shape in each batch, and one program'


def test_squares_are_of_pictures_with_channels_last():
  """Of channels first a square would be of rows and colours."""
  with pytest.raises(UserError, match='put channels last'):
    attacks.square(KEY, lambda x: x.reshape(len(x), -1)[:, :2], jnp.zeros((2, 3, 8, 8)), LABELS[:2], eps=0.1)
