"""Every command in the README and in the docs is one that the code takes: flags, settings, configs, networks."""

import ast
import functools
import importlib
import re
import shutil
import tomllib

import numpy as np
import pages
import pytest
import rows
from absl import flags
from PIL import Image

from gan_jax import cli
from gan_jax import config as config_lib
from gan_jax.base import command
from gan_jax.base.calls import resolve
from gan_jax.evaluation import measures
from gan_jax.exports import folder
from gan_jax.runs.experiment import experiment_of

ROOT = pages.ROOT


@functools.cache
def shown():
  return pages.unique()


@pytest.fixture
def at_home(tmp_path, monkeypatch):
  """A reader's folder: their own config files, and their pictures."""
  for file in (ROOT / 'docs' / 'example').glob('*.py'):
    shutil.copy(file, tmp_path)
  random = np.random.RandomState(0)
  for place in ('photos', 'faces/train', 'horses', 'zebras'):
    (tmp_path / place).mkdir(parents=True)
    for number in range(3):
      Image.fromarray(random.randint(0, 256, (48, 48, 3), np.uint8)).save(tmp_path / place / f'{number}.png')
  rows = ''.join(f'{number}.png,0,1\n' for number in range(3))
  (tmp_path / 'faces/train/metadata.csv').write_text('file_name,Male,Smiling\n' + rows)
  monkeypatch.chdir(tmp_path)


def parsed(module, arguments):
  """(flags, what is left) of a command, which must be settings of a config if it takes them."""
  values = flags.FlagValues()
  importlib.import_module(module)._define(values)
  flags.DEFINE_bool('debug', False, '', flag_values=values)
  rest = values(['gan_jax', *arguments], known_only=True)[1:]
  takes_settings = 'config' in values
  assert all(takes_settings and re.match(r'--config\.[\w.]+=', argument) for argument in rest), rest
  return values, rest


def check_door(module, arguments):
  """Checks a command of ours; returns its config, if it trains."""
  if '--help' in arguments:
    return None
  values, rest = parsed(module, arguments)
  if module.endswith('.evaluate'):
    assert all('.' in name or name in measures.MEASURES for name in values.metrics or ())
  if module.endswith('.export'):
    assert set(values.format) <= set(folder.FORMATS)
  if 'config' not in values or not values.config:
    return None
  # The config.json of a run is written by an earlier command of the page.
  return config_lib.read('configs/quickstart.py' if values.config.startswith('runs/') else values.config, rest)


def check_benchmark(module, arguments):
  source = (ROOT / (module.replace('.', '/') + '.py')).read_text()
  known = set(re.findall(r'add_argument\(\s*[\'"](--[\w-]+)', source))
  assert {argument.partition('=')[0] for argument in arguments if argument.startswith('--')} <= known


def check(call):
  """Checks a call as far as it can be without running it; returns the config of a training."""
  program, *arguments = call
  if program == 'gan-jax':
    name, *arguments = arguments
    if name in ('--help', 'COMMAND', 'completion'):
      return None
    return check_door(f'gan_jax.{cli.COMMANDS[name][0]}', arguments)
  if program == 'python' and arguments[0] == '-m':
    _, module, *arguments = arguments
    if module.startswith('gan_jax.'):
      return check_door(module, arguments)
    if module.startswith('benchmarks.'):
      check_benchmark(module, arguments)
    else:
      importlib.import_module(module)
      assert all((ROOT / name).exists() for name in arguments if name.endswith('.py'))
  elif program == 'python' and arguments[0] == '-c':
    ast.parse(arguments[1])
  elif program == 'python':
    assert (ROOT / arguments[0]).exists()
  elif program == 'make':
    makefile = (ROOT / 'Makefile').read_text()
    for target in arguments:
      if '=' not in target:
        pattern = 'config_' + target.removeprefix('reproduce-') if target.startswith('reproduce-') else target
        assert re.search(rf'^{re.escape(pattern)}(:| =)', makefile, re.MULTILINE), target
  elif program == 'pip':
    extras = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies']
    for argument in arguments:
      if asked := re.fullmatch(r'(?:gan_jax|\.)\[([\w,]+)\]', argument):
        assert set(asked[1].split(',')) <= extras.keys(), argument
  return None


