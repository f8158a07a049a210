"""Music as tones: MIDI read and written, C-RNN-GAN's statistics, its networks, the rule by which D rests."""

import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

import gan_jax
from gan_jax import config as config_lib
from gan_jax import evaluate, runs, sample
from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.data import tones as tones_lib
from gan_jax.data.columns import Tones
from gan_jax.data.sources import midi as midi_lib
from gan_jax.data.streams import Stream
from gan_jax.games.crnngan import CRNNGAN
from gan_jax.games.parts import drawn
from gan_jax.latents.distributions import Uniform
from gan_jax.metrics import music
from gan_jax.nets import crnngan
from gan_jax.sampling import files
from gan_jax.training import loop

KEY = jax.random.key(0)
#: A chord of a quarter, a pause of one, a long soft tone.
PIECE = np.array([[0, 1, 60, 90], [0, 1, 64, 90], [2, 4, 67, 30]], np.float32)


def columns(length):
  return {'tones': {'name': 'Tones', 'length': length}}


# MIDI


def test_tones_are_written_and_read_back():
  pytest.importorskip('mido')
  data = tones_lib.midi_of(PIECE)
  assert data[:4] == b'MThd'
  np.testing.assert_array_equal(tones_lib.read_midi(data), PIECE)
  silent = np.concatenate([PIECE, [[1, 0, 60, 90], [1, 1, 60, 0]]])  # without a length, without an intensity
  np.testing.assert_array_equal(tones_lib.read_midi(tones_lib.midi_of(silent)), PIECE)
  assert tones_lib.read_midi(tones_lib.midi_of(PIECE[:0])).shape == (0, 4)
  # From 0 to 1 as networks have them, through the writer of samples.
  scaled = np.asarray(Tones(length=3).prepare(jnp.asarray(PIECE[None]), KEY))
  assert scaled.min() == 0 and scaled.max() == 1
  np.testing.assert_allclose(tones_lib.unscaled(scaled)[0], PIECE, atol=1e-6)


def test_tones_of_one_pitch_may_overlap():
  mido = pytest.importorskip('mido')
  # One inside another, one of the same time, then one as soon as those end, and other pitches meanwhile.
  piece = np.array(
    [[0, 1, 60, 40], [0, 4, 60, 90], [0, 2, 64, 50], [1, 1, 60, 30], [2, 3, 60, 20], [1, 1, 60, 10]], np.float32
  )
  data = tones_lib.midi_of(piece)
  np.testing.assert_array_equal(tones_lib.read_midi(data), piece)
  (track,) = mido.MidiFile(file=io.BytesIO(data)).tracks
  assert [message.channel for message in track if message.type == 'note_on'] == [0, 0, 1, 0, 0, 1]
  # Fifteen channels have tones: of sixteen the one that would end first ends where the last begins.
  crowd = np.array([[0.25, 20 - i, 60, 1 + i] for i in range(16)], np.float32)
  wanted = crowd.copy()
  wanted[14, 1], wanted[0, 0] = 0.25, 0
  data = tones_lib.midi_of(crowd)
  np.testing.assert_array_equal(tones_lib.read_midi(data), wanted)
  (track,) = mido.MidiFile(file=io.BytesIO(data)).tracks
  assert {message.channel for message in track if message.type == 'note_on'} == {*range(16)} - {9}
  long = np.concatenate([crowd[:15], [[4, 30, 60, 9]]])  # behind it nothing ends it: the one before is ended once
  assert [30, 9] in tones_lib.read_midi(tones_lib.midi_of(long))[:, [1, 3]].tolist()
  crowd[:, 0] = 0
  assert len(tones_lib.read_midi(tones_lib.midi_of(crowd))) == 15  # all at once: the shortest has no time to sound


