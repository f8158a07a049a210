"""Outputs that fail never stop a training; any other error saves the last good state first, and is one line."""

import errno
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax import config as config_lib
from gan_jax import main, runs
from gan_jax.base import console, progress
from gan_jax.base.errors import UserError
from gan_jax.data.feed import Feed
from gan_jax.distributed import interrupt
from gan_jax.evaluation import measures
from gan_jax.runs import checkpoint
from gan_jax.sampling import pictures, sheets
from gan_jax.training import calls, diagnostics, hooks, sample_grids, writers
from gan_jax.training import loop as train

ROOT = pathlib.Path(gan_jax.__path__[0]).parent
SMALL = [
  '--config.game.generator.hidden=(8,)',
  '--config.game.discriminator.hidden=(8,)',
  '--config.batch_size=8',
  '--config.devices=1',
  '--config.log_every=1',
  '--config.sample_every=0',
  '--config.checkpoint_every=0',
  '--config.samples=4',
]
RING = ['--config', 'configs/gan.py:ring', *SMALL]
EVALUATED = [
  '--config.game.generator.hidden=(8,)',
  '--config.game.discriminator.units=(8,)',
  '--config.game.discriminator.dropout=(0.2,0.5)',
  *SMALL[2:],
  '--config.eval.every=2',
  '--config.eval.features=raw',
  "--config.eval.metrics=('swd',)",
  '--config.eval.samples=20',
  '--config.steps=4',
]


def small(*more, steps=4):
  return config_lib.override(config_lib.load('configs/gan.py:ring'), [*SMALL, f'--config.steps={steps}', *more])


def steps_of(folder):
  return [json.loads(line)['step'] for line in (folder / 'metrics.jsonl').read_text().splitlines()]


def full(*_, **__):
  raise OSError(errno.ENOSPC, 'No space left on device')


class DeadPipe(io.StringIO):
  """What nobody reads any more, from some line on."""

  def __init__(self, lines=0):
    super().__init__()
    self._lines = lines

  def write(self, text):
    if self.getvalue().count('\n') >= self._lines:
      raise BrokenPipeError(errno.EPIPE, 'Broken pipe')
    return super().write(text)


# The console


def test_what_a_terminal_cannot_show_is_escaped(monkeypatch):
  out = io.TextIOWrapper(io.BytesIO(), 'ascii')
  monkeypatch.setattr(sys, 'stdout', out)
  assert console.say('каша/caf\udce9.png')
  assert out.buffer.getvalue() == rb'\u043a\u0430\u0448\u0430/caf\udce9.png' + b'\n'


def test_nobody_prints_but_the_console():
  for file in pathlib.Path(gan_jax.__path__[0]).rglob('*.py'):
    found = re.findall(r'^(?!.*(?:>>>|\.\.\.)).*\bprint\(', file.read_text(), re.M)
    assert bool(found) == (file.name == 'console.py'), (file, found)


@pytest.mark.parametrize('stream', [DeadPipe(), None])
def test_lines_that_nobody_reads_are_no_error(monkeypatch, stream):
  monkeypatch.setattr(sys, 'stdout', stream)
  assert not console.say('a line')
  main.main(['--list'])


def test_a_command_whose_reader_leaves_ends_quietly():
  process = subprocess.Popen(
    [sys.executable, '-m', 'gan_jax.main', '--list'], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
  )
  process.stdout.close()
  assert (process.stderr.read(), process.wait()) == (b'', 0)
  process.stderr.close()


