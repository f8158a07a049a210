"""The card of an exported generator, README.md as the Hugging Face hub shows it: data, figures, lines to load it."""

import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import gan_jax
from gan_jax import runs
from gan_jax.data import sets
from gan_jax.exports.function import Exported
from gan_jax.latents.distributions import Attributes, Label, Normal, Scales, Tags, Uniform
from gan_jax.runs.stages import networks_of
from gan_jax.sampling.reading import averaged_players
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
#: The most characters of an expression that draws an input; a table of many tags is not in the lines.
LONGEST = 500
VOCABULARY = 'vocabulary.json'


def card(
  run: Run,
  made: Exported,
  formats: tuple[str, ...],
  pictured: bool = True,
  named: bool = False,
  ema: bool = True,
  standing: int = 0,
) -> str:
  """The text of README.md.

  Args:
    run: that was exported.
    made: its function.
    formats: of the files beside the card.
    pictured: whether samples.png is beside it.
    named: whether vocabulary.json is, which says what numbers of words and classes stand for.
    ema: whether the weights are running averages where the run keeps them.
    standing: batches of which batch norm has its statistics; 0 for those of the training.
  """
  data = [
    f'`{sets.title(stream)}`' for stream in run.stage.streams.values() if sets.opens(stream)
  ]  # a run may be exported elsewhere
  inside = {name.split('/')[1] for name in made.weights if name.startswith('params/')}
  known = {name: f'{name} `{_class(network)}`' for name, network in networks_of(run.stage.game)}
  networks = [text for name, text in known.items() if name in inside]
  others = ', '.join(text for name, text in known.items() if name not in inside)
  count = sum(x.size for name, x in made.weights.items() if name.startswith('params/'))
  shapes = jax.eval_shape(made.apply, made.weights, made.inputs)
  outputs = '; '.join(f'{_array(name, shapes[name])}{_limits(run, name, shapes[name])}' for name in made.outputs)
  tag = '- image-generation\n' if any(map(_is_picture, shapes.values())) else ''
  trained = run.step > run.imported.get('step', 0)
  told = f', words and classes by their numbers in `{VOCABULARY}`' if named else ''
  parts = [
    f'---\nlibrary_name: gan_jax\ntags:\n- gan\n- jax\n{tag}---\n',
    f'# {run.config.game.name}, {", ".join(stream.name for stream in run.stage.streams.values())}\n',
    '![samples](samples.png)\n' if pictured else '',
    f'A generator {_origin(run)}: {", ".join(networks)}; {count:,} parameters. '
    f'{f"It was trained with {others}. " if others and trained else ""}All settings are in `config.json`'
    f'{told}.\n',
    _weights(run, ema, standing),
    f'**Data**: {", ".join(data) or "not on the machine that exported it"}.\n' if run.stage.streams and trained else '',
    f'**Inputs** {_described(made, _of_data(run, made))}; **outputs** {outputs}.\n',
    *(f'## {kind}\n\n`pip install {PACKAGES[kind]}`\n\n```python\n{_lines(kind, made)}\n```\n' for kind in formats),
    _figures(run),
  ]
  return '\n'.join(part for part in parts if part)


def _origin(run: Run) -> str:
  """How the weights came to be: trained here, read from files of other code, or both."""
  version, known = f'gan_jax {gan_jax.__version__}', run.imported
  if not known:
    return f'after {run.step:,} steps{_stage(run)}{_member(run)}, trained with {version}'
  files = ', '.join(f'{name} of `{file}`' for name, file in known['files'].items())
  more = run.step - known['step']
  return (
    f'converted with {version} from weights of other code ({files}){f", then trained for {more:,} steps" * (more > 0)}'
  )


def _stage(run: Run) -> str:
  """Which of several stages the files are of."""
  count = len(runs.stages_of(run.config))
  return f', stage {run.stage.number + 1} of {count}' if count > 1 else ''


def _member(run: Run) -> str:
  return '' if run.member is None else f', member {run.member} of a population (seed {run.config.seed})'


def _weights(run: Run, ema: bool, standing: int) -> str:
  """Which weights and statistics of a run are in the files; empty if it has one kind of them alone."""
  kept = averaged_players(run.stage.game, run.state, run.read)
  averages = f'running averages of {", ".join(kept)}' if ema else 'as they are, without running averages'
  kinds = [averages] if kept else []
  kinds += [f'with statistics of {standing} batches in batch norm'] if standing else []
  return f'**Weights**: {", ".join(kinds)}.\n' if kinds else ''


def _class(network: Any) -> str:
  """The name of its class, as a config names it."""
  kind = type(network)
  return f'{kind.__module__.removeprefix("gan_jax.nets.")}.{kind.__qualname__}'


def _is_picture(x: Any) -> bool:
  return len(x.shape) == 4 and 1 <= x.shape[-1] <= 4


def _limits(run: Run, output: str, x: Any) -> str:
  """The values of a picture, and what its axes are; empty for other examples."""
  if not _is_picture(x):
    return ''
  return _values(run.range_of('' if output == 'samples' else output))


