"""What is shipped: the wheel, the lock, lazy imports."""

import os
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

from gan_jax import cli
from gan_jax.base.errors import UserError

ROOT = pathlib.Path(__file__).parent.parent
HEAVY = (
  'flax',
  'orbax',
  'grain',
  'tensorflow_datasets',
  'ml_collections',
  'PIL',
  'sklearn',
  'tensorboardX',
)


def python(code, **settings):
  return subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True, **settings).stdout


@pytest.mark.parametrize('module', ['gan_jax', 'gan_jax.losses', 'gan_jax.minimax'])
def test_imports_are_lazy(module):
  loaded = python(f'import sys, {module}; print(*sys.modules)').split()
  assert not [name for name in HEAVY if name in loaded]
  if module == 'gan_jax':
    assert 'jax' not in loaded


def test_nothing_imports_tensorflow():
  code = 'import sys, gan_jax.main, gan_jax.training.loop, gan_jax.evaluate; print(*sys.modules)'
  assert 'tensorflow' not in python(code).split()


def test_the_lock_and_the_constraints_agree():
  locked = {}
  for package in tomllib.loads((ROOT / 'uv.lock').read_text())['package']:
    locked.setdefault(package['name'], set()).add(package['version'])
  lines = [line for line in (ROOT / 'constraints.txt').read_text().splitlines() if '==' in line]
  for line in lines:
    name, version = re.match(r'([\w.-]+)(?:\[.*\])?==([^ ;]+)', line).groups()
    assert version in locked[name.lower().replace('_', '-')], line
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  wanted = [*project['dependencies'], *project['optional-dependencies']['test']]
  names = {re.match(r'[\w.-]+', requirement).group().lower().replace('_', '-') for requirement in wanted}
  assert names <= {re.match(r'[\w.-]+', line).group().lower().replace('_', '-') for line in lines}


def test_the_wheel_carries_the_configs_and_runs_from_any_folder(tmp_path):
  subprocess.run(
    [sys.executable, '-m', 'hatchling', 'build', '-t', 'wheel', '-d', str(tmp_path)],
    cwd=ROOT,
    check=True,
    capture_output=True,
  )
  (wheel,) = tmp_path.glob('*.whl')
  site = tmp_path / 'site'
  with zipfile.ZipFile(wheel) as archive:
    names = archive.namelist()
    archive.extractall(site)
  for name in ('gan_jax/configs/quickstart.py', 'gan_jax/py.typed', 'gan_jax/core/game.py'):
    assert name in names
  assert not [name for name in names if name.startswith(('tests', 'configs', 'docs'))]
  assert any(name.endswith('licenses/LICENSE') for name in names)
  (tmp_path / 'elsewhere').mkdir()
  settings = dict(cwd=tmp_path / 'elsewhere', env={**os.environ, 'PYTHONPATH': str(site)})
  code = 'import gan_jax.main; print(gan_jax.__file__); gan_jax.main.main(["--list"])'
  where, listed = python(code, **settings).split('\n', 1)
  assert str(site) in where
  assert 'configs/dcgan.py' in listed and 'configs/quickstart.py' in listed
  # The README's commands after `pip install`, by the door `gan-jax`: in one process, which costs less.
  commands = [
    'train --config configs/gan.py:ring --config.steps=2 --workdir run',
    'train --config configs/gan.py:ring --config.steps=3 --workdir run',
    'sample --workdir run --count 100 --seed 1 --out more.png',
    'evaluate --workdir run --metrics modes --samples 200',
    'export --workdir run',
  ]
  code = 'import sys, gan_jax.cli; assert "tests" not in sys.path[0]'
  for command in commands:
    code += f'; sys.argv[1:] = {command.split()}; gan_jax.cli.main()'
  said = python(code, **settings)
  assert 'resuming at step 2' in said and 'generator.stablehlo' in said
  made = {str(path.relative_to(tmp_path / 'elsewhere')) for path in (tmp_path / 'elsewhere').rglob('*.*')}
  assert {'more.png', 'run/samples/step_0000003.png', 'run/evaluation.json', 'run/export/generator.stablehlo'} <= made


def test_all_places_name_the_same_version():
  import gan_jax

  version = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['version']
  cited = re.search(r'^version: (.*)$', (ROOT / 'CITATION.cff').read_text(), re.MULTILINE)[1]
  newest = re.search(r'^## ([\d.]+)', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE)[1]
  assert version == gan_jax.__version__ == cited == newest


@pytest.mark.slow
def test_all_commands_have_one_name(tmp_path):
  run = lambda *arguments: subprocess.run(
    [sys.executable, '-m', 'gan_jax.cli', *arguments], capture_output=True, text=True, cwd=tmp_path
  )
  assert all(f'gan-jax {name} ' in run().stdout for name in cli.COMMANDS)
  doors = {path.stem for path in (ROOT / 'gan_jax').glob('*.py') if "__name__ == '__main__'" in path.read_text()}
  assert doors - {'cli'} == {module for module, _ in cli.COMMANDS.values()}
  assert run('evaluate', '--help').stdout.startswith('Evaluates a run')
  wrong, unknown = run('trian'), run('train', '--stpes=3')
  assert (wrong.returncode, unknown.returncode) == (2, 2)
  assert wrong.stderr.splitlines() == [
    "error: unknown command 'trian': choose one of " + ', '.join([*cli.COMMANDS, 'completion'])
  ]
  assert len(unknown.stderr.splitlines()) == 1


def completed(script, *words):
  """What bash completes the last of some words to."""
  lines = [
    f'source {script}; words=({" ".join(map(repr, words))})',
    'COMP_WORDS=("${words[@]}"); COMP_CWORD=$((${#words[@]} - 1))',
    '_shtab_gan_jax gan-jax "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"',
    'printf "%s\\n" "${COMPREPLY[@]}"',
  ]
  return set(subprocess.run(['bash', '-c', '\n'.join(lines)], capture_output=True, text=True).stdout.split())


def test_a_shell_completes_commands_flags_and_configs(tmp_path, monkeypatch, capsys):
  (tmp_path / 'script').write_text(cli.completion('bash'))
  script = tmp_path / 'script'
  assert completed(script, 'gan-jax', 'e') == {'evaluate', 'export'}
  assert completed(script, 'gan-jax', 'train', '--wo') == {'--workdir'}
  assert completed(script, 'gan-jax', 'train', '--config', 'configs/quick') == {'configs/quickstart.py:default'}
  assert 'manifold' in completed(script, 'gan-jax', 'sample', '--picture', 'm')
  assert completed(script, 'gan-jax', 'sample', '--workdir', f'{tmp_path}/s') == {str(script)}
  with pytest.raises(UserError, match=r'unknown shell .*bash'):
    cli.completion('cmd')
  monkeypatch.setitem(sys.modules, 'shtab', None)
  monkeypatch.setattr(sys, 'argv', ['gan-jax', 'completion', 'bash'])
  with pytest.raises(SystemExit) as stopped:
    cli.main()
  assert stopped.value.code == 2 and 'pip install shtab' in capsys.readouterr().err
