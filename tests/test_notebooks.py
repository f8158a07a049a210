"""The notebooks: what is committed is what their sources say, with outputs; their cells run on small settings."""

import base64
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = ROOT / 'notebooks'


def builder():
  spec = importlib.util.spec_from_file_location('notebooks_build', NOTEBOOKS / 'build.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


build = builder()


def text(lines):
  return lines if isinstance(lines, str) else ''.join(lines)


def outputs(notebook):
  return [output for cell in notebook['cells'] for output in cell.get('outputs', ())]


@pytest.fixture(scope='module', params=build.names())
def notebook(request):
  return request.param, json.loads((NOTEBOOKS / f'{request.param}.ipynb').read_text())


def test_its_cells_are_those_of_the_source(notebook):
  name, content = notebook
  assert (content['nbformat'], content['metadata']['kernelspec']['name']) == (4, 'python3')
  found = [build.Cell(cell['cell_type'] == 'code', text(cell['source'])) for cell in content['cells']]
  assert found == build.cells(name), f'make notebooks NOTEBOOKS={name}'
  assert not any('# quick:' in cell.text for cell in found)


def test_it_was_run_from_top_to_bottom_and_has_pictures(notebook):
  name, content = notebook
  counts = [cell['execution_count'] for cell in content['cells'] if cell['cell_type'] == 'code']
  assert counts == list(range(1, len(counts) + 1)), f'make notebooks NOTEBOOKS={name}'
  assert not any(output['output_type'] == 'error' for output in outputs(content))
  pictures = [
    base64.b64decode(text(o['data']['image/png'])) for o in outputs(content) if 'image/png' in o.get('data', {})
  ]
  assert pictures and all(picture.startswith(b'\x89PNG') for picture in pictures)


def test_it_is_small_and_says_nothing_of_the_machine_that_ran_it(notebook):
  name, _ = notebook
  assert (NOTEBOOKS / f'{name}.ipynb').stat().st_size <= build.LARGEST <= 300_000
  said = re.sub('"image/png": "[^"]*"', '', (NOTEBOOKS / f'{name}.ipynb').read_text())
  assert not re.findall(r'/(?:root|home|tmp|work|usr|opt|Users)\b.*|file://.*', said)


def test_the_set_up_keeps_the_jax_of_the_runtime(tmp_path, monkeypatch, capsys):
  """Where gan_jax is missing, pip is told the versions of JAX and of what goes with it; else nothing is installed."""
  calls = []
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(subprocess, 'check_call', calls.append)
  exec(build.SETUP, {})
  assert not calls and 'gan_jax' in capsys.readouterr().out
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  exec(build.SETUP, {})
  kept = (tmp_path / 'kept.txt').read_text().splitlines()
  names = {line.partition('==')[0] for line in kept}
  assert {'jax', 'jaxlib', 'numpy'} <= names and not names & {'flax', 'optax', 'gan_jax'}
  assert calls == [[sys.executable, '-m', 'pip', 'install', '--quiet', '-c', 'kept.txt', build.SOURCE]]


def test_the_readme_names_all_and_no_page_has_an_account_that_is_not_known():
  readme = (ROOT / 'README.md').read_text()
  for name in build.names():
    assert f'(notebooks/{name}.ipynb)' in readme
  for file in (ROOT / 'README.md', *NOTEBOOKS.glob('*.ipynb')):
    assert 'OWNER' not in file.read_text()
    assert build.REPOSITORY or 'colab-badge' not in file.read_text()


def test_values_for_tests_are_taken_and_left_out(tmp_path, monkeypatch):
  (tmp_path / 'src').mkdir()
  lines = [
    '# %% [markdown]',
    '# # A',
    '#',
    '# b',
    '',
    '# %%',
    'STEPS = 20  # quick: 3',
    'f(',
    '  n=2,',
    ')',
  ]
  (tmp_path / 'src' / 'a.py').write_text('\n'.join(lines))
  monkeypatch.setattr(build, 'HERE', tmp_path)
  title, _, whole = build.cells('a')
  assert title.text == '# A\n\nb' + build.BADGE.format(name='a') and not title.code
  assert whole == build.Cell(True, 'STEPS = 20\nf(\n  n=2,\n)')
  assert build.cells('a', quick=True)[-1].text == 'STEPS = 3\nf(\n  n=2,\n)'


@pytest.mark.slow
def test_a_small_one_runs_cell_by_cell(tmp_path, monkeypatch):
  """In this process, for no process started costs the time that a cell takes."""
  module = types.ModuleType('a_notebook')
  monkeypatch.setitem(sys.modules, 'a_notebook', module)
  monkeypatch.chdir(tmp_path)
  for cell in build.cells('your_own_gan', quick=True):
    if cell.code:
      exec(cell.text, vars(module))
  assert module.run.step == 4 and module.step._cache_size() == 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize('name', build.names())
def test_each_runs_from_top_to_bottom(name, tmp_path):
  """As a program, on small settings, on two devices; what a notebook draws with must be installed."""
  code = '\n'.join(cell.text for cell in build.cells(name, quick=True) if cell.code)
  for extra in set(re.findall(r'^ *import (matplotlib|equinox)', code, re.MULTILINE)):
    pytest.importorskip(extra)
  (tmp_path / 'cells.py').write_text(code)
  environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'MPLBACKEND': 'Agg', 'JAX_NUM_CPU_DEVICES': '2'}
  subprocess.run([sys.executable, 'cells.py'], cwd=tmp_path, env=environment, check=True)
