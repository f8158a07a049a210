"""Pictures of the way between two conditions: texts, classes, attributes, numbers."""

import contextlib
import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import load_shrunk

from gan_jax import runs
from gan_jax.base.errors import UserError
from gan_jax.latents.distributions import Attributes, Label, Normal, Scales, Uniform
from gan_jax.nets import stackgan
from gan_jax.nets.layers.text import TextEncoder
from gan_jax.sampling import between, conditions, inputs, reading
from gan_jax.sampling.run import Run


class Untrained:
  """What runs without a folder have: nobody knows what their games read."""

  read = None

  def remembering(self):
    return contextlib.nullcontext()


class Shown(Untrained):
  """A run whose pictures are made of what it is asked for."""

  workdir = 'runs/x'

  def __init__(self, stage):
    self.stage, self.given = stage, []

  def range_of(self, output):
    return (-1.0, 1.0)

  def inputs(self, count, split=None, condition=None):
    return inputs.first(self.stage, count, split)

  def latents(self, count, **options):
    return {'z': np.arange(count)}

  def generate(self, latents, *, inputs, **options):
    self.given.append((latents, inputs['images']))
    return np.zeros((len(latents['z']), 4, 4, 1))


def test_the_way_between_two_texts_or_classes():
  """Shares of words, or of classes, move in equal steps; all else stays."""
  for variant, field, ends in (('birds_64', 'text', ('a red bird', 'a blue one')), ('digits', 'label', ('3', '5'))):
    run = Shown(runs.stages_of(load_shrunk(f'configs/stackgan.py:{variant}'))[0])
    between.between_conditions(run, 2, ends=[{field: end} for end in ends], steps=3)
    latents, fields = run.given[0]
    assert latents['z'].tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(fields['image'], np.repeat(run.inputs(2)['images']['image'], 3, 0))
    asked = [conditions.apply(run.stage, {field: end}, None, run.inputs(2))[1]['images'][field] for end in ends]
    read = lambda x, words=run.stage.game.generator_1.words: np.asarray(stackgan.embedded(jnp.asarray(x), words))
    first, last = map(read, asked)
    assert np.abs(first - last).max() > 0
    for i, wanted in enumerate((first, (first + last) / 2, last)):
      np.testing.assert_allclose(read(fields[field][i::3]), wanted, atol=1e-6)
  for ends in ([], [{'label': '3'}], [{'label': '3'}, {'text': 'a'}]):
    with pytest.raises(UserError, match='two with the same names'):
      between.between_conditions(run, 2, ends=ends)
  run.read = reading.Read({}, frozenset({('images', 'image')}))  # what is not read changes nothing
  with pytest.raises(UserError, match="unknown condition of StackGAN 'label'"):
    between.between_conditions(run, 2, ends=[{'label': '3'}, {'label': '5'}])


def test_the_way_between_classes_that_are_asked_for_under_another_name():
  """StarGAN's classes: what a picture is, and what it shall be."""
  stage = runs.stages_of(load_shrunk('configs/stargan.py:digits'))[0]
  first, last = (conditions.apply(stage, {'label': end}, None, inputs.first(stage, 2)) for end in ('3', '5'))
  shares = conditions.between(stage, first, last, 3)[1]['images']['wanted']
  assert shares.shape == (6, 10)
  np.testing.assert_allclose(shares[:3, [3, 5]], [[1, 0], [0.5, 0.5], [0, 1]])
  with pytest.raises(UserError, match='whole numbers whose count is not known'):
    conditions._way(np.array([1, 2]), np.array([3, 4]), 3, 0)
  nobody = np.array([[np.nan, 1.0]])
  assert conditions.same(nobody, nobody.copy()) and not conditions.same(nobody, nobody + 1)


def test_a_way_between_conditions_that_say_the_same_is_refused():
  run = Shown(runs.stages_of(load_shrunk('configs/stackgan.py:birds_64'))[0])
  with pytest.raises(UserError, match='say the same'):
    between.between_conditions(run, 2, ends=[{'text': 'a mauve bird'}, {'text': 'a teal bird'}])