def test_midi_of_others(tmp_path):
  mido = pytest.importorskip('mido')
  file = mido.MidiFile(ticks_per_beat=10)
  message = lambda kind, note, velocity, time, channel=0: mido.Message(
    kind, note=note, velocity=velocity, time=time, channel=channel
  )
  file.tracks.append(
    mido.MidiTrack(
      [
        mido.MetaMessage('set_tempo', tempo=300_000, time=5),
        message('note_on', 50, 10, 5),
        message('note_on', 35, 99, 0, channel=9),  # a drum
        message('note_on', 50, 20, 10),  # struck again
        message('note_on', 50, 0, 20),  # ends
      ]
    )
  )
  file.tracks.append(mido.MidiTrack([message('note_on', 70, 30, 15)]))  # never ends: a quarter
  out = io.BytesIO()
  file.save(file=out)
  wanted = [[0, 1, 50, 10], [0.5, 1, 70, 30], [0.5, 2, 50, 20]]
  np.testing.assert_array_equal(tones_lib.read_midi(out.getvalue()), wanted)
  with pytest.raises(UserError, match=r'x.mid is no MIDI file .*: remove it'):
    tones_lib.read_midi(b'no music', 'x.mid')


def test_a_folder_of_midi_files(tmp_path):
  pytest.importorskip('mido')
  for i in range(20):
    count = 5 if i % 2 else 2
    (tmp_path / f'{i:02d}.mid').write_bytes(tones_lib.midi_of(np.array([[1, 1, 40 + i, 80]] * count, np.float32)))
  open_ = lambda split: Stream(name='midi', path=str(tmp_path), split=split, columns=columns(2)).open()
  source = open_('train')
  assert [len(open_(split)) for split in ('train', 'test')] == [10 * 1 + 8 * 2, 2 * 2]
  assert set(np.unique([open_('test')[i]['tones'][:, 2] for i in range(4)])) == {49, 59}  # every tenth file
  np.testing.assert_array_equal(source[0]['tones'], [[0, 1, 40, 80], [1, 1, 40, 80]])
  for split in ('train', 'test'):
    (tmp_path / split).mkdir()
  (tmp_path / '00.mid').rename(tmp_path / 'test' / 'a.MID')
  assert len(Stream(name='midi', path=str(tmp_path), split='test', columns=columns(3)).open()) == 1  # with silence
  with pytest.raises(UserError, match='has no MIDI file with tones'):
    Stream(name='midi', path=str(tmp_path), columns=columns(4)).open()
  with pytest.raises(UserError, match='needs a column of tones'):
    Stream(name='midi', path=str(tmp_path), columns={'x': {'name': 'Array', 'column': 'tones'}}).open()


def test_links_are_followed_but_never_in_a_circle(tmp_path):
  for folder in ('set', 'more'):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / 'a.mid').write_bytes(b'')
  (tmp_path / 'set' / 'loop').symlink_to(tmp_path / 'set', target_is_directory=True)
  (tmp_path / 'set' / 'other').symlink_to(tmp_path / 'more', target_is_directory=True)
  files = midi_lib._files(epath.Path(tmp_path / 'set'))
  assert [str(file.relative_to(tmp_path)) for file in files] == ['set/a.mid', 'set/other/a.mid']


def test_melodies_are_of_one_scale_and_repeat():
  stream = Stream(name='melodies', columns=columns(20))
  source = stream.open()
  assert len(source) == 2000 and source[0]['tones'].shape == (20, 4)
  pitches = np.stack([source[i]['tones'][:, 2] for i in range(50)])
  assert all(music.scale_consistency(row) == 1.0 for row in pitches)
  assert pitches.min() >= 0 and pitches.max() <= 127
  with pytest.raises(UserError, match='split of melodies'):
    Stream(name='melodies', split='all', columns=columns(20)).open()


# The statistics


def test_statistics_of_melodies_written_by_hand():
  c_major = np.array([60, 62, 64, 65, 67, 69, 71, 72])
  assert music.scale_consistency(c_major) == 1.0
  assert music.scale_consistency(np.arange(60, 72)) == 7 / 12
  assert music.scale_consistency(np.array([57, 59, 60, 62, 64, 65, 68])) == 1.0  # a, harmonic minor
  assert music.repetitions(c_major) == 0
  assert music.repetitions(np.array([1, 2, 3, 4, 1, 2, 3])) == 1
  assert music.repetitions(np.array([1, 1, 1, 1])) == 0  # the runs at 0 and 1 overlap
  assert music.repetitions(np.array([1] * 6)) == 1
  assert music.repetitions(np.array([1, 2])) == 0
  assert music.span(c_major) == 12
  sounding, times = tones_lib.heard(PIECE)
  assert times.tolist() == [0, 0, 2] and music.polyphony(times) == pytest.approx(2 / 3)
  # A silent tone keeps its time.
  _, times = tones_lib.heard(np.array([[0, 1, 60, 90], [1, 0, 60, 90], [1, 1, 60, 90]]))
  assert times.tolist() == [0, 2]
  assert len(sounding) == 3


