"""Writes a folder with an exported generator: files of each format, the card, a picture of samples, the config."""

import json
from collections.abc import Callable, Sequence

from etils import epath
from PIL.Image import Image

from gan_jax.base import console, paths
from gan_jax.base.command import writable
from gan_jax.base.errors import UserError, one_of, short
from gan_jax.config import to_json
from gan_jax.exports import card, onnx, safetensors, stablehlo
from gan_jax.exports.function import Exported, exported
from gan_jax.exports.vocabulary import vocabulary
from gan_jax.sampling import pictures
from gan_jax.sampling.run import Run

FORMATS: dict[str, Callable[[Exported, str], bytes]] = {
  'stablehlo': lambda made, config: stablehlo.program(made),
  'onnx': lambda made, config: onnx.model(made),
  'safetensors': safetensors.file,
}


def write(
  run: Run, out: epath.PathLike, formats: Sequence[str] = ('stablehlo',), *, ema: bool = True, standing: int = 0
) -> dict[str, int]:
  """Exports a run.

  Args:
    run: from `gan_jax.load`.
    out: a folder.
    formats: of 'stablehlo', 'onnx', 'safetensors'.
    ema: use running averages where the run keeps them.
    standing: batches whose statistics replace the running ones of batch norm; 0 for none.

  Returns:
    {file: its bytes}.

  Raises:
    UserError: a format is unknown, the game cannot be written in it, or the folder cannot be written.
  """
  if not formats:
    raise UserError(f'no format to export: choose of {", ".join(FORMATS)}')
  for name in formats:
    if name not in FORMATS:
      raise one_of('format of an export', name, FORMATS)
  made, config = exported(run, ema=ema, standing=standing), to_json(run.config)
  drawn = _drawn(run, ema, standing)
  # All are made before the first is written: a format that fails leaves no half folder.
  files = {card.FILES[name]: FORMATS[name](made, config) for name in formats}
  words = vocabulary(run)
  text = card.card(run, made, tuple(formats), drawn is not None, bool(words), ema, standing)
  files |= {'README.md': text.encode(), 'config.json': config.encode()}
  if words:
    files[card.VOCABULARY] = json.dumps(words, indent=2).encode()
  folder = paths.expand(out)
  with writable(folder):
    folder.mkdir(parents=True, exist_ok=True)
  for name in {*card.FILES.values(), card.VOCABULARY} - files.keys():
    with writable(folder / name):  # of an export before, perhaps of other weights
      (folder / name).unlink(missing_ok=True)
  for name, content in files.items():
    with writable(folder / name):
      (folder / name).write_bytes(content)
  with writable(folder / 'samples.png'):
    if drawn is not None:
      pictures.write(drawn, folder / 'samples.png')
    elif (folder / 'samples.png').exists():  # of an export before
      (folder / 'samples.png').unlink()
  return {name: len(content) for name, content in files.items()}


def _drawn(run: Run, ema: bool, standing: int) -> Image | None:
  """A picture of 64 samples; None where they have none, or where they are made of data that are not there."""
  try:
    inputs = run.inputs(64)
  except UserError as error:
    console.say(f'no samples.png: {error}', error=True)
    return None
  return next(iter(run.pictures(run.sample(64, ema=ema, standing=standing, inputs=inputs), inputs).values()), None)


def push(folder: epath.PathLike, repository: str) -> str:
  """Uploads a folder to the Hugging Face hub, to a repository that is made if it is not there; returns its address.

  Raises:
    UserError: huggingface_hub is not installed, or the hub refuses.
  """
  try:
    import huggingface_hub
  except ImportError as error:
    raise UserError("huggingface_hub is not installed: pip install 'gan_jax[export]'") from error
  try:
    hub = huggingface_hub.HfApi()
    hub.create_repo(repository, exist_ok=True)
    return str(hub.upload_folder(repo_id=repository, folder_path=str(paths.expand(folder))))
  except Exception as error:  # of the hub, of many kinds
    raise UserError(f'--push={repository}: the hub refuses ({short(error)}); log in with `hf auth login`') from error
