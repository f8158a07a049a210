"""Makes the notebooks of their sources, runs them, and writes them with what they print and draw.

    make notebooks                        # all
    make notebooks NOTEBOOKS=quickstart   # one

A source is a Python file in `src/`: `# %%` starts a cell of code, `# %% [markdown]` one of text in comments. In
`x = 2000  # quick: 3` the tests take the second value; the notebook has the first alone.
"""

import base64
import io
import pathlib
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from typing import NamedTuple

HERE = pathlib.Path(__file__).parent
#: The public repository on GitHub: `Repository` in `[project.urls]` of pyproject.toml; '' before there is one.
URLS = tomllib.loads((HERE.parent / 'pyproject.toml').read_text())['project'].get('urls', {})
REPOSITORY = URLS.get('Repository', '').removeprefix('https://github.com/').rstrip('/')
BADGE = (
  (
    '\n\n[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]'
    f'(https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{{name}}.ipynb)'
  )
  if REPOSITORY
  else ''
)
#: What pip installs where gan_jax is missing.
SOURCE = f'git+https://github.com/{REPOSITORY}' if REPOSITORY else 'gan_jax'
#: The largest .ipynb, bytes.
LARGEST = 300_000
#: Colours of a picture in a notebook.
COLOURS = 64

SETUP = f"""\
# Installs gan_jax where it is missing, on Colab say. JAX stays as the runtime has it: it fits the TPU or the GPU.
import importlib.metadata
import importlib.util
import pathlib
import subprocess
import sys

if importlib.util.find_spec('gan_jax') is None:
  here = [f'{{d.name}}=={{d.version}}' for d in importlib.metadata.distributions()]
  kept = [one for one in here if one.startswith(('jax', 'libtpu', 'numpy='))]
  pathlib.Path('kept.txt').write_text('\\n'.join(kept))
  source = '{SOURCE}'  # or the folder of a clone, or its address: 'git+https://...'
  subprocess.check_call([sys.executable, '-m', 'pip', 'install', '--quiet', '-c', 'kept.txt', source])

import jax

import gan_jax

devices = f'{{jax.device_count()}} {{jax.devices()[0].device_kind}}'
print('gan_jax', gan_jax.__version__, 'on jax', jax.__version__, 'with', devices)
"""


class Cell(NamedTuple):
  """A cell of a notebook.

  Attributes:
    code: whether it is code; else Markdown.
    text: what is in it.
  """

  code: bool
  text: str


def names() -> list[str]:
  """The names of the notebooks."""
  return sorted(file.stem for file in (HERE / 'src').glob('*.py'))


def cells(name: str, *, quick: bool = False) -> list[Cell]:
  """The cells of a notebook: title, badge and set-up first.

  Args:
    name: of the notebook.
    quick: take the values for tests.
  """
  text = (HERE / 'src' / f'{name}.py').read_text()
  text = re.sub(r'^(.*? = ).*  # quick: (.+)$', r'\1\2' if quick else _without_quick, text, flags=re.MULTILINE)
  found = []
  for part in re.split(r'^# %%', text, flags=re.MULTILINE)[1:]:
    kind, _, body = part.partition('\n')
    code = kind.strip() != '[markdown]'
    found.append(Cell(code, body.strip() if code else re.sub(r'^# ?', '', body.strip(), flags=re.MULTILINE)))
  title, *others = found
  return [title._replace(text=title.text + BADGE.format(name=name)), Cell(True, SETUP.strip()), *others]


def _without_quick(line: re.Match[str]) -> str:
  return line[0].partition('  # quick: ')[0]


def build(name: str) -> pathlib.Path:
  """Runs a notebook in an empty folder and writes it with its outputs."""
  import nbclient
  import nbformat

  v4 = nbformat.v4
  made = v4.new_notebook(metadata={'kernelspec': {'name': 'python3', 'language': 'python', 'display_name': 'Python 3'}})
  for number, cell in enumerate(cells(name)):
    new = (v4.new_code_cell if cell.code else v4.new_markdown_cell)(cell.text)
    made.cells.append({**new, 'id': f'{name}-{number}'})
  made = nbformat.from_dict(made)
  with tempfile.TemporaryDirectory() as folder:
    nbclient.NotebookClient(made, timeout=900, resources={'metadata': {'path': folder}}).execute()
  for cell in made.cells:
    cell.metadata.clear()
    if cell.cell_type == 'code':
      cell.outputs = _merged(output for output in cell.outputs if output.get('name') != 'stderr')
      for output in cell.outputs:
        if 'image/png' in output.get('data', {}):
          output.data['image/png'] = _smaller(output.data['image/png'])
          output.data.pop('image/jpeg', None)  # PIL shows itself twice
  made.metadata.pop('language_info', None)
  file = HERE / f'{name}.ipynb'
  text = nbformat.writes(made, version=4, indent=1) + '\n'
  if len(text) > LARGEST:
    raise SystemExit(f'{file.name} has {len(text)} bytes, more than {LARGEST}: draw fewer or smaller pictures')
  file.write_text(text)
  return file


def _merged(outputs: Iterable) -> list:
  """The outputs, with what was printed in several pieces as one."""
  merged: list = []
  for output in outputs:
    if merged and output.output_type == 'stream' and merged[-1].output_type == 'stream':
      merged[-1].text += output.text
    else:
      merged.append(output)
  return merged


def _smaller(png: str) -> str:
  """A PNG, base64, in few colours."""
  from PIL import Image

  picture = Image.open(io.BytesIO(base64.b64decode(png)))
  picture = picture.convert('RGB').quantize(COLOURS, dither=Image.Dither.NONE)
  out = io.BytesIO()
  picture.save(out, 'PNG', optimize=True)
  return base64.b64encode(out.getvalue()).decode()


if __name__ == '__main__':
  for chosen in sys.argv[1:] or names():
    print(build(chosen), flush=True)
