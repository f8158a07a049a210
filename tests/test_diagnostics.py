"""Warnings of collapse: on rows made up, on games that go well and one that does not, and whether the cures exist."""

import json
import re

import jax
import numpy as np
import pytest
from scipy.spatial import distance

import gan_jax
from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.core.game import Turn
from gan_jax.data import streams
from gan_jax.distributed import parallel
from gan_jax.training import diagnostics, unplayed
from gan_jax.training import loop as train


def told(rows, *, every=100, first=600, diversities=None, **settings):
  """(row number, warning) of all rows."""
  state, found = diagnostics.START, []
  for i, row in enumerate(rows):
    diversity = None if diversities is None else diversities[i]
    state, warnings = diagnostics.watch(state, first + i * every, row, diversity=diversity, **settings)
    found += [(i, warning) for warning in warnings]
  return found


def test_diversity_is_the_distance_over_all_pairs():
  random = np.random.RandomState(0)
  samples, real = random.randint(0, 256, (30, 4, 4, 1), np.uint8), 9 * random.randint(0, 20, (50, 4, 4, 1), np.uint8)
  apart = lambda x: np.sqrt(np.mean(distance.pdist(x.reshape(len(x), -1).astype(float), 'sqeuclidean')))
  np.testing.assert_allclose(diagnostics.diversity(samples, real), apart(samples) / apart(real), rtol=1e-12)
  assert diagnostics.diversity(samples[:1].repeat(9, 0), real) == 0
  assert np.isnan(diagnostics.diversity(samples, real[:1].repeat(9, 0)))


def test_a_condition_is_told_once_until_it_has_recovered():
  low, high = 0.1, 0.9
  diversities = [low, low, high, low, low, low, low, high, high, low, low, low, high, high, high, low, low, low]
  found = told([{}] * len(diversities), diversities=diversities)
  assert [i for i, _ in found] == [5, 17]
  assert found[0][1].startswith('collapsed: samples differ by 10 % of what real examples do; try ')


def test_the_beginning_is_not_judged():
  lost = {'real_accuracy': 1.0, 'fake_accuracy': 1.0}
  assert [i for i, _ in told([lost] * 9, first=100)] == [7]  # steps 600, 700, 800
  assert told([lost] * 9, first=100, beginning=1000) == []


def test_what_is_not_in_a_row_changes_nothing():
  diversities = [0.1, None, 0.1, None, float('nan'), 0.1]
  assert [i for i, _ in told([{'real_logit': 9.0}] * 6, diversities=diversities)] == [5]
  assert told([{'real_accuracy': 1.0}] * 9) == []


def judged(real, fake):
  return [{'real_accuracy': real, 'fake_accuracy': fake}] * 4


@pytest.mark.parametrize(
  ('rows', 'words'),
  [
    (judged(0.999, 0.995), 'the discriminator wins outright: it is right on 99.9 % of real and 99.5 % of generated'),
    (judged(0.999, 0.98), None),
    (judged(0.8, 0.01), 'the generator wins outright: the discriminator detects 1.0 % of generated examples and'),
    (judged(0.12, 0.0), 'calls 12.0 % of real ones real'),
    (judged(0.5, 0.5), None),
    (judged(0.999, 0.0), None),  # a critic without a zero
    (judged(0.0, 0.999), None),
  ],
)
def test_who_wins(rows, words):
  found = told(rows)
  assert [i for i, _ in found] == ([] if words is None else [2])
  assert words is None or words in found[0][1]


def test_gradients_against_earlier_norms():
  norms = [2.0, 1.0, 1.0, 1.0, 50.0]  # median 1, largest 50
  rows = lambda later: [{'generator_ab_gradient_norm': norm, 'critic_gradient_norm': 1.0} for norm in [*norms, *later]]
  assert told(rows([0.06, 300.0, 0.06, 999.0] * 3)) == []
  ((i, words),) = told(rows([0.04, 0.004, 1e-5, 1e-5]))
  assert i == 7 and words.startswith(
    'the gradient of player generator_ab has vanished: its norm is 1.0e-05, it was up to 5.0e+01; try'
  )
  ((i, words),) = told(rows([1001.0, 5e3, 2e4, 2e4]))
  assert i == 7 and words.startswith(
    'the gradient of player generator_ab has exploded: its norm is 2.0e+04, it was 1.0e+00; try'
  )
  assert 'config.optimizers.generator_ab.learning_rate' in words


def test_a_gradient_that_fades_from_the_first_step_on():
  # The saturating loss against a sure discriminator: what it was in the beginning counts.
  rows = [{'generator_gradient_norm': norm} for norm in (0.4, 0.01, 0.002, 1e-3, 9e-4, 5e-4, 3e-4, 2e-4, 1e-4, 1e-4)]
  assert [i for i, _ in told(rows, first=100)] == [8]
  # Nothing from the start is not taken for what is usual.
  ((i, words),) = told([{'generator_gradient_norm': 1e-9}] * 4 + [{'generator_gradient_norm': 1.0}] * 9)
  assert i == 2 and 'vanished: its norm is 1.0e-09' in words