def _values(limits: tuple[float, float]) -> str:
  return f' from {limits[0]:g} (black) to {limits[1]:g} (white): height, width, channels'


def _described(made: Exported, of_data: Mapping[str, str]) -> str:
  """The inputs with their shapes and distributions, or what is known of the fields of data."""
  what = lambda name: of_data.get(name, _distribution(made.drawn.get(name)))
  return '; '.join(f'{_array(name, x)}, {what(name)}' for name, x in made.inputs.items())


def _of_data(run: Run, made: Exported) -> dict[str, str]:
  """{input that is a field of the data: which values it has}, of pictures and classes."""
  found = {}
  for stream, settings in run.stage.streams.items():
    fields = {name: name.removeprefix(f'{stream}_') for name in made.inputs if name.startswith(f'{stream}_')}
    for name, field in fields.items():
      x, kind = made.inputs[name], settings.kinds.get(field)
      count = settings.classes if kind is None and field == 'label' else getattr(kind, 'count', 0)
      if _is_picture(x):
        found[name] = f'of your data,{_values(settings.range_of(field))}'
      elif count and x.ndim == 1 and np.issubdtype(x.dtype, np.integer):
        found[name] = f'of your data, a class from 0 to {count - 1}'
  return found


def _array(name: str, x: Any) -> str:
  return f'`{name}` {x.dtype} ({", ".join(["batch", *map(str, x.shape[1:])])})'


def _distribution(of: Any) -> str:
  if of is None:
    return 'of your data'
  if isinstance(of, Normal | Scales):
    return 'normal with mean 0 and deviation 1'
  if isinstance(of, Uniform):
    return f'uniform from {of.low:g} to {of.high:g}'
  if isinstance(of, Label):
    return f'a class from 0 to {of.classes - 1}{", as often as the game draws it" if of.shares else ""}'
  if isinstance(of, Attributes):
    return f'1 or 0 for {", ".join(of.names)}'
  if isinstance(of, Tags):
    return f'tags, 1 or 0: one of {len(of.table)} rows'
  return f'as the game draws them ({type(of).__name__})'


def _lines(kind: str, made: Exported) -> str:
  names = ', '.join(f"'{name}': {name}" for name in made.inputs)
  lines = ['import numpy as np', *LOADERS[kind].split('\n')]
  draw = [_drawn(name, x, made.drawn.get(name)) for name, x in made.inputs.items()]
  if any('rng.' in line for line in draw):
    draw = ['rng = np.random.default_rng(0)', *draw]
  at = next(i for i, line in enumerate(lines) if line.startswith('samples = '))
  text = '\n'.join([*lines[:at], *draw, *lines[at:]])
  return text.replace('{inputs}', '{' + names + '}').replace('{output}', made.outputs[0])


def _drawn(name: str, x: Any, of: Any) -> str:
  """The line that draws an input as the game does; zeros, which it says to replace, where no short line can."""
  if text := _expression(x, of):
    return f'{name} = {text}'
  what = 'fields of your data' if of is None else 'numbers as the game draws them'
  return f"{name} = np.zeros({_shape(x)}, '{x.dtype}')  # replace the zeros by {what}, of this shape"


def _expression(x: Any, of: Any) -> str:
  """What draws 16 rows like those of `x` from a distribution; empty if there is no short expression."""
  shape, text = _shape(x), ''
  if isinstance(of, Normal | Scales):
    text = f"rng.standard_normal({shape}).astype('{x.dtype}')"
  elif isinstance(of, Uniform):
    text = f"rng.uniform({float(of.low)}, {float(of.high)}, {shape}).astype('{x.dtype}')"
  elif isinstance(of, Label) and of.shares:
    shares = [float(share) for share in of.shares]
    text = f"rng.choice({of.classes}, {shape}, p=np.divide({shares}, {sum(shares)})).astype('{x.dtype}')"
  elif isinstance(of, Label):
    text = f"rng.integers({of.classes}, size={shape}, dtype='{x.dtype}')"
  elif isinstance(of, Attributes):
    share = list(of.share) if isinstance(of.share, tuple) else of.share
    text = f"(rng.random({shape}) < {share}).astype('{x.dtype}')"
  elif isinstance(of, Tags):
    table = [list(row) for row in of.table]
    text = f"np.array({table}, '{x.dtype}')[rng.integers({len(table)}, size=16)]"
  return text if len(text) <= LONGEST else ''


def _shape(x: Any) -> str:
  rest = tuple(x.shape[1:])
  return str((16, *rest)) if rest else '16'


def _figures(run: Run) -> str:
  """The figures of the run's last evaluation, each under its protocol."""
  if not run.evaluation_file.exists():
    return '**Figures**: this run was not evaluated.\n'
  found = json.loads(run.evaluation_file.read_text())
  rows = [f'| {key} | {figure["value"]} | {figure["protocol"]} |' for key, figure in found['figures'].items()]
  head = f'## Figures\n\nOf step {found["step"]}, on {found["device"]}.\n\n| figure | value | protocol |\n'
  return head + '|---|---|---|\n' + '\n'.join(rows) + '\n'