def test_a_training_goes_on_without_a_console(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(sys, 'stdout', DeadPipe(lines=3))
  train.run(small(), tmp_path / 'run')
  assert gan_jax.load(tmp_path / 'run').step == 4
  assert capsys.readouterr().err.splitlines() == [
    'note: standard output cannot be written: the training goes on without it'
  ]


# Files


def test_what_a_run_writes_is_in_tensorboard_too(tmp_path, monkeypatch):
  from tensorboardX.event_file_writer import EventsWriter

  events = []
  monkeypatch.setattr(EventsWriter, 'write_event', lambda self, event: events.append(event))
  train.run(small('--config.sample_every=2'), tmp_path / 'run')
  rows = {row['step']: row for row in map(json.loads, (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines())}
  told, shown = {}, set()
  for event in events:
    for value in event.summary.value:
      if value.HasField('image'):
        shown.add(event.step)
        assert Image.open(io.BytesIO(value.image.encoded_image_string)).size[0] > 100
      else:
        told.setdefault(event.step, {})[value.tag] = value.simple_value
  assert told.keys() == rows.keys() and shown == {2, 4}
  for step, row in rows.items():
    assert told[step] == pytest.approx({name: value for name, value in row.items() if name != 'step'}, rel=1e-5)


def test_the_last_grid_is_of_averages_and_diversity_of_weights_as_they_are(tmp_path):
  folder = tmp_path / 'run'
  train.run(small('--config.ema.generator=0.9', '--config.optimizers.generator.learning_rate=0.05'), folder)
  run = gan_jax.load(folder)
  made = {ema: run.sample(run.config.samples, seed=run.config.seed, ema=ema) for ema in (True, False)}
  assert np.abs(made[True] - made[False]).max() > 1e-3
  drawn = {}
  for ema, samples in made.items():
    sheets_of = sheets.sheets(run.stage, samples, None, real=True)
    (drawn[ema],) = (np.asarray(picture) for picture in sheets_of.values())
  (last,) = (folder / 'samples').glob('*4.png')
  np.testing.assert_array_equal(np.asarray(Image.open(last)), drawn[True])
  assert (drawn[True] != drawn[False]).any()
  row = json.loads((folder / 'metrics.jsonl').read_text().splitlines()[-1])
  data = sample_grids._spread_examples(run.stage.streams['images'], 4 * run.config.samples)['image']
  expected = {ema: diagnostics.diversity(samples, data) for ema, samples in made.items()}
  assert row['sample_diversity'] == pytest.approx(expected[False], rel=1e-5) != pytest.approx(expected[True], rel=1e-5)


def test_speeds_are_of_the_steps_and_the_time_since_the_last_row(monkeypatch):
  stage = runs.stages_of(small())[0]
  session = types.SimpleNamespace(experiment=types.SimpleNamespace(views=(0, 1)))
  own = types.SimpleNamespace(_steps=30, _since=100.0, _stage=stage, _session=session)
  monkeypatch.setattr(calls.time, 'perf_counter', lambda: 104.0)
  images = stage.images[1] * 2  # of two members
  assert calls.Calls.rates(own) == {'steps_per_second': 7.5, 'images_per_second': 7.5 * images}
  assert calls.Calls.rates(types.SimpleNamespace(_steps=0)) == {}


def test_a_training_goes_on_without_tensorboard(tmp_path, monkeypatch, capsys):
  from tensorboardX.event_file_writer import EventsWriter

  written, original = [], EventsWriter.write_event

  def write(self, event):
    written.append(1)
    return original(self, event) if len(written) < 5 else full()

  monkeypatch.setattr(EventsWriter, 'write_event', write)
  train.run(small(steps=6), tmp_path / 'run')
  said = capsys.readouterr().out
  assert said.count('warning: writing TensorBoard failed (OSError: [Errno 28] No space left') == 1
  assert gan_jax.load(tmp_path / 'run').step == 6 and steps_of(tmp_path / 'run') == [1, 2, 3, 4, 5, 6]
  assert 'in full' in (tmp_path / 'run' / 'errors.txt').read_text(), 'the traceback is kept'


def test_rows_that_a_full_disk_refused_are_written_later(tmp_path, monkeypatch, capsys):
  original = writers.Writer._write_rows

  def write(self):
    last = json.loads(self._unwritten[-1])['step']
    if last in (2, 3):
      with self._file.open('a') as file:
        file.write('{"step": 2, "half')
      os.truncate(self._file, self._file.stat().length - 17)
      full()
    original(self)

  monkeypatch.setattr(writers.Writer, '_write_rows', write)
  train.run(small(), tmp_path / 'run')
  assert steps_of(tmp_path / 'run') == [1, 2, 3, 4]
  assert capsys.readouterr().out.count('warning: writing metrics.jsonl failed') == 1


def test_half_a_row_is_taken_back(tmp_path):
  import resource

  writer = writers.Writer(gan_jax.training.loop.epath.Path(tmp_path), 0, 10, silent=True)
  writer.metrics(1, {'loss': 1.0}, {})
  size = (tmp_path / 'metrics.jsonl').stat().st_size
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, before[1]))
    writer.metrics(2, {'loss': 2.0}, {})
    assert (tmp_path / 'metrics.jsonl').stat().st_size == size
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)
  writer.metrics(3, {'loss': 3.0}, {})
  writer.close()
  assert steps_of(tmp_path) == [1, 2, 3]


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_a_bar_shows_what_takes_long_on_a_terminal_only(monkeypatch):
  monkeypatch.setattr(progress, 'DELAY', 0.0)
  shown = {}
  for stream in (io.StringIO(), Terminal(), None):
    monkeypatch.setattr(sys, 'stderr', stream)
    assert list(progress.shown(iter('abc'), 3, 'letters')) == ['a', 'b', 'c']
    shown[type(stream)] = stream and stream.getvalue()
  assert shown[io.StringIO] == '' and 'letters' in shown[Terminal] and '3' in shown[Terminal]
  monkeypatch.setattr(progress, 'DELAY', 60.0)
  monkeypatch.setattr(sys, 'stderr', Terminal())
  assert list(progress.shown('abc', 3, 'letters')) == ['a', 'b', 'c'] and sys.stderr.getvalue() == ''