def test_watching_is_pure():
  state, _ = diagnostics.watch(diagnostics.START, 600, {'critic_gradient_norm': 1.0}, diversity=0.1)
  assert not any(diagnostics.START)
  again = diagnostics.watch(state, 700, {}, diversity=0.1)
  assert again == diagnostics.watch(state, 700, {}, diversity=0.1) and state.norms == {'critic': (1.0,)}
  assert state.largest == {'critic': 1.0}


def test_every_cure_is_a_setting_that_builds():
  rows = [{'generator_gradient_norm': 1.0}] * 5
  warnings = told(judged(1.0, 1.0)) + told(judged(0.1, 0.0)) + told([{}] * 3, diversities=[0.0] * 3)
  warnings += told(rows + [{'generator_gradient_norm': 0.0}] * 3) + told(rows + [{'generator_gradient_norm': 1e9}] * 3)
  assert len(warnings) == 5
  for _, warning in warnings:
    cures = [cure.replace('"', '') for cure in re.findall(r'--config\.[\w.]+=(?:"[^"]*"|[\w.]+)', warning)]
    names = re.findall(r'(?<!-)config(?:\.\w+)+', warning)
    assert cures
    for cure in cures:
      config = config_lib.override(config_lib.load('configs/quickstart.py'), [cure, '--config.devices=1'])
      stages, mesh = runs.stages_of(config), parallel.make_mesh(1)
      state = runs.abstract_state(stages, 0, jax.random.key(0))
      assert stages[0].game.turns and runs.make_step(stages[0], mesh) and state.players
    for name in names:
      config_lib.override(config_lib.load('configs/quickstart.py'), [f'--{name}=0.1'])


SHORT = ['--config.steps=900', '--config.log_every=150', '--config.checkpoint_every=150', '--config.keep=9']
# The generator runs to where a discriminator that hardly moves sees most of what is real.
TOO_FAST = ['--config.optimizers.generator.learning_rate=2e-3', '--config.optimizers.discriminator.learning_rate=1e-6']
NARROW = ['--config.game.generator.channels=(16,8)', '--config.game.discriminator.channels=(8,16)']


@pytest.mark.parametrize(
  ('file', 'changes', 'collapses'),
  [
    pytest.param('configs/gan.py:ring', [], False, marks=pytest.mark.slow),
    pytest.param('configs/quickstart.py', [*NARROW, *TOO_FAST], True, marks=pytest.mark.slow),
  ],
  ids=['ring', 'generator too fast'],
)
def test_real_games(tmp_path, file, changes, collapses):
  config = config_lib.override(config_lib.load(file), [*SHORT, *changes])
  train.run(config_lib.override(config, ['--config.sample_every=0', '--config.devices=1']), tmp_path, silent=True)
  rows = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  stored = streams.Stream(**config.data).open().arrays['image'][:1000]
  real = stored / 127.5 - 1 if stored.dtype == np.uint8 else stored
  judged = rows[-3:]  # steps 600, 750, 900
  samples = [gan_jax.load(tmp_path, row['step']).sample(500, seed=1, ema=False) for row in judged]
  diversities = [diagnostics.diversity(x, real) for x in samples]
  found = told(judged, every=150, diversities=diversities)
  if collapses:
    assert max(diversities) < 0.3
    assert [(i, words[:9]) for i, words in found if 'generator wins' not in words] == [(2, 'collapsed')]
  else:
    assert min(diversities) > 0.8 and found == []


def test_a_turn_that_is_no_longer_played_is_told_once():
  turns = (Turn(('d',), 'critic', when=lambda clock, table: True), Turn(('g',), 'actor'))
  with_it, without = {'critic': 1.0, 'actor': 1.0}, {'actor': 1.0}

  def told_turns(rows, first=600):
    state, found = unplayed.START, []
    for i, row in enumerate(rows):
      state, warnings = unplayed.watch(state, first + i, row, turns)
      found += [(i, warning) for warning in warnings]
    return found

  ((number, words),) = told_turns([with_it, without, without, without, without])
  assert number == 3
  assert words.startswith("the turn 'critic' was not played in the last 3 rows, so that d no longer learns")
  assert "Turn((), 'measure')" in words
  assert [i for i, _ in told_turns([without] * 3 + [with_it] + [without] * 7)] == [2, 10]  # told anew, later
  # Seldom is not never; nothing is told at first, nor of turns without a condition.
  assert not told_turns([with_it, *[without] * 10, with_it, *[without] * 10] * 2, first=480)
  assert not told_turns([without] * 9, first=0)
  assert not told_turns([{'critic': 1.0}] * 5)