class Painted(nn.Module):
  """Pictures whose colour is what they are asked for."""

  turns, inputs, latents, part = (), (), None, 'kind'

  def sample(self, batch):
    latents = batch.get('latents')
    if latents is None:
      value = batch['images']['attributes'].astype(jnp.float32)[:, 0]
    else:
      value = latents[self.part]
      value = (
        value @ jnp.arange(4.0) if value.ndim == 2 and self.part == 'kind' else value.reshape(len(value), -1)[:, 0]
      )
    return jnp.broadcast_to(value.reshape(-1, 1, 1, 1).astype(jnp.float32), (len(value), 4, 4, 3))


class Painter(Untrained, Run):
  """A run of such a game."""

  def __init__(self, game, columns=None):
    stage = runs.stages_of(load_shrunk('configs/stackgan.py:digits'))[0]
    (stream,) = stage.streams.values()
    if columns:
      stream = dataclasses.replace(stream, name='rows.MadeUp', columns=columns, channels=3)
    self.stage, self._samplers, self.made = stage._replace(game=game, streams={'images': stream}), {}, None

  def variables(self, *_, **__):
    return {}

  def generate(self, *args, **options):
    self.made = super().generate(*args, **options)
    return self.made

  def sample(self, *args, **options):
    self.made = super().sample(*args, **options)
    return self.made


@pytest.mark.parametrize(
  ('part', 'latents', 'ends', 'values'),
  [
    ('kind', {'z': Normal((2,)), 'kind': Label(4)}, ({'kind': '1'}, {'kind': '3'}), [1, 2, 3]),
    ('look', {'z': Normal((2,)), 'look': Attributes(('Male', 'Young'))}, ({'Male': 0}, {'Male': 1}), [0, 0.5, 1]),
    ('size', {'z': Normal((2,)), 'size': Uniform((1,))}, ({'size': '0.25'}, {'size': '0.75'}), [0.25, 0.5, 0.75]),
  ],
)
def test_the_way_between_what_latents_have(part, latents, ends, values):
  game = type('Game', (Painted,), {'part': part, 'latents': latents})()
  run = Painter(game)
  between.between_conditions(run, 2, ends=ends, steps=3)
  np.testing.assert_allclose(run.made[:, 0, 0, 0], values * 2, atol=1e-6)


def test_parts_of_several_arrays_are_not_asked_for_and_stay_on_the_way():
  more = {'parts': {'low': Normal((2,))}, 'maps': Scales(((2,), (3,)))}
  game = type('Game', (Painted,), {'latents': {'z': Normal((2,)), 'kind': Label(4), **more}})()
  run = Painter(game)
  assert conditions.asked(run.stage) == {'kind': conditions.Asked('class', ('0', '1', '2', '3'))}
  between.between_conditions(run, 2, ends=({'kind': 1}, {'kind': 3}), steps=3)
  np.testing.assert_allclose(run.made[:, 0, 0, 0], [1, 2, 3] * 2, atol=1e-6)
  for part in more:
    with pytest.raises(UserError, match=rf"unknown condition of Game '{part}': choose one of kind"):
      conditions.apply(run.stage, {part: '1 2'}, run.latents(2), None)


def test_the_way_of_a_game_without_latents():
  game = type('Game', (Painted,), {'inputs': ('images',)})()
  look = {'image': {'name': 'Picture'}, 'attributes': {'name': 'Attributes', 'names': ('Male', 'Young')}}
  run = Painter(game, look)
  between.between_conditions(run, 2, ends=({'Male': 0}, {'Male': 1}), steps=3)
  np.testing.assert_allclose(run.made[:, 0, 0, 0], [0, 0.5, 1] * 2, atol=1e-6)


def test_an_encoder_of_words_in_order_refuses_a_way_between_texts():
  with pytest.raises(UserError, match='nothing between two texts'):
    TextEncoder(3).init(jax.random.key(0), jnp.zeros((2, 5)), train=True)
