"""Every kind of example through everything that a run does: small games of a user's own, one for each kind."""

import json
import struct
import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import few
from PIL import Image

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, evaluate, main, runs, sample
from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.core.game import Turn
from gan_jax.data.streams import Stream
from gan_jax.games.parts import drawn
from gan_jax.latents.distributions import Attributes, Label, Latents, Normal, draw
from gan_jax.sampling import conditions, files, pictures, shapes
from gan_jax.training import loop

BATCH = 8


class Map(nn.Module):
  """A linear map of everything that it is given, to examples of a shape."""

  shape: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, *given, train=True):
    rows = [x.reshape(len(x), -1).astype(jnp.float32) for x in given]
    y = nn.Dense(int(np.prod(self.shape)))(jnp.concatenate(rows, -1))
    return jnp.tanh(y).reshape(-1, *self.shape)


class Game(nn.Module):
  """What all of them share: least squares on whatever `real` and `made` give."""

  generator: nn.Module
  discriminator: nn.Module
  latents: Latents = Normal((3,))

  turns = (Turn(('discriminator',), 'judge'), Turn(('generator',), 'fool'))

  def judge(self, batch):
    real = self.discriminator(*self.real(batch))
    return jnp.square(real - 1).mean() + jnp.square(self.discriminator(*self.made(batch))).mean()

  def fool(self, batch):
    return jnp.square(self.discriminator(*self.made(batch)) - 1).mean()

  def real(self, batch):
    return (batch['images'][self.field],)

  def made(self, batch):
    return (self.generator(batch['latents']),)

  field = 'image'

  def sample(self, batch):
    return self.made(batch)[0]


class Faces(Game):
  """Pictures of attributes."""

  latents: Latents = None

  def real(self, batch):
    return batch['images']['image'], batch['images']['attributes']

  def made(self, batch):
    attributes = batch['latents']['attributes']
    return self.generator(batch['latents']['z'], attributes), attributes


class Paired(Game):
  """From one half of a wide picture to the other."""

  latents: Latents = None
  outputs = {'b': core.Output('images', 'b', of='images.a')}

  def real(self, batch):
    return batch['images']['a'], batch['images']['b']

  def made(self, batch):
    return batch['images']['a'], self.generator(batch['images']['a'])

  def sample(self, batch):
    return {'b': self.made(batch)[1]}


class Unpaired(Game):
  """From one folder to the other and back."""

  latents: Latents = None
  outputs = {'ab': core.Output('b', of='a'), 'aba': core.Output('a', of='a')}

  def real(self, batch):
    return (batch['b']['image'],)

  def made(self, batch):
    return (self.generator(batch['a']['image']),)

  def sample(self, batch):
    made = self.made(batch)[0]
    return {'ab': made, 'aba': self.generator(made)}


class Voxels(Game):
  field = 'solid'
  outputs = {'solid': core.Output('images', 'solid')}


class Melodies(Game):
  field = 'roll'
  outputs = {'roll': core.Output('images', 'roll')}


class Space(Game):
  """Points of space."""


class Table(Game):
  """Numbers and classes: rows of [age, one-hot job] inside, columns outside."""

  outputs = {'age': core.Output('images', 'age'), 'job': core.Output('images', 'job')}

  def real(self, batch):
    fields = batch['images']
    return (jnp.concatenate([fields['age'][:, None], jax.nn.one_hot(fields['job'], 3)], -1),)

  def sample(self, batch):
    rows = self.made(batch)[0]
    return {'age': rows[:, 0], 'job': rows[:, 1:].argmax(-1)}


class Told(Game):
  """Pictures of texts: the texts are the data's, when it samples too."""

  inputs = ('images',)

  def real(self, batch):
    return batch['images']['image'], batch['images']['text']

  def made(self, batch):
    text = batch['images']['text']
    return self.generator(batch['latents'], text), text


def save(path, pixels):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(path)


def noise(i, height=8, width=8):
  return np.random.RandomState(i).randint(0, 256, (height, width, 3), np.uint8)


def faces(folder):
  for split, count in (('train', 12), ('test', 6)):
    for i in range(count):
      save(folder / split / f'{i}.png', noise(i + 100 * len(split)))
    rows = [f'{i}.png,{i % 2},{i % 3 // 2}' for i in range(count)]
    (folder / split / 'metadata.csv').write_text('\n'.join(['file_name,Male,Smiling', *rows]))
  columns = {'image': {'name': 'Picture'}, 'attributes': {'name': 'Attributes', 'names': ('Male', 'Smiling')}}
  return {'name': 'folder', 'path': str(folder), 'size': 8, 'columns': columns}


