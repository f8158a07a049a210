"""The documentation is true: examples run, the table of systems and the excerpt are up to date, links lead there."""

import doctest
import importlib
import os
import pathlib
import pkgutil
import re
import shutil
import subprocess
import sys
import urllib.parse

import pytest

import gan_jax

ROOT = pathlib.Path(__file__).parent.parent
MODULES = ['gan_jax', *(m.name for m in pkgutil.walk_packages(gan_jax.__path__, 'gan_jax.'))]
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')])


@pytest.mark.parametrize('name', MODULES)
def test_docstring_examples(name, monkeypatch):
  monkeypatch.chdir(ROOT)
  failed, _ = doctest.testmod(importlib.import_module(name), extraglobs=None)
  assert not failed


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_examples_and_links_of_pages(page):
  failed, _ = doctest.testfile(str(page), module_relative=False)
  assert not failed
  for link in re.findall(r'(?:\]\(|src=")([^)"]+)', without_code(page.read_text())):
    address = urllib.parse.urlsplit(link)
    if address.scheme:  # no network here: by its form
      assert address.scheme == 'https' and re.fullmatch(r'[\w-]+(\.[\w-]+)+', address.netloc), f'{page.name}: {link}'
      continue
    target = page.parent / address.path if address.path else page
    assert target.exists(), f'{page.name} links to {link}'
    assert not address.fragment or address.fragment in headings(target.read_text()), f'{page.name} links to {link}'


def without_code(text):
  return re.sub(r'`[^`\n]*`', '', re.sub(r'^```.*?^```', '', text, flags=re.MULTILINE | re.DOTALL))


def headings(text):
  """The anchors of a page's headings, as GitHub and the site make them."""
  titles = re.findall(r'^#+ (.*)$', text, re.MULTILINE)
  return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
  """And every link within it leads somewhere: with the extra `docs`."""
  pytest.importorskip('sphinx_book_theme')
  pytest.importorskip('myst_parser')
  shutil.copytree(ROOT / 'docs', tmp_path / 'docs', ignore=shutil.ignore_patterns('api'))
  for name in ('benchmarks', 'configs', 'gan_jax', 'notebooks', 'CONTRIBUTING.md'):
    (tmp_path / name).symlink_to(ROOT / name)
  settings = ['--fail-on-warning', '--keep-going', '--quiet', '-b', 'html', 'docs', 'site']
  subprocess.run([sys.executable, '-m', 'sphinx', *settings], cwd=tmp_path, check=True)
  pages = {path.name for path in (tmp_path / 'site').glob('*.html')}
  assert {f'{page.stem}.html' for page in (ROOT / 'docs').glob('*.md')} <= pages
  named = re.findall(
    r'<a class="reference internal" href="([\w.-]+\.html)', (tmp_path / 'site' / 'index.html').read_text()
  )
  assert {f'{page.stem}.html' for page in (ROOT / 'docs').glob('*.md')} - {'index.html'} <= set(named)


def test_every_metric_and_every_adversarial_loss_is_in_its_table():
  from gan_jax import losses
  from gan_jax.evaluation import measures

  named = lambda page: set(re.findall(r'`(\w+)', ' '.join(re.findall(r'^\| (`.*?) \|', page, re.MULTILINE))))
  missing = measures.MEASURES.keys() - named((ROOT / 'docs' / 'evaluation.md').read_text())
  assert not missing, f'docs/evaluation.md: a row for {", ".join(sorted(missing))}'
  pairs = {name for name in losses.__all__ if isinstance(getattr(losses, name), losses.AdversarialLoss)}
  missing = pairs - named((ROOT / 'docs' / 'library.md').read_text())
  assert not missing, f'docs/library.md: a row for {", ".join(sorted(missing))}'


def test_the_table_of_systems_is_up_to_date(monkeypatch):
  monkeypatch.syspath_prepend(ROOT / 'docs')
  import systems_table

  text = (ROOT / 'docs' / 'systems.md').read_text()
  assert systems_table.filled(text) == text, 'run `make readme`'
  assert 'configs/dcgan.py' in systems_table.table()


def test_scripts_for_clusters_parse_and_give_flags_that_exist():
  from absl import flags

  from gan_jax import config, main

  values = flags.FlagValues()
  main._define(values)
  settings = set(config.load('configs/dcgan.py'))
  scripts = sorted((ROOT / 'docs' / 'clusters').iterdir())
  assert {script.suffix for script in scripts} == {'.sh', '.yaml'}
  for script in scripts:
    if script.suffix == '.sh':
      subprocess.run(['bash', '-n', str(script)], check=True)
    else:
      yaml = pytest.importorskip('yaml')
      assert [part['kind'] for part in yaml.safe_load_all(script.read_text())] == ['Service', 'Job']
    given = script.read_text().split('gan_jax.main')[1]
    for flag in re.findall(r'--([a-z_.]+)', given):
      name = flag.removeprefix('config.')
      assert name in settings if flag.startswith('config.') else name in values or name == 'config', flag


def without_docstrings(lines):
  text = '\n'.join(line.rstrip() for line in lines)
  return re.sub(r'\n\s*"""(?:(?!""").)*"""', '', text, flags=re.DOTALL)


def test_the_example_in_the_pages_is_the_file_that_runs():
  page = (ROOT / 'docs' / 'games.md').read_text()
  shown = re.search(r'```python\n(class BiGAN.*?)```', page, re.DOTALL)[1]
  file = (ROOT / 'docs' / 'example' / 'bigan.py').read_text()
  body = file[file.index('class BiGAN') : file.index('  def reconstruct')]
  squeeze = lambda text: [line for line in without_docstrings(text.splitlines()).splitlines() if line.strip()]
  assert squeeze(shown) == squeeze(body)


def test_the_example_trains_as_an_outsider_would(tmp_path):
  for file in (ROOT / 'docs' / 'example').glob('*.py'):
    shutil.copy(file, tmp_path)
  settings = ['--config.steps=3', '--config.batch_size=8', '--config.devices=1', '--workdir', 'run']
  code = (
    'import sys, gan_jax, gan_jax.main, numpy as np; gan_jax.main.main(sys.argv[1:]);'
    'run = gan_jax.load("run"); x = np.zeros((2, 8, 8, 1), np.float32);'
    'print(run.stage.game.apply(run.variables(), x, method="reconstruct").shape, run.sample(5).shape)'
  )
  out = subprocess.run(
    [sys.executable, '-c', code, '--config', 'bigan_digits.py', *settings],
    cwd=tmp_path,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    check=True,
    capture_output=True,
    text=True,
  ).stdout
  assert out.splitlines()[-1] == '(2, 8, 8, 1) (5, 8, 8, 1)'
