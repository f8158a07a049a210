"""The page of data is true: every layout that it shows is made, every block of columns read, every command run."""

import json
import pathlib
import re
import shlex

import jax
import numpy as np
import pytest
import rows
from PIL import Image

from gan_jax import config as config_lib
from gan_jax import main
from gan_jax.data import sources
from gan_jax.data.streams import streams_of

PAGE = (pathlib.Path(__file__).parent.parent / 'docs' / 'data.md').read_text()
OWN = PAGE[PAGE.index('## Your own data') : PAGE.index('## Settings')]
COMMANDS = [re.sub(r'\\\n\s*', '', found) for found in re.findall(r'^    (python -m (?:.*\\\n)*.*)', PAGE, re.M)]
#: Blocks of Python that say how a set is read, by the folder before them; embeddings are made by another library.
BLOCKS = [block for block in re.findall(r'```python\n(.*?)```', OWN, re.S) if 'columns' in block]


def picture(path, width=12, height=12):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.random.RandomState(len(str(path))).randint(0, 256, (height, width, 3), np.uint8)).save(path)


def photos(root):
  for split in ('train', 'test'):
    for kind in ('cat', 'dog'):
      for i in range(4):
        picture(root / split / kind / f'{i}.jpg')


def faces(root):
  for split in ('train', 'test'):
    for i in range(8):
      picture(root / split / f'{i:06d}.jpg')
    lines = ['file_name,Male,Smiling', *(f'{i:06d}.jpg,{i % 2},1' for i in range(8))]
    (root / split / 'metadata.csv').write_text('\n'.join(lines))


def shoes(root):
  for i in range(4):
    picture(root / 'train' / f'{i}.jpg')
  shown = json.loads(re.search(r'`(\{"file_name.*?\})`', OWN)[1])
  lines = [json.dumps({**shown, 'file_name': f'{i}.jpg', 'kind': ('boot', 'sandal')[i % 2]}) for i in range(4)]
  (root / 'train' / 'metadata.jsonl').write_text('\n'.join(lines))


def edges2shoes(root):
  for i in range(4):
    picture(root / 'train' / f'{i}.jpg', 24)


def facades(root):
  for i in range(4):
    picture(root / 'train' / 'A' / f'{i}.png')
    picture(root / 'train' / 'B' / f'{i}.jpg')


def shapes(root):
  root.mkdir()
  for split in ('train', 'test'):
    np.savez(root / f'{split}.npz', voxels=np.ones((4, 8, 8, 8, 1), bool), label=np.arange(4))


LAYOUTS = {'photos': photos, 'faces': faces, 'shoes': shoes, 'edges2shoes': edges2shoes, 'facades': facades}
LAYOUTS['shapes'] = shapes
#: The set of each block, and the shapes that a loss sees.
READS = [
  ('shoes', {'image': (64, 64, 3), 'text': (16,), 'label': ()}),
  ('edges2shoes', {'a': (32, 32, 3), 'b': (32, 32, 3)}),
  ('facades', {'A': (32, 32, 3), 'B': (32, 32, 3)}),
  ('photos', {'a': (32, 32, 3), 'b': (32, 32, 3)}),
  ('shapes', {'image': (8, 8, 8, 1), 'label': ()}),
]


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
  sources._open.cache_clear()
  monkeypatch.chdir(tmp_path)


def test_every_layout_and_block_of_the_page_is_here():
  shown = set(re.findall(r'^    (\w+)/$', OWN, re.M))
  assert shown == set(LAYOUTS) - {'shoes'} and len(BLOCKS) == len(READS)


@pytest.mark.parametrize('number', range(len(READS)), ids=[name for name, _ in READS])
def test_a_block_of_the_page_reads_its_layout(number, tmp_path):
  name, shapes_of = READS[number]
  LAYOUTS[name](tmp_path / name)
  found = {'config_lib': config_lib}
  exec(BLOCKS[number], found)
  where = (
    {'name': 'npz', 'path': f'{name}/{{split}}.npz'} if name == 'shapes' else {'name': 'folder', 'path': f'{name}/'}
  )
  data = found.get('data') or {**where, 'columns': found['columns']}
  stream = streams_of(config_lib.base(game={'name': 'x'}, optimizers={}, data=data).data.to_dict(), 2)['images']
  source = stream.open()
  batch = {field: np.stack([source[i][field] for i in range(2)]) for field in source[0]}
  assert {field: x.shape[1:] for field, x in stream.prepare(batch, jax.random.key(0)).items()} == shapes_of


@pytest.mark.slow
def test_every_command_of_the_page_runs(tmp_path, capsys):
  photos(tmp_path / 'photos')
  faces(tmp_path / 'faces')
  small = [argument for argument in rows.shrunk('configs/dcgan.py') if not argument.startswith('--config.data.')]
  small += ['--config.steps=1', '--config.devices=1', '--config.formulation=plain', '--config.ema={}']
  ran = 0
  for command in COMMANDS:
    _, _, module, *arguments = shlex.split(command)
    if 'configs/folder.py' in arguments:  # tests/test_folder_config.py has what it chooses
      main.main([*arguments, '--config.hours=0.01', '--dry_run'])
      assert 'chosen    FastGAN' in capsys.readouterr().out
    elif module == 'gan_jax.main':
      main.main([*arguments, *small, '--workdir', f'run{ran}'])
      assert (tmp_path / f'run{ran}' / 'metrics.jsonl').exists()
      ran += 1
    else:  # it downloads; tests/test_prepare.py runs it on made-up downloads
      assert (module, arguments) == ('gan_jax.prepare', ['--name', 'mnist'])
  assert ran == 2
