"""The commands as a person meets them: help, lists, dry runs, and one clear line for whatever is wrong."""

import os
import pathlib
import socket
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax import config as config_lib
from gan_jax import convert, evaluate, main, sample
from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.distributed import parallel
from gan_jax.nets.layers import conv
from gan_jax.runs import imported
from gan_jax.runs.experiment import experiment_of
from gan_jax.training import summary

HERE = pathlib.Path(__file__).parent
QUICK = ['--config', 'configs/quickstart.py', '--config.devices=1', '--config.steps=1']
TINY = [
  *QUICK,
  '--config.steps=2',
  '--config.batch_size=8',
  '--config.game.generator.channels=(8,8)',
  '--config.game.discriminator.channels=(8,8)',
  '--config.devices=1',
]


def fails(arguments, capsys, command=main.main):
  with pytest.raises(SystemExit) as stop:
    command(arguments)
  out = capsys.readouterr()
  assert stop.value.code == 2
  lines = out.err.strip().splitlines()
  assert len(lines) == 1 and lines[0].startswith('error: '), out.err
  return lines[0]


CONDITIONAL = """
import flax.linen as nn
from gan_jax import config as config_lib
from gan_jax.game import Turn
from gan_jax.data.latents import Normal

VARIANTS = ('default',)

class Conditional(nn.Module):
  generator: nn.Module
  latents: Normal = Normal((4,))
  turns = (Turn(('generator',), 'loss'),)

  def loss(self, batch):
    return self.generator(batch['latents'], train=True).mean() * batch['images']['label'].mean()

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)
"""

