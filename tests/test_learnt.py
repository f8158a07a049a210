"""What a run's columns learnt from its data stays as it was: words, names of classes."""

import dataclasses
import json
import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from PIL import Image

import gan_jax
from gan_jax import config as config_lib
from gan_jax import runs, sample
from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.core.game import Turn
from gan_jax.core.sampled import Output
from gan_jax.data import sets, sources
from gan_jax.data.kind import Kind
from gan_jax.data.streams import Stream
from gan_jax.distributed import parallel
from gan_jax.evaluation import measures, reference, scores
from gan_jax.evaluation.evidence import Evidence
from gan_jax.features import choose, classifier
from gan_jax.latents.distributions import Label
from gan_jax.runs import learnt, run_config
from gan_jax.runs.experiment import experiment_of
from gan_jax.training import loop

COLUMNS = {
  'image': {'name': 'Picture'},
  'text': {'name': 'Text', 'length': 3, 'level': 'words', 'vocabulary': 2},
  'kind': {'name': 'Label', 'classes': 2},
}


class Pixel(nn.Module):
  @nn.compact
  def __call__(self, x):
    return nn.Dense(1)(x)


class Echo(nn.Module):
  """A game whose samples are the tokens and the kind that they were asked for."""

  network: nn.Module
  weight: float = 1.0
  latents, inputs, condition = None, ('images',), 'text'
  turns = (Turn(('network',), 'loss'),)
  outputs = {'tokens': Output('images', 'text'), 'kind': Output('images', 'kind')}
  also_image = False

  def loss(self, batch):
    return self.weight * jnp.mean(self.network(batch['images']['image']) ** 2)

  def sample(self, batch):
    own = batch['images']
    more = own['image'].sum().astype(jnp.int32) * 0 if self.also_image else 0
    return {'tokens': own['text'] + more, 'kind': own['kind']}