def test_a_terminal_that_is_gone_stops_no_work(monkeypatch):
  monkeypatch.setattr(progress, 'DELAY', 0.0)
  terminal = Terminal()
  monkeypatch.setattr(sys, 'stderr', terminal)
  found = []
  for item in progress.shown('abc', 3, 'letters'):
    found.append(item)
    terminal.close()
  assert found == ['a', 'b', 'c']


class FakeWandb:
  """What of wandb is called, with what it is told."""

  def __init__(self, fails=False):
    self.told, self.fails, self.Image = [], fails, lambda pixels: pixels.shape

  def init(self, **settings):
    self.told.append(('init', settings))
    return self

  def define_metric(self, name, **settings):
    self.told.append(('metric', name, settings))

  def log(self, values):
    if self.fails:
      raise ConnectionError('no network')
    self.told.append(('log', values['step'], values))

  def finish(self):
    self.told.append(('finish',))


def test_wandb_gets_settings_metrics_and_pictures_and_a_resumed_run_goes_on(tmp_path, monkeypatch):
  fake = FakeWandb()
  monkeypatch.setitem(sys.modules, 'wandb', fake)
  settings = ('--config.wandb=gans', '--config.sample_every=2')
  train.run(small(*settings, '--config.steps=2'), tmp_path / 'run', silent=True)
  train.run(small(*settings), tmp_path / 'run', silent=True)
  inits = [told[1] for told in fake.told if told[0] == 'init']
  assert [one['project'] for one in inits] == ['gans', 'gans'] and len({one['id'] for one in inits}) == 1
  assert all(one['resume'] == 'allow' and one['dir'] == str(tmp_path / 'run') for one in inits)
  assert inits[0]['config']['batch_size'] == small().batch_size
  logged = [told[1:] for told in fake.told if told[0] == 'log']
  assert sorted({step for step, _ in logged}) == [1, 2, 3, 4]
  assert any('discriminator_loss' in values for _, values in logged)
  assert any(shape[-1] == 3 for _, values in logged for shape in values.values() if isinstance(shape, tuple))
  assert [told[0] for told in fake.told].count('finish') == 2
  # W&B drops what comes with a step of its own that is not above the last: ours is the axis, so that it may come again.
  assert ('metric', '*', {'step_metric': 'step'}) in fake.told


def test_a_training_goes_on_without_wandb_which_is_asked_for_before_it_starts(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'wandb', FakeWandb(fails=True))
  train.run(small('--config.wandb=gans'), tmp_path / 'run')
  assert capsys.readouterr().out.count('warning: writing wandb failed (ConnectionError: no network)') == 1
  assert steps_of(tmp_path / 'run') == [1, 2, 3, 4] and any((tmp_path / 'run' / 'tensorboard').iterdir())
  monkeypatch.setitem(sys.modules, 'wandb', None)
  with pytest.raises(UserError, match=r'config\.wandb needs wandb.*pip install'):
    train.run(small('--config.wandb=gans'), tmp_path / 'none')
  assert not (tmp_path / 'none').exists()