BAD = [
  # arguments, words that the line must have
  ([], ['--config', 'missing']),
  (['--config', 'configs/nothing.py'], ['configs/nothing.py', 'configs/quickstart.py']),
  (['--config', 'configs/dcgan.py:imagenet'], ['imagenet', 'mnist', 'celeb_a']),
  ([*QUICK, '--nonsense'], ['--nonsense']),
  ([*QUICK, '--workdir'], ['workdir']),
  ([*QUICK, 'stray'], ['stray', '--config.NAME=VALUE']),
  ([*QUICK, '--config.batchsize=3'], ['batchsize', 'batch_size']),
  ([*QUICK, '--config.game.generator.depth=3'], ['depth', 'channels']),
  ([*QUICK, '--config.data.zoom=3'], ['zoom', 'size']),
  ([*QUICK, '--config.batch_size=many'], ['batch_size', 'many']),
  ([*QUICK, '--config.steps=1.5'], ['steps', '1.5']),
  ([*QUICK, '--config.batch_size=0'], ['config.batch_size=0', 'at least 1']),
  ([*QUICK, '--config.data.batch_size=true'], ['config.data.batch_size=True', 'type bool', 'int or None']),
  ([*QUICK, '--config.steps=-1'], ['config.steps=-1', 'at least 1']),
  ([*QUICK, '--config.optimizers.generator.learning_rate=fast'], ['learning_rate', 'fast']),
  (
    [*QUICK, '--config.optimizers.generator.name=optax.adamm'],
    ['config.optimizers.generator.name: nothing is called', 'optax.adamm'],
  ),
  ([*QUICK, '--config.optimizers.generator.name=optax.sgd'], ['b1', 'learning_rate', 'momentum']),
  ([*QUICK, '--config.ema.generator=1.5'], ['config.ema.generator=1.5', '0.999']),
  ([*QUICK, '--config.game.loss=hing'], ["config.game.loss: nothing is called 'hing'"]),
  (
    [*QUICK, '--config.game.augment=DiffAugment'],
    ["config.game.augment='DiffAugment'", "write {'name': 'DiffAugment'}"],
  ),
  ([*QUICK, '--config.game.penalty=r1'], ["config.game.penalty='r1'", "write {'name': 'r1'}"]),
  (
    [*QUICK, "--config.game.penalty={'name': 'GradientPenalty', 'weight': 1.0, 'at': 'reel'}"],
    ["unknown config.game.penalty.at 'reel': choose one of around, between, both, fake, real"],
  ),
  (
    [*QUICK, '--config.game.discriminator.weights=spectrl'],
    ["config.game.discriminator.weights 'spectrl'", 'choose one of equalised, plain, spectral'],
  ),
  ([*QUICK, '--config.keep_best=quality'], ['config.keep_best', 'fake_accuracy, ', 'written eval_fid']),
  (
    [*QUICK, '--config.optimizers.generator={"name": "optax.adam", "learning_rate": True}'],
    ['learning_rate=True', 'a function'],
  ),
  (['--config', 'configs/gan.py:ring', '--config.keep_best=-eval_fid'], ['config.eval.every']),
  ([*QUICK, '--config.game.loss=value'], ['value', 'nonsaturating', 'hinge']),
  ([*QUICK, '--config.game.name=standard.Standart'], ['standard.Standart', 'gan_jax.games']),
  ([*QUICK, '--config.game.name=no_such_module.Game'], ['no_such_module.Game']),
  ([*QUICK, '--config.game.generator.name=dcgan.Generater'], ['dcgan.Generater']),
  ([*QUICK, '--config.game.generator.channels=(8,"8")'], ['config.game.generator.channels', 'tuple']),
  ([*QUICK, '--config.game.latents.name=Cauchy'], ['Cauchy']),
  (
    [*QUICK, '--config.data.name=digitz'],
    ['digitz', 'not prepared', 'gan_jax.prepare --name digitz', 'configs/quickstart.py'],
  ),
  (
    ['--config', 'configs/dcgan.py'],
    ['lsun/bedroom', 'not prepared', 'configs/quickstart.py or the variant digits of a config'],
  ),
  ([*QUICK, '--config.data.split=trian'], ['trian', 'train']),
  ([*QUICK, '--config.data.size=12'], ['(8, 8, 1)', '(12, 12, 1)', 'config.data.size']),
  ([*QUICK, '--config.game.generator.image_channels=3'], ['(8, 8, 3)', '(8, 8, 1)', 'config.data.channels']),
  (['--workdir', 'runs/x'], ['--config is missing', 'repeat the command that started it']),
  ([*QUICK, '--config.game.loss=least_square'], ['did you mean least_squares', 'import it']),
  ([*QUICK, '--config.data.channels=2'], ['config.data.channels=2', '1 (grey) or 3 (colour)']),
  ([*QUICK, '--config.data.range=(1.0,-1.0)'], ['config.data.range', 'rise']),
  ([*QUICK, '--config.batch_size=7', '--config.devices=2'], ['7', '2 devices', 'multiple']),
  ([*QUICK, '--config.devices=64'], ['config.devices=64']),
  ([*QUICK, '--config.accumulate=3'], ['64', '3 microbatches', 'multiple']),
  ([*QUICK, '--config.steps_per_call=0'], ['config.steps_per_call=0', 'at least 1']),
  ([*QUICK, '--config.profile=-1'], ['config.profile=-1', 'at least 0']),
  ([*QUICK, '--config.game.one_pass=true'], ['batch statistics', 'config.game.one_pass=False']),
  ([*QUICK, '--config.game.generator.output=relu'], ['relu', 'tanh']),
  ([*QUICK, '--config.game.discriminator.outputs=2'], ['two_way_softmax']),
  ([*QUICK, '--config.game.loss=two_way_softmax'], ['outputs=2']),
  ([*QUICK, '--config.game.discriminator.outputs=3'], ['(B, 3)', 'outputs=1']),
  (
    ['--config', 'configs/gan.py:digits', '--config.game.discriminator.outputs=2'],
    ['this game takes one logit per example', '(B, 2)'],
  ),
  (
    [*QUICK, "--config.game.penalty_schedule={'name': 'optim.schedules.cosine', 'start': 1, 'end': 0, 'steps': 9}"],
    ['config.game.penalty_schedule', 'config.game.penalty is None'],
  ),
  (['--config', 'configs/progressive.py:digits', '--config.game.target=0.0'], ['config.game.target=0.0', 'above 0']),
  ([*QUICK, '--config.game.loss=relativistic', '--config.data.batch_size=32'], ['reads 32 images and 64 latents']),
  (
    [*QUICK, "--config.optimizers.generator={'name': 'optax.polyak_sgd'}"],
    ['config.optimizers.generator', "missing 1 required keyword-only argument: 'value'", 'optax.adam'],
  ),
  (
    [*QUICK, "--config.optimizers.generator={'name': 'optax.adamw', 'learning_rate': 1.0, 'mask': 'my.mask'}"],
    ["config.optimizers.generator.mask='my.mask' is a text", 'leaves nothing out', '{"name": \'my.mask\'}'],
  ),
  ([*QUICK, '--config.game.discriminator_steps=0'], ['repeat=0', 'at least 1']),
  ([*QUICK, '--config.game.generator.channels=()'], ['does not fit together', 'dcgan.py']),
  ([*QUICK, '--config.ema.critic=0.9'], ['critic', 'discriminator, generator']),
  ([*QUICK, '--config.resume=perhaps'], ['config.resume', 'auto, force']),
  ([*QUICK, '--config.init_from=runs/nothing'], ['runs/nothing', 'config.json']),
  ([*QUICK, '--config.data.per_class=5'], ['per_class=5', 'config.data.classes']),
  ([*QUICK, '--config.data.classes=10', '--config.data.per_class=500'], ['per_class=500', 'class 0 has 14']),
  ([*QUICK, '--config.data.classes=5'], ['classes=5', 'from 0 to 9']),
  ([*QUICK, '--config.data.random_crop=4'], ['random_crop=4', 'size=8']),
  ([*QUICK, '--config.data.path=photos'], ["path='photos'", 'folder or npz']),
  ([*QUICK, '--config.data.name=folder'], ['config.data.path is missing']),
  ([*QUICK, '--config.data.name=folder', '--config.data.path=no/such'], ['no/such', 'not a folder']),
  ([*QUICK, '--config.data.name=npz', '--config.data.path=no.npz'], ['no.npz', 'not a file']),
  ([*QUICK, '--config.data.name=../../etc'], ['../../etc', 'out of']),
  ([*QUICK, '--config.data.workers=-1'], ['workers=-1', 'at least 0']),
  (['--config', 'configs/gan.py:ring', '--config.data.flip=true'], ['config.data.flip', 'pictures']),
  (
    ['--config', 'configs/cyclegan.py:digits', '--config.ema.generator_ab=0.9', '--dry_run'],
    ['config.ema', 'generator_ab', 'choose one of discriminator, generator'],
  ),
]