def pairs(folder):
  for split, count in (('train', 12), ('test', 6)):
    for i in range(count):
      save(folder / split / f'{i}.png', noise(i + 100 * len(split), 8, 16))
  half = lambda part: {'name': 'Picture', 'column': 'image', 'part': part, 'flip': True}
  return {'name': 'folder', 'path': str(folder), 'size': 8, 'columns': {'a': half('left'), 'b': half('right')}}


def domains(folder):
  for name in 'ab':
    for split, count in (('train', 12), ('test', 6)):
      for i in range(count):
        save(folder / name / split / f'{i}.png', noise(i + 100 * len(split)))
  return {name: {'name': 'folder', 'path': str(folder / name), 'size': 8} for name in 'ab'}


def arrays(folder, columns, **make):
  for split, count in (('train', 12), ('test', 6)):
    random = np.random.RandomState(count)
    np.savez(folder / f'{split}.npz', **{name: of(random, count) for name, of in make.items()})
  return {'name': 'npz', 'path': str(folder / '{split}.npz'), 'columns': columns}


def voxels(folder):
  solid = {'solid': {'name': 'Array', 'range': (-1.0, 1.0)}}
  return arrays(folder, solid, solid=lambda random, n: random.rand(n, 6, 6, 6) > 0.7)


def melodies(folder):
  roll = {'roll': {'name': 'Array', 'range': (-1.0, 1.0)}}
  return arrays(folder, roll, roll=lambda random, n: random.rand(n, 8, 12) > 0.8)


def space(folder):
  return arrays(folder, {'image': {'name': 'Array'}}, image=lambda random, n: random.randn(n, 3))


def table(folder):
  columns = {'age': {'name': 'Number', 'low': 0, 'high': 100}, 'job': {'name': 'Label', 'classes': 3}}
  jobs = np.array(['cook', 'nurse', 'smith'])
  age = lambda random, n: random.randint(20, 60, n)
  return arrays(folder, columns, age=age, job=lambda random, n: jobs[np.arange(n) % 3])


def texts(folder):
  for split, count in (('train', 12), ('test', 6)):
    for i in range(count):
      save(folder / split / f'{i}.png', noise(i + 100 * len(split)))
    rows = [{'file_name': f'{i}.png', 'text': [f'a {word} shoe', word]} for i, word in enumerate(['red', 'blue'] * 6)]
    (folder / split / 'metadata.jsonl').write_text('\n'.join(map(json.dumps, rows[:count])))
  text = {'name': 'Text', 'length': 4, 'level': 'words'}
  return {'name': 'folder', 'path': str(folder), 'size': 8, 'columns': {'image': {'name': 'Picture'}, 'text': text}}


PICTURE = (8, 8, 3)
#: kind: (game, shape of what its generator makes, its data, what it makes and each one's shape, how samples become
#: files: arguments of the command and the files' names).
KINDS = {
  'picture with attributes': (
    'Faces', PICTURE, faces, {'': PICTURE}, ['--format=folder', '--condition=Male=1'], ['000000.png', '000001.png'],
  ),
  'paired picture': ('Paired', PICTURE, pairs, {'b': PICTURE}, ['--inputs={photos}'], ['0.png', '1.png']),
  'two folders': (
    'Unpaired', PICTURE, domains, {'ab': PICTURE, 'aba': PICTURE}, ['--inputs=a={photos}', '--output=ab'],
    ['0.png', '1.png'],
  ),
  'voxels': (
    'Voxels', (6, 6, 6), voxels, {'': (6, 6, 6)}, ['--format=binvox'], ['000000.binvox', '000001.binvox'],
  ),
  'sequences': ('Melodies', (8, 12), melodies, {'': (8, 12)}, ['--format=midi'], ['000000.mid', '000001.mid']),
  'points of space': ('Space', (3,), space, {'': (3,)}, ['--format=npz', '--out={out}/x.npz'], ['x.npz']),
  'mixed table': ('Table', (4,), table, {'age': (), 'job': ()}, ['--out={out}/x.npz'], ['x.npz']),
  'text to picture': (
    'Told', PICTURE, texts, {'': PICTURE}, ['--format=folder', '--condition=text=a blue shoe'],
    ['000000.png', '000001.png'],
  ),
}  # fmt: skip