def test_a_training_goes_on_without_pictures(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(pictures, 'write', full)
  train.run(small('--config.sample_every=2'), tmp_path / 'run')
  assert capsys.readouterr().out.count('warning: a picture of samples failed') == 1
  assert gan_jax.load(tmp_path / 'run').step == 4


def test_a_training_goes_on_without_an_evaluation(tmp_path, monkeypatch, capsys):
  def breaks(evidence):
    raise ZeroDivisionError('of today')

  monkeypatch.setitem(measures.MEASURES, 'swd', breaks)
  train.run(config_lib.override(config_lib.load('configs/gan.py:digits'), EVALUATED), tmp_path / 'run')
  said = capsys.readouterr().out
  assert said.count('warning: the evaluation failed (ZeroDivisionError: of today): the training goes on without') == 1
  assert gan_jax.load(tmp_path / 'run').step == 4
  assert 'in breaks' in (tmp_path / 'run' / 'errors.txt').read_text()


# Errors between a step and a save


def vanishing(stream):
  """A source of which a file vanishes."""

  class Source:
    notes = ()

    def __len__(self):
      return 64

    def __getitem__(self, index):
      if index == 9:
        raise FileNotFoundError(errno.ENOENT, 'No such file', 'photos/nine.png')
      return {'image': np.full(2, index, np.float32)}

  return Source()


def test_an_example_that_vanished_ends_the_run_when_it_is_saved(tmp_path, monkeypatch, capsys):
  closed, original = [], Feed.close
  monkeypatch.setattr(Feed, 'close', lambda self: closed.append(original(self)))
  arguments = [*RING, '--config.data.name=test_outputs.vanishing', '--config.data.resident=False']
  with pytest.raises(SystemExit) as stop:
    main.main([*arguments, '--config.batch_size=2', '--config.steps=40', '--workdir', str(tmp_path / 'run')])
  said = capsys.readouterr()
  assert stop.value.code == 2 and len(closed) == 1
  assert said.err.count('\n') == 1 and "example 9 of stream 'images' cannot be read" in said.err
  assert 'photos/nine.png' in said.err
  run = gan_jax.load(tmp_path / 'run')
  assert 0 < run.step < 32 and run.step == steps_of(tmp_path / 'run')[-1]
  assert f'saved step {run.step}, the last before an error' in said.out
  place = checkpoint.Checkpoints(tmp_path / 'run').place(run.step)
  assert place.position == {'images': 2 * run.step}, 'it goes on with the batch that failed'


def test_any_error_saves_first_and_is_one_line(tmp_path, monkeypatch, capsys):
  original = diagnostics.watch

  def watch(known, step, *arguments, **settings):
    if step == 3:
      error = RuntimeError('not\nforeseen')
      error.add_note('JAX has removed its internal frames')  # as it does
      raise error
    return original(known, step, *arguments, **settings)

  monkeypatch.setattr(diagnostics, 'watch', watch)
  arguments = [*RING, '--config.steps=6', '--workdir', str(tmp_path / 'run')]
  with pytest.raises(SystemExit) as stop:
    main.main(arguments)
  line = f'error: RuntimeError: not foreseen; the traceback is in {tmp_path}/run/errors.txt\n'
  assert stop.value.code == 1 and capsys.readouterr().err == line
  assert gan_jax.load(tmp_path / 'run').step == 3
  assert 'in watch' in (tmp_path / 'run' / 'errors.txt').read_text()
  monkeypatch.setattr(diagnostics, 'watch', lambda *_, **__: 1 / 0)
  for number, flag in enumerate(('--debug', '--debug=true')):
    with pytest.raises(ZeroDivisionError):
      main.main([*arguments, flag])
    assert gan_jax.load(tmp_path / 'run').step == 4 + number


def test_a_save_that_failed_is_tried_once_more(tmp_path, monkeypatch):
  """The disk has room again, or the folder that somebody removed is made anew."""
  original, calls = checkpoint.Checkpoints.save, []

  def save(self, state, place, metrics=None):
    calls.append(place.step)
    if len(calls) == 2:
      raise UserError('cannot write a checkpoint')
    original(self, state, place, metrics)

  monkeypatch.setattr(checkpoint.Checkpoints, 'save', save)
  with pytest.raises(UserError, match='cannot write'):
    train.run(small('--config.checkpoint_every=2', steps=6), tmp_path / 'run', silent=True)
  assert calls == [2, 4, 4] and gan_jax.load(tmp_path / 'run').step == 4


def test_a_state_that_is_not_finite_is_not_saved_for_an_error(tmp_path):
  huge = '--config.optimizers.generator.learning_rate=1e38'
  with pytest.raises(UserError, match='training stopped'):
    train.run(small(huge, steps=50), tmp_path / 'run', silent=True)
  assert not checkpoint.Checkpoints(tmp_path / 'run').steps()


# Signals


def test_a_signal_in_an_evaluation_leaves_it_and_saves(tmp_path, monkeypatch, capsys):
  def long(evidence):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)

  monkeypatch.setitem(measures.MEASURES, 'swd', long)
  since = time.monotonic()
  with pytest.raises(interrupt.Stopped) as stop:
    train.run(config_lib.override(config_lib.load('configs/gan.py:digits'), EVALUATED), tmp_path / 'run')
  assert stop.value.code == 130 and time.monotonic() - since < 55
  assert gan_jax.load(tmp_path / 'run').step == 2
  said = capsys.readouterr()
  assert 'SIGINT: stopped after step 2 of 4' in said.out and 'warning' not in said.out and not said.err


