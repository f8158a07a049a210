"""The card of an exported generator, README.md as the Hugging Face hub shows it: data, figures, lines to load it."""

import json
from typing import Any

import numpy as np

import gan_jax
from gan_jax.data import sets
from gan_jax.exports.function import Exported
from gan_jax.sampling.run import Run

#: {format: (file, the lines that load it)}; the lines need the packages below, and not this library.
FILES = {'stablehlo': 'generator.stablehlo', 'onnx': 'generator.onnx', 'safetensors': 'generator.safetensors'}
#: What `pip install` needs to load each; the program of JAX is read with flatbuffers.
PACKAGES = {'stablehlo': 'jax flatbuffers', 'onnx': 'onnxruntime', 'safetensors': 'jax flatbuffers safetensors'}
LOADERS = {
  'stablehlo': """import jax
generator = jax.export.deserialize(bytearray(open('generator.stablehlo', 'rb').read())).call
samples = generator({inputs})['{output}']""",
  'onnx': """import onnxruntime
session = onnxruntime.InferenceSession('generator.onnx')
samples = session.run(['{output}'], {inputs})[0]""",
  'safetensors': """import base64, jax, safetensors
with safetensors.safe_open('generator.safetensors', 'numpy') as file:
    metadata = file.metadata()
    weights = {name: file.get_tensor(name) for name in file.keys()}
program = bytearray(base64.b64decode(metadata['program']))
samples = jax.export.deserialize(program).call(weights, {inputs})['{output}']""",
}


def card(run: Run, made: Exported, formats: tuple[str, ...], pictured: bool = True) -> str:
  """The text of README.md.

  Args:
    run: that was exported.
    made: its function.
    formats: of the files beside the card.
    pictured: whether samples.png is beside it.
  """
  game = run.config.game
  data = [f'`{sets.title(stream)}`' for stream in run.stage.streams.values() if _opens(stream)]
  networks = [f'{name} `{part.name}`' for name, part in game.items() if hasattr(part, 'get') and part.get('name')]
  count = sum(x.size for name, x in made.weights.items() if name.startswith('params/'))
  limits = {name: run.range_of('' if name == 'samples' else name) for name in made.outputs}
  outputs = ', '.join(f'`{name}` from {low:g} (black) to {high:g} (white)' for name, (low, high) in limits.items())
  parts = [
    '---\nlibrary_name: gan_jax\ntags:\n- gan\n- jax\n- image-generation\n---\n',
    f'# {game.name}, {", ".join(stream.name for stream in run.stage.streams.values())}\n',
    '![samples](samples.png)\n' if pictured else '',
    f'A generator after {run.step:,} steps, trained with gan_jax {gan_jax.__version__}: {", ".join(networks)}; '
    f'{count:,} parameters in what makes samples. All settings are in `config.json`.\n',
    f'**Data**: {", ".join(data) or "not on the machine that exported it"}.\n' if run.stage.streams else '',
    f'**Inputs** {_described(made)}; **outputs** {outputs}: height, width, channels.\n',
    *(f'## {kind}\n\n`pip install {PACKAGES[kind]}`\n\n```python\n{_lines(kind, made)}\n```\n' for kind in formats),
    _figures(run),
  ]
  return '\n'.join(part for part in parts if part)


def _opens(stream: Any) -> bool:
  """Whether the data of a stream are here still: a run may be exported elsewhere."""
  try:
    stream.open()
  except Exception:
    return False
  return True


def _described(made: Exported) -> str:
  shape = lambda x: ', '.join(['batch', *map(str, x.shape[1:])])
  return ', '.join(f'`{name}` {x.dtype} ({shape(x)})' for name, x in made.inputs.items())


def _lines(kind: str, made: Exported) -> str:
  names = ', '.join(f"'{name}': {name}" for name in made.inputs)
  lines = ['import numpy as np', *LOADERS[kind].split('\n')]
  draw = [_drawn(name, x) for name, x in made.inputs.items()]
  at = next(i for i, line in enumerate(lines) if line.startswith('samples = '))
  text = '\n'.join([*lines[:at], *draw, *lines[at:]])
  return text.replace('{inputs}', '{' + names + '}').replace('{output}', made.outputs[0])


def _drawn(name: str, x: np.ndarray) -> str:
  shape = ', '.join(['16', *map(str, x.shape[1:])])
  shape = f'({shape})' if ',' in shape else f'{shape}'
  if np.issubdtype(x.dtype, np.integer):
    return f'{name} = np.zeros({shape}, np.{x.dtype})'
  return f"{name} = np.random.default_rng(0).standard_normal({shape}).astype('{x.dtype}')"


def _figures(run: Run) -> str:
  """The figures of the run's last evaluation, each under its protocol."""
  if not run.evaluation_file.exists():
    return '**Figures**: this run was not evaluated.\n'
  found = json.loads(run.evaluation_file.read_text())
  rows = [f'| {key} | {figure["value"]} | {figure["protocol"]} |' for key, figure in found['figures'].items()]
  head = f'## Figures\n\nOf step {found["step"]}, on {found["device"]}.\n\n| figure | value | protocol |\n'
  return head + '|---|---|---|\n' + '\n'.join(rows) + '\n'