def config_of(kind, folder, steps=2, **settings):
  game, shape, data, *_ = KINDS[kind]
  made = data(folder)
  network = lambda shape: {'name': 'test_kinds.Map', 'shape': shape}
  extra = {}
  if game == 'Faces':
    names = ('Male', 'Smiling')
    extra['latents'] = {
      'z': {'name': 'Normal', 'shape': (3,)},
      'attributes': {'name': 'Attributes', 'names': names},
    }
  adam = {'name': 'optax.adam', 'learning_rate': 1e-3}
  return config_lib.base(
    game={'name': f'test_kinds.{game}', 'generator': network(shape), 'discriminator': network((1,)), **extra},
    optimizers={'generator': adam, 'discriminator': adam},
    data=made,
    **{'batch_size': BATCH, 'steps': steps, 'samples': 4, 'devices': 1, 'sample_every': 0, 'log_every': 1, **settings},
  )


def command_of(module, *arguments):
  command.main(module._define, module._run, module.__doc__, list(arguments))


#: What `make test` leaves out: their parts are in the others.
SLOW = ('picture with attributes', 'voxels', 'points of space', 'text to picture', 'paired picture')


@pytest.mark.parametrize('kind', few(KINDS, lambda kind: kind not in SLOW))
def test_every_kind_of_example_goes_through_everything(kind, tmp_path, capsys, monkeypatch):
  """Train, grid, resume, sample to files, evaluate, population of 2, dry run."""
  _, _, _, makes, arguments, names = KINDS[kind]
  data, run, out, photos = (tmp_path / name for name in ('data', 'run', 'out', 'photos'))
  data.mkdir()
  for i in range(2):
    save(photos / f'{i}.png', noise(i, 12, 9))
  config = lambda **settings: config_of(kind, data, **settings)
  main._dry_run(config(), False)
  assert 'flops' in capsys.readouterr().out
  # Train and grid.
  loop.run(config(), run, silent=True)
  # A table is one picture; what is made of one input stands in one row.
  expected = ['step_0000002.png' if kind == 'mixed table' or '' in makes else f'step_0000002_{next(iter(makes))}.png']
  assert sorted(path.name for path in (run / 'samples').iterdir()) == expected
  # Resume.
  loop.run(config(steps=3), run, silent=True)
  loaded = gan_jax.load(run)
  assert loaded.step == 3
  made = loaded.sample(5)
  shapes = {name: x.shape[1:] for name, x in (made if isinstance(made, dict) else {'': made}).items()}
  assert shapes == makes
  # Sample to files.
  arguments = [argument.format(photos=photos, out=out) for argument in arguments]
  out.mkdir()
  given = [] if any(a.startswith('--out=') for a in arguments) else ['--out', str(out)]
  count = [] if any('--inputs' in a for a in arguments) else ['--count=2']
  command_of(sample, '--workdir', str(run), *count, *given, *arguments)
  assert sorted(path.name for path in out.iterdir()) == names
  capsys.readouterr()
  # Evaluate.
  command_of(evaluate, '--workdir', str(run), '--samples=24', '--features=raw')
  figures = json.loads((run / 'evaluation.json').read_text())['figures']
  wanted = [f'fid_{name}' for name in makes] if len(makes) > 1 else ['fid']
  assert set(wanted) <= set(figures) and all(np.isfinite(figures[name]['value']) for name in wanted), figures
  if kind == 'paired picture':  # of which each output has a target
    eight = lambda x: np.clip(np.round((np.asarray(x, float) + 1) * 127.5), 0, 255)
    error = eight(loaded.sample(6)['b']) - eight(loaded.examples(n=6)['b'])
    np.testing.assert_allclose(figures['l1']['value'], np.abs(error).mean() / 255, rtol=1e-4)
    expected_psnr = 20 * np.log10(255) - 10 * np.log10(np.square(error).mean((1, 2, 3)))
    np.testing.assert_allclose(figures['psnr']['value'], expected_psnr.mean(), rtol=1e-4)
    of_each = np.abs(error).mean((1, 2, 3)) / 255
    np.testing.assert_allclose(figures['l1']['standard_error'], of_each.std(ddof=1) / np.sqrt(6), rtol=1e-3)
    assert {'ssim', 'perceptual'} <= set(figures) and 'pairs of folder' in figures['l1']['protocol']
  # Population of 2.
  both = tmp_path / 'both'
  loop.run(config(population=2), both, silent=True)
  assert len(list((both / 'samples').iterdir())) == 2 * len(expected)
  assert gan_jax.load(both, member=1).sample(2) is not None


# What is written