@pytest.mark.parametrize(('arguments', 'words'), BAD, ids=[' '.join(a)[-60:] or 'nothing' for a, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, capsys, tmp_path, monkeypatch):
  def no_network(*_, **__):
    raise AssertionError('asked the network')

  monkeypatch.setattr(socket, 'create_connection', no_network)
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  if arguments and '--workdir' not in arguments:
    arguments = [*arguments, '--workdir', str(tmp_path / 'run')]
  line = fails(arguments, capsys)
  for word in words:
    assert word in line, line


def test_players_that_do_not_fit(capsys, tmp_path):
  text = pathlib.Path(gan_jax.__path__[0], '..', 'configs', 'quickstart.py').read_text()
  cases = {
    text.replace('optimizers=dict(generator=dict(adam), disc', 'optimizers=dict(generater=dict(adam), disc'): [
      'generater',
      'generator',
    ],
    text.replace('ema=dict(generator=', 'ema=dict(critic='): ['critic', 'discriminator'],
    text.replace('batch_size=64', 'bacth_size=64'): ['bacth_size', 'batch_size'],
    text.replace('size=8,', 'sizes=8,'): ['sizes', 'size'],
    text.replace('    steps=', '    stages=(dict(epochs=3),),\n    steps='): ['epochs', 'steps'],
    text.replace('    steps=', '    stages=(dict(log_every=3),),\n    steps='): ['log_every', 'batch_size'],
    text.replace('    steps=', '    stages=(dict(ema=dict(generater=0.9)),),\n    steps='): ['generater', 'generator'],
    text.replace('VARIANTS', 'VERSIONS'): ['VARIANTS'],
    text.replace('"""DCGAN', 'import nothing_of_that_name\n"""DCGAN'): ['nothing_of_that_name'],
    text.replace("name='optax.adam', ", ''): ['name'],
  }
  for number, (changed, words) in enumerate(cases.items()):
    assert changed != text
    file = tmp_path / f'bad_{number}.py'
    file.write_text(changed)
    line = fails(['--config', str(file), '--workdir', str(tmp_path / 'run')], capsys)
    assert all(word in line for word in words), line


def test_labels_missing_for_a_conditional_game(capsys, tmp_path, monkeypatch):
  (tmp_path / 'conditional_game.py').write_text(
    CONDITIONAL
    + """
def get_config(variant):
  return config_lib.base(
    game=dict(name='conditional_game.Conditional', generator=dict(name='mlp.Generator', hidden=(4,), shape=(8, 8, 1))),
    optimizers=dict(generator=dict(name='optax.sgd', learning_rate=0.1)),
    data=config_lib.stream(name='digits', size=8, channels=1), batch_size=4, steps=1,
  )
"""
  )
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  line = fails(['--config', 'conditional_game.py', '--workdir', 'run', '--config.devices=1'], capsys)
  assert 'label' in line and 'config.data.classes' in line
  main.main(['--config', 'conditional_game.py', '--workdir', 'run', '--config.data.classes=10', '--config.devices=1'])


@pytest.mark.skipif(os.name != 'posix', reason='permissions of POSIX')
def test_unwritable_workdir(capsys, tmp_path):
  (tmp_path / 'file').write_text('')
  line = fails([*TINY, '--workdir', str(tmp_path / 'file' / 'run')], capsys)
  assert str(tmp_path / 'file') in line and 'cannot write' in line


def test_a_run_of_other_settings_is_not_overwritten(capsys, tmp_path):
  main.main([*TINY, '--workdir', str(tmp_path / 'run')])
  line = fails([*TINY, '--config.seed=1', '--workdir', str(tmp_path / 'run')], capsys)
  assert 'config.seed: 0 -> 1' in line
  main.main([*TINY, '--config.steps=3', '--workdir', str(tmp_path / 'run')])  # longer is the same run
  assert 'resuming at step 2' in capsys.readouterr().out
  assert gan_jax.load(tmp_path / 'run').step == 3


def test_a_run_that_blows_up_names_the_step(capsys, tmp_path):
  huge = '--config.optimizers.generator.learning_rate=1e38'
  line = fails([*TINY, '--config.steps=50', huge, '--workdir', str(tmp_path / 'run')], capsys)
  assert 'loss is' in line and 'step' in line and 'learning_rate' in line


def test_help_list_and_dry_run(capsys, tmp_path):
  with pytest.raises(SystemExit) as stop:
    main.main(['--help'])
  assert stop.value.code == 0
  out = capsys.readouterr().out
  assert '--workdir' in out and 'gan_jax.main --config' in out
  main.main(['--list'])
  out = capsys.readouterr().out
  assert 'configs/dcgan.py' in out and 'celeb_a' in out
  main.main(['--config', 'configs/dcgan.py:lsun', '--dry_run', '--config.batch_size=2', '--config.devices=1'])
  out = capsys.readouterr().out
  assert 'flops' in out and 'memory' in out and '18,855,043 parameters' in out


def test_a_dry_run_compiles_only_when_asked(capsys, monkeypatch):
  compiled = []
  compile_step = parallel.compile_step
  monkeypatch.setattr(parallel, 'compile_step', lambda *given: compiled.append(given) or compile_step(*given))
  ring = ['--config', 'configs/gan.py:ring', '--dry_run', '--config.devices=1', '--config.game.generator.hidden=(8,)']
  main.main(ring)
  out = capsys.readouterr().out
  assert not compiled and 'flops' in out and 'MiB per device of state and batch; --compile tells the rest' in out
  main.main([*ring, '--compile'])
  assert len(compiled) == 1 and 'temporaries' in capsys.readouterr().out
  assert '--compile without --dry_run' in fails(['--config', 'configs/gan.py:ring', '--compile'], capsys)


def test_a_config_chooses_the_formulation_of_convolutions(capsys, monkeypatch):
  seen = []
  monkeypatch.setattr(summary, 'cost', lambda *_, **__: seen.append(conv.chosen()) or '')
  dry = ['--config', 'configs/gan.py:ring', '--dry_run', '--config.devices=1']
  main.main([*dry, '--config.formulation=plain'])
  main.main(dry)
  assert seen == ['plain', conv.chosen()]
  assert "config.formulation 'fft'" in fails([*dry, '--config.formulation=fft'], capsys)


@pytest.mark.parametrize('accumulate', [1, 2])
def test_flops_are_those_counted_by_hand(accumulate):
  arguments = [f'--config.accumulate={accumulate}']
  config = config_lib.override(config_lib.load('configs/gan.py:ring'), arguments)
  layers = {'generator': [16 * 256, 256 * 256, 256 * 2], 'discriminator': [2 * 256, 256 * 256, 256 * 1]}
  generator, judge = (2 * sum(layers[name]) for name in ('generator', 'discriminator'))
  behind = {name: 2 * sum(sizes[1:]) for name, sizes in layers.items()}  # gradients of the inputs of later layers
  judged = generator + 2 * (2 * judge + behind['discriminator'])
  generated = 2 * generator + behind['generator'] + 2 * judge
  by_hand = config.batch_size * (judged + generated)
  counted = summary.flops(experiment_of(config), 0)
  assert by_hand < counted < 1.03 * by_hand  # besides products: activations, losses, Adam


def test_sample_and_evaluate_commands(capsys, tmp_path):
  main.main([*TINY, '--workdir', str(tmp_path / 'run')])
  capsys.readouterr()
  run = ['--workdir', str(tmp_path / 'run')]
  sample.command.main(sample._define, sample._run, sample.__doc__, [*run, '--out', str(tmp_path / 'a.png')])
  assert Image.open(tmp_path / 'a.png').size[0] > 100
  sample.command.main(
    sample._define, sample._run, sample.__doc__, [*run, '--count=70', '--seed=3', '--out', str(tmp_path / 'a.npz')]
  )
  arrays = np.load(tmp_path / 'a.npz', allow_pickle=False)['samples']
  assert arrays.shape == (70, 8, 8, 1)
  np.testing.assert_array_equal(arrays[:5], gan_jax.load(tmp_path / 'run').sample(5, seed=3))
  raw = [*run, '--noema', '--count=5', '--seed=3', '--out', str(tmp_path / 'raw.npz')]
  sample.command.main(sample._define, sample._run, sample.__doc__, raw)
  latest = gan_jax.load(tmp_path / 'run').sample(5, seed=3, ema=False)
  np.testing.assert_array_equal(np.load(tmp_path / 'raw.npz')['samples'], latest)
  assert np.abs(latest - arrays[:5]).max() > 0
  evaluate.command.main(evaluate._define, evaluate._run, evaluate.__doc__, [*run, '--samples=50', '--features=raw'])
  assert 'coverage' in capsys.readouterr().out
  assert (tmp_path / 'run' / 'evaluation.json').exists()
  for arguments, words in (
    ([*run, '--label=3'], ['draws no label']),
    ([*run, '--out=a.gif'], ['.png or .npz']),
    ([*run, '--step=77'], ['77']),
    (['--workdir', str(tmp_path)], ['config.json']),
    ([], ['--workdir']),
  ):
    line = fails(arguments, capsys, lambda a: sample.command.main(sample._define, sample._run, sample.__doc__, a))
    assert all(word in line for word in words), line


def test_conversions_that_cannot_work_are_told_before_a_network_is_set_up(capsys, monkeypatch, tmp_path):
  monkeypatch.setattr(imported, 'experiment_of', None)
  (tmp_path / 'own_layout.py').write_text('def variables_of(tensors, like):\n  return like\n')
  monkeypatch.syspath_prepend(tmp_path)
  generator = ['--generator=none.pth', '--config=configs/gan.py:ring']
  for arguments, words in (
    (generator, 'generator=none.pth: no file none.pth'),
    ([*generator, '--layout=own_layout'], 'no file none.pth'),
    ([*generator, '--layout=biggn'], "unknown --layout (or a dotted name of yours) 'biggn': choose one of biggan, "),
    ([*generator, '--layout=my.biggn'], "--layout: nothing is called 'my.biggn.variables_of'"),
    (['--networks=generator_ab=none.pth', *generator[1:]], 'generator_ab=none.pth: no file none.pth'),
  ):
    arguments = [*arguments, '--workdir', str(tmp_path / 'run')]
    line = fails(arguments, capsys, lambda a: command.main(convert._define, convert._run, convert.__doc__, a))
    assert words in line, line


def test_load_of_a_run_without_checkpoint(tmp_path):
  with pytest.raises(UserError, match='not a run'):
    gan_jax.load(tmp_path)


def test_compiled_programs_are_kept_in_our_cache_folder(monkeypatch, tmp_path):
  set_to = {}
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path / 'cache'))
  monkeypatch.delenv('JAX_ENABLE_COMPILATION_CACHE', raising=False)
  monkeypatch.setattr(jax, 'config', SimpleNamespace(jax_compilation_cache_dir=None, update=set_to.__setitem__))
  command._compilation_cache()
  folder = pathlib.Path(set_to['jax_compilation_cache_dir'])
  assert folder.is_dir() and folder.parent == tmp_path / 'cache' / 'xla'
  # What cannot be written is done without.
  (tmp_path / 'file').write_text('')
  monkeypatch.setenv('GAN_JAX_CACHE', str(tmp_path / 'file'))
  set_to.clear()
  command._compilation_cache()
  assert not set_to