# The networks


def test_the_generator_hears_its_own_tones_or_those_that_are_given():
  network = crnngan.Generator(hidden=4, layers=1, dropout=0.5)
  z = jax.random.uniform(KEY, (3, 6, 4))
  variables = network.init({'params': KEY, 'dropout': KEY}, z, train=True)
  own = network.apply(variables, z, train=False)
  assert own.shape == (3, 5, 4)
  told = network.apply(variables, z, train=False, given=own)
  np.testing.assert_allclose(told, own, rtol=1e-6, atol=1e-7)
  other = network.apply(variables, z, train=False, given=own.at[:, 2].add(1.0))
  np.testing.assert_array_equal(other[:, :3], told[:, :3])  # what comes before does not hear it
  assert (other[:, 3] != told[:, 3]).any()


def test_the_discriminator_hears_both_ways():
  network = crnngan.Discriminator(hidden=4, layers=1, dropout=0.0)
  tones = jax.random.uniform(KEY, (2, 5, 4))
  variables = network.init({'params': KEY, 'dropout': KEY}, tones, train=True)
  logits, heard = network.apply(variables, tones, train=False, features=True)
  assert logits.shape == (2,) and heard.shape == (2, 5, 8)
  _, changed = network.apply(variables, tones.at[:, 2].add(1.0), train=False, features=True)
  forward, backward = np.abs(changed - heard)[..., :4].sum((0, 2)), np.abs(changed - heard)[..., 4:].sum((0, 2))
  assert (forward[:2] == 0).all() and (forward[2:] > 0).all() and (backward[3:] == 0).all() and (backward[:3] > 0).all()
  decision = variables['params']['decision']
  each = jax.nn.sigmoid(heard @ decision['kernel'] + decision['bias'].reshape(1, 1, 1))[..., 0]
  np.testing.assert_allclose(jax.nn.sigmoid(logits), each.mean(1), rtol=1e-5)


def test_the_discriminator_rests_by_the_ratio_of_losses():
  pretrained, both = (stage.game for stage in runs.stages_of(config_lib.load('configs/crnngan.py')))
  assert [turn.movers for turn in pretrained.turns] == [('generator',)] and pretrained.frozen == ('discriminator',)
  measure, judge, generator = both.turns
  assert measure.movers == () and measure.when is None and judge.share == 'batch' and generator.when is None
  game = CRNNGAN(
    crnngan.Generator(hidden=3, layers=1, dropout=0.0), crnngan.Discriminator(hidden=3, layers=1, dropout=0.0),
    Uniform((4, 4), 0.0, 1.0),
  )  # fmt: skip
  batch = {'latents': jax.random.uniform(KEY, (2, 4, 4)), 'images': {'tones': jax.random.uniform(KEY, (2, 3, 4))}}
  keys = dict.fromkeys(('params', 'noise', 'dropout'), KEY)
  (found, metrics), variables = game.init_with_output(keys, batch, method='measure')
  logits = lambda tones: game.apply(variables, tones, method='logits')
  real, fake = logits(batch['images']['tones']), logits(game.apply(variables, batch, method='sample'))
  loss = jax.nn.softplus(-real).mean() + jax.nn.softplus(fake).mean()
  np.testing.assert_allclose(found, loss, rtol=1e-5)
  np.testing.assert_allclose(metrics['loss_ratio'], loss / jax.nn.softplus(-fake).mean(), rtol=1e-5)
  found = game.apply(variables, batch, method='discriminator_loss', rngs={'dropout': KEY})
  np.testing.assert_allclose(found, loss, rtol=1e-5)
  awake = lambda ratio: bool(judge.when(None, {'table': {'ratio': jnp.float32(ratio)}}))
  assert [awake(0.69), awake(0.71)] == [False, True]