def read_midi(data):
  """[(tick, pitch, whether it begins)] of a MIDI file of one track, and the ticks of a quarter."""
  assert data[:4] == b'MThd' and data[14:18] == b'MTrk'
  (_, kind, tracks, quarter), (length,) = struct.unpack('>IHHH', data[4:14]), struct.unpack('>I', data[18:22])
  assert (kind, tracks, length) == (0, 1, len(data) - 22)
  at, tick, events = 22, 0, []
  while True:
    wait = 0
    while True:
      byte = data[at]
      wait, at = wait << 7 | byte & 127, at + 1
      if byte < 128:
        break
    tick += wait
    if data[at] == 0xFF:
      assert data[at:] == b'\xff\x2f\x00'
      return events, quarter
    events.append((tick, data[at + 1], data[at] == 0x90))
    at += 3


def test_a_piano_roll_as_midi():
  roll = np.zeros((40, 128), bool)
  roll[0:4, 60] = roll[4, 64] = roll[5, 60] = roll[36:40, 0] = True
  events, quarter = read_midi(files.midi(roll))
  step = quarter // 4
  assert events == [
    (0, 60, True), (4 * step, 60, False), (4 * step, 64, True), (5 * step, 64, False), (5 * step, 60, True),
    (6 * step, 60, False), (36 * step, 0, True), (40 * step, 0, False),
  ]  # fmt: skip
  lowest = lambda pitches: read_midi(files.midi(np.eye(1, pitches, dtype=bool)))[0][0][1]
  assert (lowest(88), lowest(24)) == (21, 48)  # the piano's lowest A; an octave below middle C


def read_binvox(data):
  """The voxels [x, y, z] of a binvox file, as its specification says: y runs fastest, then z."""
  head, _, runs = data.partition(b'data\n')
  size = int(head.split(b'dim ')[1].split()[0])
  values = np.concatenate([np.full(runs[i + 1], runs[i], bool) for i in range(0, len(runs), 2)])
  return values.reshape(size, size, size).transpose(0, 2, 1)


def test_voxels_as_binvox():
  solid = np.random.RandomState(0).rand(9, 9, 9) > 0.4
  solid[4:] = True  # a run of more than 255
  np.testing.assert_array_equal(read_binvox(files.binvox(solid)), solid)


def test_a_folder_has_the_samples_of_one_call(tmp_path):
  write = lambda count, value=0.0: files.write(
    {'': np.full((count, 8, 8, 1), value)}, {'': (0.0, 1.0)}, 'folder', tmp_path
  )
  write(2)
  write(3, 1.0)
  (tmp_path / 'note.png').touch()
  with pytest.raises(UserError, match=r'has 1 samples of another call, such as 000002.png: name a new folder'):
    write(2)
  assert np.asarray(Image.open(tmp_path / '000000.png')).max() == 255  # nothing was written


def test_a_picture_knows_how_many_samples_it_shows():
  pictures = {
    64: drawn.symbols(np.ones((70, 3), int)),
    8: drawn.piano_rolls(np.full((9, 3, 4), 0.5)),
    16: shapes.sequences(np.zeros((17, 4, 2)), (-1.0, 1.0)),
    2: shapes.voxels(np.ones((2, 2, 2, 2)), (0.0, 1.0)),
  }
  assert all(picture.info[drawn.SHOWN] == room for room, picture in pictures.items())


def test_what_has_no_file_is_one_line(tmp_path):
  samples = {'': np.zeros((2, 8, 8, 3))}
  for how in ('midi', 'binvox'):
    with pytest.raises(UserError, match=f'--format={how} writes .* use --format=npz'):
      files.write(samples, {'': (0.0, 1.0)}, how, tmp_path)
  with pytest.raises(UserError, match='--format=folder writes pictures'):
    files.write({'': np.zeros((2, 4, 4, 4, 2))}, {'': (0.0, 1.0)}, 'folder', tmp_path)
  with pytest.raises(UserError, match='no cube'):
    files.binvox(np.ones((2, 2, 3), bool))