def test_a_signal_while_samples_are_drawn_begins_no_evaluation(tmp_path, monkeypatch):
  evaluated = []
  monkeypatch.setitem(measures.MEASURES, 'swd', evaluated.append)
  monkeypatch.setattr(hooks.Samples, '__call__', lambda hook, moment: os.kill(os.getpid(), signal.SIGTERM))
  settings = [*EVALUATED, '--config.sample_every=2']
  with pytest.raises(interrupt.Stopped):
    train.run(config_lib.override(config_lib.load('configs/gan.py:digits'), settings), tmp_path / 'run')
  assert not evaluated and gan_jax.load(tmp_path / 'run').step == 2


@pytest.mark.skipif(not hasattr(signal, 'SIGHUP'), reason='signals of POSIX')
def test_signals_are_noted_from_the_first_step_on_and_once():
  own = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run below nohup
  before = {number: signal.getsignal(number) for number in interrupt.SIGNALS}
  assert signal.SIGHUP in before
  with interrupt.Watch() as watch:
    assert {number: signal.getsignal(number) for number in before} == before
    watch.begin()
    os.kill(os.getpid(), signal.SIGHUP)
    assert watch.stopped == 'SIGHUP'
    for number in (signal.SIGHUP, signal.SIGTERM):
      os.kill(os.getpid(), number)  # nothing: they come twice
    assert watch.stopped == 'SIGHUP'
    assert signal.getsignal(signal.SIGINT) == before[signal.SIGINT], 'Ctrl-C acts as it would without'
  assert {number: signal.getsignal(number) for number in before} == before
  ignoring = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
  try:
    with interrupt.Watch() as watch:
      watch.begin()
      os.kill(os.getpid(), signal.SIGHUP)
      assert not watch.stopped
    assert {number: signal.getsignal(number) for number in before} == {**before, signal.SIGHUP: signal.SIG_IGN}
  finally:
    signal.signal(signal.SIGHUP, ignoring)
    signal.signal(signal.SIGHUP, own)


def test_ctrl_c_ends_a_command_without_a_traceback():
  code = (
    'import os, signal; from gan_jax.base import command\n'
    'signal.signal(signal.SIGINT, signal.default_int_handler)\n'  # a job in the background ignores it
    'command.main(lambda values: None, lambda *_: os.kill(os.getpid(), signal.SIGINT), "")'
  )
  process = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
  assert (process.returncode, process.stderr) == (-signal.SIGINT, '')


# What is wrong before anything begins


def test_a_wrong_platform_is_one_line():
  command = [sys.executable, '-m', 'gan_jax.main', *RING, '--dry_run']
  process = subprocess.run(
    command, cwd=ROOT, env={**os.environ, 'JAX_PLATFORMS': 'abacus'}, capture_output=True, text=True
  )
  assert process.returncode == 2 and process.stderr.count('\n') == 1
  assert process.stderr.startswith("error: JAX_PLATFORMS='abacus' gives no device")


@pytest.mark.parametrize(
  ('name', 'text', 'words'),
  [
    ('a.txt', '', ['a.txt', '.py']),
    ('b.py', 'VARIANTS = "x",\n\nnothing_of_that_name', ['b.py', 'line 3', 'nothing_of_that_name']),
    ('c.py', 'VARIANTS = "x",\ndef get_config(variant):\n  return 1 / 0', ['c.py', 'line 3', 'division by zero']),
    ('d.py', 'VARIANTS = "x",\ndef get_config(variant):\n  return {}', ['d.py', 'dict', 'base']),
    ('e.py', 'def f(:', ['e.py', 'does not load']),
  ],
)
def test_a_config_file_that_does_not_work_is_one_line(tmp_path, name, text, words):
  (tmp_path / name).write_text(text)
  with pytest.raises(UserError) as error:
    config_lib.load(str(tmp_path / name))
  assert all(word in str(error.value) for word in words), error.value