def shop(folder, *items):
  """Products with a title and a kind, in {folder}/train and test."""
  for split in ('train', 'test'):
    (folder / split).mkdir(parents=True, exist_ok=True)
    for i in range(8):
      Image.new('L', (8, 8), 20 * i).save(folder / split / f'{i}.png')
    rows = [{'file_name': f'{i}.png', 'text': items[i % len(items)], 'kind': items[i % 2].split()[1]} for i in range(8)]
    (folder / split / 'metadata.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  sources._open.cache_clear()


@pytest.fixture
def config(tmp_path):
  shop(tmp_path / 'shop', 'red shoe', 'red bag', 'red shoe')
  return config_lib.base(
    game={'name': 'test_learnt.Echo', 'network': {'name': 'test_learnt.Pixel'}},
    optimizers={'network': {'name': 'optax.sgd', 'learning_rate': 0.1}},
    data=config_lib.stream(name='folder', path=str(tmp_path / 'shop'), size=8, channels=1, columns=COLUMNS),
    batch_size=4,
    steps=1,
    devices=1,
    sample_every=0,
  )


def asked(folder, **condition):
  made = gan_jax.load(folder).sample(1, condition=condition)
  return made['tokens'][0].tolist(), int(made['kind'][0])


def test_a_run_is_asked_by_words_and_classes_where_its_data_are_not(config, tmp_path, capsys):
  loop.run(config, tmp_path / 'run', silent=True)
  before = asked(tmp_path / 'run', text='red shoe', kind='shoe')
  assert before == ([2, 3, 0], 1)  # red is the most frequent, and shoe comes after bag
  (tmp_path / 'shop').rename(tmp_path / 'moved')
  sources._open.cache_clear()
  assert asked(tmp_path / 'run', text='red shoe', kind='shoe') == before
  arguments = [f'--workdir={tmp_path / "run"}', '--condition=text=shoe hat', '--condition=kind=bag']
  more = ['--format=text', '--output=tokens', '--count=2', f'--out={tmp_path / "texts"}']
  command.main(sample._define, sample._run, '', [*arguments, *more])
  written = '\n'.join(file.read_text() for file in (tmp_path / 'texts').rglob('*.txt'))
  assert 'shoe ?' in written
  with pytest.raises(UserError, match='shop'):
    gan_jax.load(tmp_path / 'run').sample(1, condition={'text': 'red'})  # the kind is not said
  with pytest.raises(UserError, match='shop'):
    gan_jax.load(tmp_path / 'run').sample(1)


def test_other_data_do_not_change_the_words(config, tmp_path):
  loop.run(config, tmp_path / 'run', silent=True)
  before = asked(tmp_path / 'run', text='red shoe', kind='shoe')
  shop(tmp_path / 'shop', 'blue shoe', 'blue bag', 'blue shoe')  # red is no frequent word now
  assert asked(tmp_path / 'run', text='red shoe', kind='shoe') == before
  config.steps = 2
  loop.run(config, tmp_path / 'run', silent=True)
  assert asked(tmp_path / 'run', text='red shoe', kind='shoe') == before
  loop.run(config, tmp_path / 'new', silent=True)
  assert asked(tmp_path / 'new', text='blue shoe', kind='shoe')[0] == [2, 3, 0]
  with config.unlocked():  # a column with other settings learns anew
    config.data.columns.text.vocabulary = 1
    config.resume, config.steps = 'force', 3
  loop.run(config, tmp_path / 'run', silent=True)
  shop(tmp_path / 'shop', 'red shoe', 'red bag')
  assert asked(tmp_path / 'run', text='blue shoe', kind='shoe')[0] == [2, 1, 0]


def test_a_run_that_noted_nothing_learns_from_its_data_as_before(config, tmp_path):
  loop.run(config, tmp_path / 'run', silent=True)
  before, file = asked(tmp_path / 'run', text='red shoe', kind='shoe'), tmp_path / 'run' / 'examples.json'
  notes = json.loads(file.read_text())
  assert run_config.read_learnt(tmp_path / 'run')
  file.write_text(json.dumps([{'stream': note['stream'], 'fields': note['fields']} for note in notes]))
  assert not run_config.read_learnt(tmp_path / 'run')
  assert asked(tmp_path / 'run', text='red shoe', kind='shoe') == before
  config.steps = 2
  loop.run(config, tmp_path / 'run', silent=True)
  assert run_config.read_learnt(tmp_path / 'run')


def test_classes_that_the_data_have_no_more_are_kept(config, tmp_path):
  loop.run(config, tmp_path / 'run', silent=True)
  shop(tmp_path / 'shop', 'red shoe', 'blue shoe')
  config.steps = 2
  loop.run(config, tmp_path / 'run', silent=True)
  assert asked(tmp_path / 'run', text='red shoe', kind='bag')[1] == 0
  for step in (tmp_path / 'run' / 'checkpoints').iterdir():  # nothing is trained: nothing binds
    shutil.rmtree(step)
  with pytest.raises(UserError, match='there are 1 '):
    loop.run(config, tmp_path / 'run', silent=True)


def test_latents_that_are_classes_need_no_data(config, tmp_path, monkeypatch):
  monkeypatch.setattr(Echo, 'latents', {'label': Label(2)})
  loop.run(config, tmp_path / 'run', silent=True)
  shop(tmp_path / 'shop', 'red shoe', 'blue shoe')  # without bags
  config.steps = 2
  loop.run(config, tmp_path / 'run', silent=True)
  (tmp_path / 'shop').rename(tmp_path / 'moved')
  sources._open.cache_clear()
  assert asked(tmp_path / 'run', text='red shoe', kind='shoe') == ([2, 3, 0], 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Centred(Kind):
  """A number, less the mean of all."""

  mean: float | None = None
  as_array: bool = False

  title = 'a number'

  @property
  def unfitted(self):
    return self.mean is None

  def fit(self, values):
    mean = np.mean([float(value) for value in values])
    return dataclasses.replace(self, mean=np.array([mean]) if self.as_array else mean)

  def stored(self, value):
    return np.float32(value)

  def prepare(self, batch, key):
    return batch - (100 if self.mean is None else self.mean)


@pytest.mark.parametrize('as_array', [False, True])
def test_a_kind_of_ones_own_is_fitted_in_training_and_later(config, tmp_path, monkeypatch, as_array):
  seen = []

  def loss(self, batch):
    jax.debug.callback(lambda x: seen.append(np.asarray(x)), batch['images']['size'])
    return self.weight * jnp.mean(self.network(batch['images']['image']) ** 2)

  monkeypatch.setattr(Echo, 'loss', loss)
  for split in ('train', 'test'):
    file = tmp_path / 'shop' / split / 'metadata.jsonl'
    rows = [{**json.loads(line), 'size': float(i)} for i, line in enumerate(file.read_text().split('\n'))]
    file.write_text('\n'.join(map(json.dumps, rows)))
  with config.unlocked():
    config.data.columns.size = {'name': 'test_learnt.Centred', 'as_array': as_array}
    config.population, config.vary = 2, {'game': {'weight': (1.0, 2.0)}}
  loop.run(config, tmp_path / 'run', silent=True)
  jax.effects_barrier()
  known = run_config.read_learnt(tmp_path / 'run')[0, 'images']
  if as_array:  # it cannot be kept in a file: as before, the kind is fitted where the data are read
    assert 'size' not in known
    return
  assert known['size'][1] == {'mean': 3.5} and np.abs(np.concatenate(seen, None)).max() <= 3.5
  stream = gan_jax.load(tmp_path / 'run').stage.streams['images']
  (tmp_path / 'shop').rename(tmp_path / 'moved')
  sources._open.cache_clear()
  assert gan_jax.load(tmp_path / 'run').stage.streams['images'] == stream and stream.kinds['size'].mean == 3.5


def test_texts_are_written_beside_numbered_classes(config, tmp_path):
  with config.unlocked():
    config.data.columns.number = {'name': 'Label', 'classes': 8}
  for split in ('train', 'test'):
    file = tmp_path / 'shop' / split / 'metadata.jsonl'
    rows = [{**json.loads(line), 'number': i} for i, line in enumerate(file.read_text().split('\n'))]
    file.write_text('\n'.join(map(json.dumps, rows)))
  loop.run(config, tmp_path / 'run', silent=True)
  (tmp_path / 'shop').rename(tmp_path / 'moved')
  sources._open.cache_clear()
  arguments = ['--condition=text=red shoe,kind=bag', '--format=text', '--output=tokens', '--count=1']
  command.main(
    sample._define, sample._run, '', [f'--workdir={tmp_path / "run"}', f'--out={tmp_path / "texts"}', *arguments]
  )
  assert 'red shoe' in '\n'.join(file.read_text() for file in (tmp_path / 'texts').rglob('*.txt'))


@pytest.mark.parametrize('of', [lambda run: run, lambda run: {'network': run}])
def test_a_run_that_begins_with_the_weights_of_another_has_its_words(config, tmp_path, of):
  loop.run(config, tmp_path / 'run', silent=True)
  shop(tmp_path / 'shop', 'red hat', 'blue cap', 'blue hat')  # blue, hat
  with config.ignore_type(), config.unlocked():
    config.init_from = of(str(tmp_path / 'run'))
  loop.run(config, tmp_path / 'tuned', silent=True)
  assert asked(tmp_path / 'tuned', text='red hat', kind='hat') == ([2, 1, 0], 1)  # its classes are those of its data


def test_players_of_runs_with_other_words_do_not_begin_one_run(config, tmp_path):
  loop.run(config, tmp_path / 'run', silent=True)
  shop(tmp_path / 'shop', 'red hat', 'blue cap', 'blue hat')
  loop.run(config, tmp_path / 'other', silent=True)
  runs = {name: str(tmp_path / name) for name in ('run', 'other')}
  new = lambda init_from: run_config.noted(tmp_path / 'new', experiment_of(config).stages, init_from)
  with pytest.raises(UserError, match=r"run and .*other know other words of the column 'text' of 'images': take all"):
    new(runs)
  assert new({'a': runs['run'], 'b': runs['run']}) == new(runs['run']) and new(runs['run'])[0, 'images']
  config.data.columns.text.length = 4  # neither knows the words of this column
  assert not new(runs)


def test_a_stage_that_is_new_has_the_words_of_those_before(config, tmp_path):
  loop.run(config, tmp_path / 'run', silent=True)
  shop(tmp_path / 'shop', 'blue shoe', 'blue bag', 'blue shoe')
  with config.unlocked():
    config.stages, config.resume = ({}, {'steps': 1}), 'force'
  loop.run(config, tmp_path / 'run', silent=True)
  first, second = (own['text'][1]['vocabulary'] for own in run_config.read_learnt(tmp_path / 'run').values())
  assert list(first) == list(second) == ['red', 'shoe']


@pytest.mark.parametrize('notes', ['null', '[1]', '[{"stream": [], "fields": {}, "columns": {}}]'])
def test_damaged_notes_are_one_line(config, tmp_path, notes):
  loop.run(config, tmp_path / 'run', silent=True)
  (tmp_path / 'run' / 'examples.json').write_text(notes)
  with pytest.raises(UserError, match=r'examples\.json is damaged'):
    gan_jax.load(tmp_path / 'run')


def test_a_population_knows_the_words_too(config, tmp_path):
  with config.unlocked():
    config.population, config.vary = 2, {'seed': (0, 1)}
  loop.run(config, tmp_path / 'run', silent=True)
  (tmp_path / 'shop').rename(tmp_path / 'moved')
  sources._open.cache_clear()
  assert asked(tmp_path / 'run', text='red shoe', kind='shoe') == ([2, 3, 0], 1)


def test_what_a_condition_does_not_say_is_missed_by_its_name(config, tmp_path, monkeypatch):
  loop.run(config, tmp_path / 'run', silent=True)
  (tmp_path / 'shop').rename(tmp_path / 'moved')
  sources._open.cache_clear()
  monkeypatch.setattr(Echo, 'also_image', True)
  with pytest.raises(UserError, match='shop'):
    asked(tmp_path / 'run', text='red shoe', kind='shoe')


class Subfolder(Echo):
  """A game whose samples are the classes that they were asked for, and those of the pictures that it reads."""

  condition, outputs = 'label', {'label': Output('images', 'label')}

  def sample(self, batch):
    return {'label': batch['images']['label']}


@pytest.fixture
def pets(config, tmp_path):
  for split, names in {'train': ('cat', 'dog', 'fox'), 'test': ('cat', 'fox')}.items():
    for name in names:
      (tmp_path / 'pets' / split / name).mkdir(parents=True)
      for i in range(3):
        Image.new('L', (8, 8), 20 * i + len(split)).save(tmp_path / 'pets' / split / name / f'{i}.png')
  with config.unlocked():
    config.game.name = 'test_learnt.Subfolder'
    config.data = config_lib.stream(name='folder', path=str(tmp_path / 'pets'), size=8, channels=1, classes=3)
  return config


def test_class_subfolders_have_the_numbers_of_the_training_set(pets, tmp_path):
  test = Stream(**{**pets.data.to_dict(), 'split': 'test'})
  assert sources.labels_of(test.open()).tolist() == [0, 0, 0, 2, 2, 2]
  named = dataclasses.replace(test, class_names=('fox', 'dog', 'cat'))
  assert sources.labels_of(named.open()).tolist() == [2, 2, 2, 0, 0, 0]
  with pytest.raises(
    UserError, match=r'the training set of .*test has 3 subfolders .*: set it to 3, or set config\.data'
  ):
    dataclasses.replace(test, classes=2).open()
  (tmp_path / 'pets' / 'test' / 'fox').rename(tmp_path / 'pets' / 'test' / 'wolf')
  with pytest.raises(UserError, match='subfolder wolf, but the classes are cat, dog, fox: rename it'):
    dataclasses.replace(test, size=7, class_names=('cat', 'dog', 'fox')).open()
  with pytest.raises(UserError, match='cat as the training set has, and wolf, which'):
    dataclasses.replace(test, size=7, classes=2).open()


def test_classes_that_a_run_does_not_know_are_those_of_the_split(pets, tmp_path):
  """Such as the faults of parts, of which there are none in the training set."""
  (tmp_path / 'pets' / 'test' / 'fox').rename(tmp_path / 'pets' / 'test' / 'wolf')
  plain = Stream(**{**pets.data.to_dict(), 'classes': 0})
  of = lambda split: sets.reference_stream(plain, split)
  assert of('train').classes == 3 and of('test').class_names == ('cat', 'wolf')
  assert sources.labels_of(of('test').open()).tolist() == [0, 0, 0, 1, 1, 1]
  assert sets.held_out_stream(of('train')) is None  # its labels would be others
  assert sets.held_out_stream(of('train'), labelled=False).classes == 0
  evidence = Evidence(None, None, None, None, of('train'), 6, 0)
  assert evidence.held_out_examples(6).shape == (6, 8, 8, 1) and evidence.labelled_held_out is None
  measures.check_needs(['neighbours'], of('train'), 'random')
  with pytest.raises(UserError, match="needs a held-out split 'test' beside 'train', with the same classes"):
    measures.check_needs(['probe'], of('train'), 'random')


def test_numbers_of_classes_are_in_the_keys_of_caches(pets):
  stream = Stream(**pets.data.to_dict())
  as_usual, turned = (dataclasses.replace(stream, class_names=names) for names in (('a', 'b'), ('b', 'a')))
  assert sets.labelling(stream) == sets.labelling(as_usual) == {}
  assert sets.labelling(turned) == {'class_names': ['b', 'a']}


def test_a_set_with_other_numbers_of_classes_is_scored_anew(pets, monkeypatch):
  monkeypatch.setattr(sources, 'fingerprint', lambda source: 'alike')  # it looks at some examples only
  stream = Stream(**pets.data.to_dict())
  scorer = scores.Scorer(choose.choose('raw', stream), parallel.make_mesh(1))
  of = lambda *names: dataclasses.replace(stream, class_names=names)
  first, other = (reference.reference_scores(x, scorer).labels for x in (stream, of('fox', 'dog', 'cat')))
  assert first.tolist() == [2 - label for label in other] != other.tolist()
  settings = [classifier._settings(x, x.open(), 0) for x in (stream, of('cat', 'dog', 'fox'), of('fox', 'dog', 'cat'))]
  assert settings[0] == settings[1] != settings[2]


def test_folders_without_pictures_that_can_be_read_are_no_classes(pets, tmp_path):
  train = tmp_path / 'pets' / 'train'
  for name in ('broken', 'circle', 'out', 'empty', '.hidden'):
    (train / name).mkdir()
  (train / 'all').symlink_to(train)
  (train / 'linked').symlink_to(tmp_path / 'elsewhere')
  (train / 'broken' / '0.png').write_text('no picture')
  (train / 'circle' / 'up').symlink_to(train)
  (tmp_path / 'elsewhere').mkdir()
  Image.new('L', (8, 8)).save(tmp_path / 'elsewhere' / '0.png')
  (train / 'out' / '0.png').symlink_to(tmp_path / 'elsewhere' / '0.png')
  (train / 'fox' / 'young').mkdir()
  for file in (train / 'fox').glob('*.png'):
    file.rename(train / 'fox' / 'young' / file.name)
  stream = Stream(**pets.data.to_dict())
  assert sources.class_names_in(stream) == ('cat', 'dog', 'fox')
  assert sources.labels_of(stream.open()).tolist() == [0] * 3 + [1] * 3 + [2] * 3
  assert sources.class_names_in(dataclasses.replace(stream, links=str(tmp_path / 'elsewhere')))[3:] == ('linked', 'out')


def test_domains_have_the_classes_of_their_own_training_set(pets, tmp_path):
  for old, new in (('train', 'trainA'), ('test', 'testA')):
    (tmp_path / 'pets' / old).rename(tmp_path / 'pets' / new)
  assert sources.class_names_in(Stream(**{**pets.data.to_dict(), 'split': 'testA'})) == ('cat', 'dog', 'fox')


def test_a_stage_has_the_classes_of_the_one_before_if_it_reads_the_same(pets, tmp_path):
  other = tmp_path / 'cars' / 'train'
  for name in ('bus', 'car', 'van'):
    shutil.copytree(tmp_path / 'pets' / 'train' / 'cat', other / name)
  with pets.unlocked():
    pets.stages = ({'steps': 1}, {'steps': 1}, {'steps': 1, 'data': {'path': str(tmp_path / 'cars')}})
  loop.run(pets, tmp_path / 'run', silent=True)
  names = [own[learnt.WHOLE][1]['class_names'] for own in run_config.read_learnt(tmp_path / 'run').values()]
  assert names == [['cat', 'dog', 'fox']] * 2 + [['bus', 'car', 'van']]


def test_a_class_that_is_new_has_the_next_number(pets, tmp_path):
  loop.run(pets, tmp_path / 'run', silent=True)
  shutil.copytree(tmp_path / 'pets' / 'train' / 'cat', tmp_path / 'pets' / 'train' / 'ant')
  sources._open.cache_clear()
  pets.steps = 2
  with pytest.raises(UserError, match='subfolder ant, but the classes are cat, dog, fox'):
    loop.run(pets, tmp_path / 'run', silent=True)
  pets.data.classes, pets.resume = 4, 'force'
  loop.run(pets, tmp_path / 'run', silent=True)
  (own,) = run_config.read_learnt(tmp_path / 'run').values()
  assert own[learnt.WHOLE][1]['class_names'] == ['cat', 'dog', 'fox', 'ant']
  with pets.unlocked():
    pets.resume, pets.steps, pets.data.class_names = 'auto', 3, ('cat', 'dog', 'fox', 'ant')
  loop.run(pets, tmp_path / 'run', silent=True)  # as the errors propose


def test_class_names_at_a_resume_give_no_class_another_number(pets, tmp_path):
  loop.run(pets, tmp_path / 'run', silent=True)
  train = tmp_path / 'pets' / 'train'
  (train / 'fox').rename(train / 'ant')
  sources._open.cache_clear()
  pets.steps, pets.data.class_names = 2, ('ant', 'cat', 'dog')
  with pytest.raises(
    UserError, match=r"class_names\[0\]='ant', but .* class 0 as 'cat': keep the order cat, dog, fox,"
  ):
    loop.run(pets, tmp_path / 'run', silent=True)
  (train / 'ant').rename(train / 'fox')
  sources._open.cache_clear()
  pets.data.class_names = ('cat', 'dog', 'fox')
  loop.run(pets, tmp_path / 'run', silent=True)
  for names in (('fox', 'cat', 'dog'), ()):  # those that it was given bind, too
    pets.data.class_names = names
    with pytest.raises(UserError, match=r"class_names: \['cat', 'dog', 'fox'\] -> .*resume=force"):
      loop.run(pets, tmp_path / 'run', silent=True)
  pets.steps, pets.resume, pets.data.class_names = 3, 'force', ('fox', 'cat', 'dog')
  loop.run(pets, tmp_path / 'run', silent=True)


@pytest.mark.parametrize('asked_for', [1, '1'])
def test_classes_whose_names_are_numbers_are_asked_for_by_their_number(pets, tmp_path, asked_for):
  for name, new in (('cat', '1'), ('dog', '2'), ('fox', '10')):
    (tmp_path / 'pets' / 'train' / name).rename(tmp_path / 'pets' / 'train' / new)
  shutil.rmtree(tmp_path / 'pets' / 'test')
  loop.run(pets, tmp_path / 'run', silent=True)
  assert gan_jax.load(tmp_path / 'run').sample(1, condition={'label': asked_for})['label'].tolist() == [1]


def test_a_number_that_is_no_name_is_no_class_where_names_are_numbers(config, tmp_path):
  with config.unlocked():
    config.data.columns.kind = {'name': 'Label', 'classes': ('3', '7')}
  shop(tmp_path / 'shop', 'red 3', 'red 7')
  loop.run(config, tmp_path / 'run', silent=True)
  assert asked(tmp_path / 'run', text='red', kind=7)[1] == 1
  with pytest.raises(UserError, match="is '0', which is none of the 2 classes: 3, 7"):
    asked(tmp_path / 'run', text='red', kind='0')


def test_a_class_subfolder_that_is_renamed_or_gone_moves_no_other_class(pets, tmp_path):
  loop.run(pets, tmp_path / 'run', silent=True)
  label = lambda name: int(gan_jax.load(tmp_path / 'run').sample(1, condition={'label': name})['label'][0])
  assert [label(name) for name in ('cat', 'dog', 'fox', 1)] == [0, 1, 2, 1]
  (tmp_path / 'pets' / 'train' / 'cat').rename(tmp_path / 'pets' / 'train' / 'kitten')
  sources._open.cache_clear()
  pets.steps = 2
  with pytest.raises(UserError, match='subfolder kitten, but the classes are cat, dog, fox'):
    loop.run(pets, tmp_path / 'run', silent=True)
  shutil.rmtree(tmp_path / 'pets' / 'train' / 'kitten')
  loop.run(pets, tmp_path / 'run', silent=True)
  assert [label(name) for name in ('cat', 'dog', 'fox')] == [0, 1, 2]
  (tmp_path / 'pets').rename(tmp_path / 'moved')
  sources._open.cache_clear()
  with pytest.raises(UserError, match="is 'wolf', which is none of the 3 classes: cat, dog, fox"):
    label('wolf')
  with pytest.raises(UserError, match='set it to 2'):  # a new run has no class without pictures
    loop.run(pets_in(pets, tmp_path / 'moved'), tmp_path / 'new', silent=True)


def pets_in(config, folder):
  config.data.path = str(folder)
  return config


@pytest.mark.parametrize('names', [('cat', 'dog'), ('cat', 'dog', 'cat')])
def test_names_of_classes_are_as_many_as_the_classes(pets, names):
  pets.data.class_names = names
  with pytest.raises(UserError, match='must be 3 different names'):
    experiment_of(pets)


def test_data_that_changed_since_the_run_was_last_started_are_told(tmp_path):
  """It goes on, in another order: what was held out may be trained on."""
  stream = '--config.data.name=npz', f'--config.data.path={tmp_path / "a.npz"}'
  config = config_lib.override(config_lib.load('configs/quickstart.py'), list(stream))

  def told(count, level=0):
    np.savez(tmp_path / 'a.npz', image=np.full((count, 8, 8, 1), level, np.uint8))
    stages = runs.stages_of(config)
    lines = list(run_config.changed_data(epath.Path(tmp_path), stages, 0))
    run_config.write_examples(epath.Path(tmp_path), stages, learnt.NOTHING)
    return lines

  assert told(20) == [], 'nothing is noted yet'
  assert told(20) == []
  (line,) = told(12)
  assert line.startswith(
    "note: stream 'images' had 20 examples when this run was last started, now 12: it goes on in an"
  )
  (line,) = told(12, level=1)
  assert line == "note: some examples of stream 'images' are others than when this run was last started"
  assert told(12, level=1) == []