def test_pictures_of_solids_and_sequences_show_them():
  solid = np.zeros((1, 8, 8, 8))
  empty = np.asarray(pictures.picture_of(solid, (0.0, 1.0)))
  assert (empty == 255).all() or set(np.unique(empty)) <= {210, 255}
  solid[:, 2:6, 2:6, :] = 1
  drawn = np.asarray(pictures.picture_of(solid, (0.0, 1.0)))
  filled = drawn < 240
  rows, columns = np.flatnonzero(filled.any(1)), np.flatnonzero(filled[:, : drawn.shape[1] // 2].any(0))
  assert np.ptp(rows) > np.ptp(columns), 'it stands: the last axis is up'
  assert drawn.min() >= 60 and drawn[filled].max() > 225, 'what faces the eye is lit'
  solid[:, :, :, :4] = 0
  rows = np.nonzero(np.asarray(pictures.picture_of(solid, (0.0, 1.0))) < 240)[0]
  assert rows.mean() < drawn.shape[0] / 2, 'the upper half is above'
  roll = np.zeros((1, 6, 12))
  roll[0, 3, 10] = 1  # late and high
  drawn = np.asarray(pictures.picture_of(roll, (0.0, 1.0)))
  (row, *_), (column, *_) = np.nonzero(drawn == 0)
  assert row == drawn.shape[0] // 12 and column == drawn.shape[1] // 2
  clear = np.concatenate([np.full((1, 4, 4, 3), 1.0), np.full((1, 4, 4, 1), -1.0)], -1)  # white, but transparent
  assert set(np.unique(np.asarray(pictures.picture_of(clear, (-1.0, 1.0))))) == {128, 191}
  clear[..., 3] = 0.0  # 128 of 255
  assert set(np.unique(np.asarray(pictures.picture_of(clear, (-1.0, 1.0))))) == {
    128,
    round((128 * 255 + 127 * 191) / 255),
  }


# What samples are asked to be


def test_conditions_of_the_command_line_replace_what_is_drawn(tmp_path):
  for kind in ('picture with attributes', 'text to picture'):
    folder = tmp_path / kind
    folder.mkdir()
    config = config_of(kind, folder)
    (stage,) = runs.stages_of(config)
    if kind == 'picture with attributes':
      drawn = {'z': np.zeros((3, 3)), 'attributes': np.array([[0, 0], [0, 1], [1, 1]], np.float32)}
      latents, _ = conditions.apply(stage, conditions.parsed(['Male=1,Smiling=0']), drawn, None)
      assert latents['attributes'].tolist() == [[1, 0]] * 3 and drawn['attributes'].tolist()[0] == [0, 0]
      assert conditions.known(stage) == ['Male', 'Smiling']
      wrong = [('Hat=1', "unknown condition of Faces 'Hat'.*Male, Smiling"), ('Male=2', 'Male.* must be 0 or 1')]
    else:
      given = {'images': {'text': np.zeros((2, 4), np.int32), 'image': np.zeros((2, 8, 8, 3))}}
      _, inputs = conditions.apply(stage, {'text': 'a blue shoe'}, np.zeros((2, 3)), given)
      kind = stage.streams['images'].open().kinds['text']
      assert [kind.decode(row) for row in inputs['images']['text']] == ['a blue shoe'] * 2
      wrong = [('text=?!', "condition text is '\\?!', which has no words"), ('image=1', 'unknown condition of Told')]
    for text, message in wrong:
      with pytest.raises(UserError, match=message):
        conditions.apply(
          stage,
          conditions.parsed([text]),
          {'z': 0, 'attributes': np.zeros((1, 2))},
          {'images': {'text': np.zeros((1, 4), np.int32)}},
        )
  for text in ('Male', 'Male=', '=1', 'a=1,b='):
    with pytest.raises(UserError, match='must be NAME=VALUE'):
      conditions.parsed([text])


def test_classes_by_name_and_by_shares():
  label = Label(3, (1.0, 0.0, 3.0))
  drawn = np.asarray(draw(label, jax.random.key(0), 4000))
  np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 4000, [0.25, 0, 0.75], atol=0.02)
  np.testing.assert_array_equal(
    draw(Label(3), jax.random.key(0), 9),
    jax.vmap(lambda i: jax.random.randint(jax.random.fold_in(jax.random.key(0), i), (), 0, 3, jnp.int32))(
      jnp.arange(9)
    ),
  )
  for shares, words in (((1.0,), 'one for each class'), ((0.0,) * 3, 'not all 0'), ((-1.0, 1.0, 1.0), 'at least 0')):
    with pytest.raises(UserError, match=words):
      Label(3, shares)
  held = np.asarray(draw(Attributes(('a', 'b'), (0.1, 0.8)), jax.random.key(1), 4000))
  np.testing.assert_allclose(held.mean(0), [0.1, 0.8], atol=0.02)


def test_a_class_is_one_of_those_that_are_drawn_not_of_the_data_s():
  stream = Stream(name='digits', size=8, channels=1, classes=10)
  stage = types.SimpleNamespace(game=types.SimpleNamespace(latents={'side': Label(2)}), streams={'images': stream})
  drawn = {'side': np.zeros((3,), np.int32)}
  assert conditions.apply(stage, {'side': '1'}, drawn, None)[0]['side'].tolist() == [1, 1, 1]
  with pytest.raises(UserError, match='condition side is 7, must be 0 to 1'):
    conditions.apply(stage, {'side': '7'}, drawn, None)