def test_every_command_in_the_pages_is_taken(at_home):
  """Flags, metrics, formats, targets, extras; of a training the config with every setting, and the networks."""
  assert len(shown()) > 100 and ('python', '-m', 'gan_jax.main', '--list') in shown()
  built = set()
  for call, page in shown().items():
    try:
      config = check(call)
      if config is not None and config_lib.to_json(config) not in built:
        built.add(config_lib.to_json(config))
        experiment_of(config)
    except Exception as error:
      raise AssertionError(f'{page}: {" ".join(call)}: {error}') from error


def test_a_command_that_is_wrong_is_found(tmp_path):
  page = tmp_path / 'page.md'
  wrong = [
    'python -m gan_jax.main --config configs/dcgan.py:minst',
    'python -m gan_jax.main --config configs/dcgan.py --config.batchsize=3',
    'python -m gan_jax.evaluate --wordkir runs/x',
    'python -m gan_jax.evaluate --workdir runs/x --metrics fit',
    'python -m gan_jax.sample --workdir runs/x --picture=grit',
    'python -m gan_jax.export --workdir runs/x --format tflite',
    'python -m benchmarks.losses --nonsense',
    'gan-jax trian',
    'make tset',
    "pip install 'gan_jax[gpu]'",
    "pip install '.[gpu]'",
  ]
  page.write_text('# Page\n\n' + '\n\n'.join(f'    {line}' for line in wrong))
  calls = pages.calls(page)
  assert len(calls) == len(wrong)
  for call in calls:
    with pytest.raises(Exception):  # noqa: B017
      check(call)
  page.write_text('    python -m gan_jax.main "--config\n')
  with pytest.raises(AssertionError, match=r'page\.md'):
    pages.calls(page)


def setting_exists(config, path):
  """Whether 'config.a.b' is in a config."""
  here = config
  for name in path.split('.')[1:]:
    if name not in here:
      return False
    here = here[name]
  return True


def flags_of_doors():
  """The names of all flags of all commands."""
  names = set()
  for module, _ in cli.COMMANDS.values():
    values = flags.FlagValues()
    importlib.import_module(f'gan_jax.{module}')._define(values)
    names |= set(values)
  return names


def check_name(name, config, known):
  """Checks a name of ours in a table: a setting, a flag, a config, a module, a function or a class."""
  if name.startswith('config.'):
    assert setting_exists(config, name)
  elif name.startswith('--'):
    flag, _, value = name.removeprefix('--').partition('=')
    assert flag in known
    assert flag != 'metrics' or set(value.split(',')) <= measures.MEASURES.keys()
  elif name.startswith('configs/'):
    config_lib.load(name)
  elif name.startswith('gan_jax.'):
    resolve(name)


def test_every_name_of_ours_for_those_who_come_from_elsewhere():
  text, known = (ROOT / 'docs' / 'coming_from.md').read_text(), flags_of_doors()
  sections = re.split(r'^## ', text, flags=re.MULTILINE)[1:]
  assert len(sections) == 5
  for section in sections:
    config = config_lib.load(re.search(r'Settings of `(configs/[\w.:]+)`', section)[1])
    rows = re.findall(r'^\| (.*) \| (.*) \|$', section, re.MULTILINE)[2:]
    assert len(rows) > 15
    for _, ours in rows:
      # Nothing is logged, and no run is read.
      names = [re.sub(r'=(PROJECT|runs/converted)$', '=', name) for name in re.findall(r'`([^`]+)`', ours)]
      settings = [name for name in names if name.startswith('--config.')]
      try:
        if settings:
          experiment_of(config_lib.override(config_lib.from_json(config_lib.to_json(config)), settings))
        for name in set(names) - set(settings):
          check_name(name, config, known)
      except Exception as error:
        raise AssertionError(f'{section.splitlines()[0]}: {ours}: {error}') from error