def test_feature_matching_compares_what_the_discriminator_hears():
  networks = crnngan.Generator(hidden=3, layers=1, dropout=0.0), crnngan.Discriminator(hidden=3, layers=1, dropout=0.0)
  game = CRNNGAN(*networks, Uniform((4, 4), 0.0, 1.0), feature_matching=True)
  assert game.turns[2].streams is None and game.clone(feature_matching=False).turns[2].streams == ()
  batch = {'latents': jax.random.uniform(KEY, (2, 4, 4)), 'images': {'tones': jax.random.uniform(KEY, (2, 3, 4))}}
  keys = dict.fromkeys(('params', 'noise', 'dropout'), KEY)
  found, variables = game.init_with_output(keys, batch, method='generator_loss')
  hear = lambda tones: network_of(networks[1], variables)(tones, train=False, features=True)[1]
  made = game.apply(variables, batch, method='sample')
  wanted = ((hear(batch['images']['tones']).mean(0) - hear(made).mean(0)) ** 2).sum()
  np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_networks_hear_scaled_tones_and_samples_are_from_0_to_1():
  networks = crnngan.Generator(hidden=3, layers=1, dropout=0.0), crnngan.Discriminator(hidden=3, layers=1, dropout=0.0)
  game, plain = (CRNNGAN(*networks, Uniform((4, 4), 0.0, 1.0), scale=scale) for scale in (5.0, 1.0))
  tones = jax.random.uniform(KEY, (2, 3, 4))
  batch = {'latents': jax.random.uniform(KEY, (2, 4, 4)), 'images': {'tones': tones}}
  larger = batch | {'images': {'tones': 5 * tones}}
  keys = dict.fromkeys(('params', 'noise', 'dropout'), KEY)
  variables = game.init(keys, batch, method='measure')
  for method in ('measure', 'discriminator_loss', 'generator_loss', 'pretraining_loss'):
    of = lambda game, batch, method=method: game.apply(
      variables, batch, method=method, rngs={'dropout': KEY}, mutable=['table']
    )[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), of(game, batch), of(plain, larger))
  of = lambda game, method, x: game.apply(variables, x, method=method)
  np.testing.assert_allclose(5 * of(game, 'sample', batch), of(plain, 'sample', batch), rtol=1e-5)
  np.testing.assert_allclose(of(game, 'logits', tones), of(plain, 'logits', 5 * tones), rtol=1e-5)


def network_of(network, variables):
  return lambda *inputs, **options: network.apply({'params': variables['params']['discriminator']}, *inputs, **options)


# A run


@pytest.mark.slow
def test_a_run_of_melodies_to_midi_files(tmp_path):
  """Pre-training, both, figures, ten files read back, a picture."""
  config = config_lib.override(
    config_lib.load('configs/crnngan.py:digits'),
    [
      '--config.game.generator.hidden=8',
      '--config.game.discriminator.hidden=8',
      "--config.stages=({'steps': 20, 'game': {'pretraining': True}}, {'steps': 2})",
      '--config.devices=1',
      '--config.sample_every=0',
      '--config.checkpoint_every=0',
    ],
  )
  workdir = tmp_path / 'run'
  loop.run(config, workdir, silent=True)
  command.main(evaluate._define, evaluate._run, '', ['--workdir', str(workdir), '--samples=40'])
  figures = json.loads((workdir / 'evaluation.json').read_text())['figures']
  assert {'scale_consistency', 'repetitions', 'tone_span', 'polyphony', 'intensity_span'} <= set(figures)
  assert figures['scale_consistency_real']['value'] == 1.0
  assert figures['tone_span_real']['value'] > 0
  made = gan_jax.load(workdir).sample(10)
  if pytest.importorskip('mido'):
    out = tmp_path / 'music'
    files.write({'': made}, {'': (0.0, 1.0)}, 'midi', out)
    command.main(
      sample._define, sample._run, '', ['--workdir', str(workdir), '--count=1', '--format=midi', f'--out={out}2']
    )
    for i, tones in enumerate(tones_lib.unscaled(made)):
      sounding, times = tones_lib.heard(tones)
      read = tones_lib.read_midi((out / f'{i:06d}.mid').read_bytes())
      assert len(read) <= len(sounding)  # tones of one pitch that begin at once are one
      assert set(read[:, 2]) == set(sounding[:, 2]) and np.isclose(read[:, 0].sum(), np.ptp(times))
  assert drawn.piano_rolls(np.asarray(made)).size == (512, 8 * 128 + 7 * 6)
