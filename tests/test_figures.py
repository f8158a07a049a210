"""The benchmarks that draw, in their smallest form: known densities, D at its optimum, turns of the sweep."""

import jax
import numpy as np
import pytest

from benchmarks import ablation, ablation_networks, collapse, figure1
from gan_jax import runs
from gan_jax.nets import dcgan


def quantiles_of_data(count=4000):
  from scipy import special

  return figure1.MEAN + figure1.STDDEV * special.ndtri((np.arange(count) + 0.5) / count)


def test_density_and_best_discriminator_of_samples_that_are_the_data():
  made = figure1.density(quantiles_of_data())
  assert made.sum() * (figure1.LINE[1] - figure1.LINE[0]) == pytest.approx(1, abs=1e-3)
  # A Gaussian smoothed by a Gaussian: the variances add up.
  wide = np.hypot(figure1.STDDEV, figure1.KERNEL)
  np.testing.assert_allclose(made, figure1.gaussian(figure1.LINE, figure1.MEAN, wide), atol=2e-3)
  half = figure1.Panel('', quantiles_of_data(), np.full(len(figure1.LINE), 0.5))
  assert '|D - 1/2| 0.000 on data, at most 0.000' in figure1.described(half)
  assert '1.000 +- 0.5' in figure1.described(half)


@pytest.mark.slow
def test_figure_1_in_small():
  said = []
  panels, film = figure1.train(4, near=2, alone=1, follow=1, frames=8, say=said.append)
  assert [panel.title[:3] for panel in panels] == ['(a)', '(b)', '(c)', '(d)'] and len(said) == 4
  a, b, c, d = panels
  np.testing.assert_array_equal(a.samples, b.samples)  # D moves alone,
  assert (a.judged != b.judged).any()
  np.testing.assert_array_equal(b.judged, c.judged)  # then G alone
  assert (b.samples != c.samples).any() and (c.samples != d.samples).any() and (c.judged != d.judged).any()
  assert 5 <= len(film) <= 9
  drawn = figure1.draw(d)
  picture = np.asarray(drawn)
  assert picture.shape == (figure1.HEIGHT, figure1.WIDTH, 3) and len(np.unique(picture.reshape(-1, 3), axis=0)) > 4
  frame = np.asarray(drawn.quantize(palette=figure1.palette(), dither=0).convert('RGB')).astype(int)
  assert np.abs(frame - picture).mean() < 3  # few colours, but the same picture
  assert {figure1.GREEN, figure1.BLUE} <= {tuple(colour) for colour in np.unique(frame.reshape(-1, 3), axis=0)}


@pytest.mark.parametrize('ratio', [(1, 5), (20, 1)])
def test_a_step_of_the_sweep_makes_so_many_moves(ratio):
  config = collapse.settings(ratio, 40, 0.5)
  config.population = 0
  (stage,) = runs.stages_of(config)
  assert {optimizer.b1 for optimizer in config.optimizers.values()} == {0.5}
  moves = {turn.movers: turn.repeat for turn in stage.game.turns}
  assert moves == {('generator',): ratio[0], ('discriminator',): ratio[1]}
  assert stage.moves == {'images': ratio[1]}  # the generator needs no data


def test_the_plot_of_the_sweep():
  rows = [collapse.Row(ratio, np.full((3, 4), i), np.ones(3), 1.0) for i, ratio in enumerate(collapse.RATIOS)]
  picture = np.asarray(collapse.plot(rows)).astype(int)
  blue = (picture[..., 2] - picture[..., 0]) > 100
  heights = [np.flatnonzero(column).mean() for column in np.array_split(blue, 60, 1) if column.any()]
  assert len(heights) > 40 and np.argmin(heights) > np.argmax(heights)  # more modes further right


def test_networks_of_the_ablation_are_dcgan_with_switches():
  random = np.random.RandomState(0)
  latents, images = (random.randn(4, *shape).astype(np.float32) for shape in ((100,), (32, 32, 1)))
  pairs = (
    (ablation_networks.Generator(), dcgan.Generator((64, 32, 16), 1, kernel=4), latents),
    (ablation_networks.Discriminator(), dcgan.Discriminator((16, 32, 64), kernel=4), images),
  )
  for own, ours, inputs in pairs:
    variables = ours.init(jax.random.key(0), inputs, train=True)
    for train in (False, True):
      apply = lambda network: network.apply(variables, inputs, train=train, mutable=['batch_stats'])[0]  # noqa: B023
      np.testing.assert_allclose(apply(own), apply(ours), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', ablation.VARIANTS)
def test_each_row_of_the_ablation_changes_one_thing(name):
  config = ablation.settings(name, 40, 0, 'digits')
  (stage,) = runs.stages_of(config)
  state = jax.eval_shape(lambda: runs.new_state(stage, jax.random.key(0)))
  norms = len(jax.tree.leaves([player.variables for player in state.players.values()])) // 2
  hidden = 2 * ('hidden' in name)
  assert norms == {'no batch norm': 0, 'batch norm everywhere': 7}.get(name, 5 + hidden)
  reference = ablation.settings('as the paper says', 40, 0, 'digits').to_dict()
  changed = [(player, key) for player in ('generator', 'discriminator') for key in config.game[player] if key != 'name']
  rates = {config.optimizers[player].learning_rate for player in ('generator', 'discriminator')}
  assert len({key for _, key in changed}) + (rates != {2e-4}) == (name != 'as the paper says')
  assert {**config.to_dict(), 'game': 0, 'optimizers': 0} == {**reference, 'game': 0, 'optimizers': 0}


def test_pooling_takes_the_largest_of_each_square():
  image = np.arange(16.0).reshape(1, 4, 4, 1)
  assert ablation_networks._pooled(image)[0, :, :, 0].tolist() == [[5, 7], [13, 15]]