#: What a command asks for that is not at hand here: the network, weights, other data, other processes, a cluster.
NOT_HERE = (
  'inception', '--distributed', '--coordinator', '--condition', '--inputs', '--member', '--concepts', '--label',
  '--checkpoint', 'classes', 'held_out', 'codes', 'oracle', 'onnx', '--workdir=', 'runs/three', '--dry_run', '--list',
  'runs/animals',
)  # fmt: skip
SMALL = [
  '--config.steps=2',
  '--config.batch_size=8',
  '--config.samples=4',
  '--config.eval.every=0',
  '--config.devices=1',
]
RUN = ('start.md', 'choosing.md', 'troubleshooting.md', 'README.md', 'exploring.md', 'evaluation.md', 'export.md')


def short_ones():
  """The commands of the pages that a newcomer follows, as far as all they need is here."""
  found = unique_of(*RUN)
  doors = ('gan_jax.main', 'gan_jax.sample', 'gan_jax.evaluate', 'gan_jax.export')
  return [call for call in found if call[2:3] and call[2] in doors and len(call) > 4 and not asks(call)]


def unique_of(*names):
  return pages.unique([page for page in pages.PAGES if page.name in names and page.parent.name != 'benchmarks'])


def asks(call):
  return any(word in ' '.join(call) for word in NOT_HERE)


@pytest.fixture(scope='module')
def run_of_digits(tmp_path_factory):
  from gan_jax import main

  workdir = tmp_path_factory.mktemp('pages') / 'run'
  main.main(
    ['--config', 'configs/quickstart.py', *SMALL, *rows.shrunk('configs/quickstart.py')[:2], '--workdir', str(workdir)]
  )
  return workdir


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize('call', short_ones(), ids=lambda call: ' '.join(call[2:])[-80:])
def test_a_command_of_the_pages_runs_on_small_settings(call, at_home, run_of_digits):
  """Trainings of two steps on narrow networks and digits; the others on a run of digits."""
  module, arguments = importlib.import_module(call[2]), list(call[3:])
  run = lambda arguments: command.main(module._define, module._run, module.__doc__, arguments)
  if call[2] != 'gan_jax.main':
    folder = arguments[arguments.index('--workdir') + 1]
    shutil.copytree(run_of_digits, folder)
    run([*arguments, *(['--samples=100'] if call[2] == 'gan_jax.evaluate' else [])])
    return
  name = arguments[arguments.index('--config') + 1]
  own = [argument.partition('=')[0] for argument in arguments]
  small = (
    SMALL if name == 'configs/folder.py' else [*rows.shrunk(name), *SMALL] if name.startswith('configs/') else SMALL
  )
  if any(setting.startswith('--config.data.') and setting.endswith('.path') for setting in own):
    small = [setting for setting in small if not setting.startswith('--config.data.')]
  if any('init_from' in setting for setting in own):
    shutil.copytree(run_of_digits, 'runs/x')
  # The last of two settings counts.
  run([*arguments, *(['--workdir', 'runs/new'] if '--workdir' not in arguments else []), *small])


def test_the_public_checks_call_targets_that_exist():
  yaml = pytest.importorskip('yaml')
  jobs = yaml.safe_load((ROOT / '.github' / 'workflows' / 'tests.yml').read_text())['jobs']
  assert jobs['fast']['strategy']['matrix']['python'] == ['3.11', '3.12', '3.13']
  targets = jobs['whole']['strategy']['matrix']['target']
  assert {'test', 'test-oldest', 'test-newest', 'test-parity', 'site'} <= set(targets)
  check(['make', *targets, *jobs['fast']['steps'][-1]['run'].split()[1:]])
  hooks = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos'][0]['hooks']
  assert all(re.match(r'(\.venv/bin/ruff|make lint)', hook['entry']) for hook in hooks)
