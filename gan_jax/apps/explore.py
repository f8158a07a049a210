"""What the page of a run shows, as functions of what is chosen on it: arrays and pictures, no browser.

page = Explorer(gan_jax.load('runs/x'))
page.grid(Choice(seed=1, amounts=(3.0,)))
"""

import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from gan_jax import core
from gan_jax.base.errors import UserError
from gan_jax.base.seeds import key_of
from gan_jax.core.game import RANDOM_STREAMS
from gan_jax.core.sampled import truncated
from gan_jax.data.transforms import to_uint8
from gan_jax.latents import paths
from gan_jax.latents.distributions import Uniform
from gan_jax.sampling import attention, conditions, exploration, pictures, sheets
from gan_jax.sampling import directions as directions_lib
from gan_jax.sampling import inputs as inputs_lib
from gan_jax.sampling.outputs import named
from gan_jax.sampling.reading import averaged_players
from gan_jax.sampling.run import Run, attention_of
from gan_jax.sampling.sampler import Sampler, check_count
from gan_jax.sampling.translation import translated

#: Samples are made in blocks of so many: one compiled program for grids and ways.
BLOCK = 16
#: So many latents show the main directions, and at least so many for each of their numbers.
ANSWERED, EACH = 512, 3
#: So many blocks and drawings are kept.
KEPT = 8
#: Modes of pictures that a PNG keeps as they are, and that a TIFF keeps.
OF_PNG, OF_TIFF = ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16'), ('I', 'I;16B', 'F')
#: Numbers of samples to choose from, of pictures and the like, and of points and tables.
PICTURES: tuple[int, ...]
PICTURES, POINTS = (4, 16, 32, 64), (256, 1024, 4096)
#: Width of a grid of pictures, and of one picture, about, pixels.
WIDE, LARGE = 720, 256
#: Examples below each other beside what they are made of; width of a column of a table, pixels.
ROWS, SIDE = 4, 340
#: Frames round the two chosen samples.
FRAMES = ((255, 127, 14), (31, 119, 180))


@dataclasses.dataclass(frozen=True)
class Choice:
  """What is chosen on the page.

  Attributes:
    seed: of the latents.
    count: samples.
    truncation: as `python -m gan_jax.sample` takes it; 0 for the game as it is.
    condition: (name, value) pairs that all samples are asked for.
    amounts: along each main direction, standard deviations.
    output: the name of what is shown, of several things; '' for the main one.
    ema: use the running averages of the weights, if the run keeps them.
  """

  seed: int = 0
  count: int = BLOCK
  truncation: float = 0.0
  condition: tuple[tuple[str, Any], ...] = ()
  amounts: tuple[float, ...] = ()
  output: str = ''
  ema: bool = True


class Made(NamedTuple):
  """Samples and what they were made of; latents and inputs are None where there are none."""

  samples: dict[str, np.ndarray]
  latents: Any
  inputs: Any


class Explorer:
  """A run as its page shows it.

  Args:
    run: from `gan_jax.load`.

  Raises:
    UserError: there is nothing to show: samples have no picture, or need data that are not there.

  Attributes:
    run: the run.
    asked: {condition: what it takes}.
    counts: numbers of samples to choose from; the second is a good one.
    outputs: names of what the game makes, the main one first; [''] for one thing.
    truncation: 'psi' (of styles, 1 for none), 'threshold' (of normal latents) or '' for games without.
    psi: of the game as it is, 1 where it has none.
    streams: streams that pictures can be dropped for.
    drawn: whether the game draws latents.
    pictures: whether what it makes are pictures.
    single: whether they can be chosen one by one: pictures made of latents.
    attention: whether a network has attention.
    directions: the main directions of the averages, or of the weights; None where there are none.
    lacks_data: whether the game samples from data that are not there, so that it shows only what is dropped.
    notes: one line for each thing that this run cannot show.
  """

  def __init__(self, run: Run):
    self.run = run
    game, stage = run.stage.game, run.stage
    self.drawn = game.latents is not None
    self.notes: list[str] = []
    self._made = functools.lru_cache(KEPT)(self._make)
    self._apply = jax.jit(self._block)
    self._seen = jax.jit(self._weights)
    self._sampler = functools.lru_cache(KEPT)(lambda threshold: Sampler(game, threshold))
    self._variables = functools.lru_cache(2)(run.variables)
    self.training = functools.lru_cache(1)(lambda output: exploration.training_pictures(run, output))
    self.asked = self._try('', lambda: conditions.asked(stage, run.read)) or {}
    reads = core.inputs_of(game, stage.streams)
    with run.remembering():
      self.streams = tuple(name for name in reads if inputs_lib.takes_pictures(stage, name, run.read))
    self.lacks_data = bool(reads) and self._try('examples of its data', lambda: run.inputs(1)) is None
    self.truncation, self.psi, _ = self._truncation()
    self.averaged = bool(averaged_players(stage.game, run.state, run.read))
    self._styles = functools.lru_cache(2)(lambda ema: self._truncation(ema)[2])
    self.outputs, self.counts = [''], PICTURES
    self.pictures = self.single = self.attention = False
    self.directions = None
    if not self.lacks_data:
      first = self.made(Choice())
      self.outputs = [*first.samples]
      shown = first.samples[self.outputs[0]]
      self.pictures = shown.ndim == 4 and shown.shape[-1] in (1, 3)
      made_of = any(output.of for output in core.outputs_of(game, stage.streams).values())
      self.single = self.pictures and self.drawn and not made_of and not hasattr(game, 'pictures')
      flat = max(x.ndim for x in first.samples.values()) < 3 and not hasattr(game, 'pictures')
      self.counts = POINTS if flat else PICTURES
      self.directions = self._try('sliders', self._main_directions) if self.drawn else None
      if not self.pictures:
        self.grid(Choice())  # an error says that there is nothing to show
      self.attention = self.single and bool(self._attention(Choice(), 0, look=False))
    elif not self.streams:
      raise UserError(f'there is nothing to show. {" ".join(self.notes)}')

  def _try(self, what: str, function: Any) -> Any:
    """What a function gives, or None and a note of what cannot be shown."""
    try:
      return function()
    except UserError as error:
      self.notes.append(f'No {what}: {error}.' if what else str(error))
      return None

  def _truncation(self, ema: bool = True) -> tuple[str, float, Any]:
    """(its kind, the game's own psi, (mean style (styles, units), which styles are truncated (styles,)) or None)."""
    game = self.run.stage.game
    try:
      (other, latents), full = truncated(game, 0.5), truncated(game, 1.0)[0]  # whatever psi its generator has
    except UserError:
      return '', 1.0, None
    if getattr(game, 'truncated', None) is None or latents != game.latents:
      return 'threshold', 1.0, None
    drawn, inputs = self.run.latents(1), self.run.inputs(1)
    of = lambda game: directions_lib.styles(game, self._variables(ema), drawn, inputs)[0]
    try:
      whole, half, own = of(full), of(other), of(game)
    except UserError:
      return '', 1.0, None
    # Styles of psi lie on the line from their mean to what they are: two of them give the mean, a third its psi.
    way = whole - half
    mean, acts = half - way, np.abs(way).max(1) > 0
    return 'psi', 1 - float(np.vdot(way, whole - own) / max(2 * np.vdot(way, way), 1e-30)), (mean, acts)

  def _main_directions(self) -> directions_lib.Directions:
    run, z = self.run, paths.part_of(self.run.latents(1))
    width = z.size if isinstance(z, np.ndarray) else 1
    latents = run.latents(max(ANSWERED, EACH * width))
    return directions_lib.main_directions(run.stage.game, run.variables(), latents, inputs=run.inputs(1))

  def made(self, choice: Choice) -> Made:
    """The samples of a choice."""
    return self._made(dataclasses.replace(choice, output=''))

  def _make(self, choice: Choice) -> Made:
    check_count(choice.count)
    run, latents = self.run, None
    inputs = run.inputs(choice.count, condition=dict(choice.condition))
    if self.drawn:
      latents = self._latents(choice)
    if choice.condition:
      latents, inputs = conditions.apply(run.stage, dict(choice.condition), latents, inputs, choice.count, run.read)
    if self.directions is not None:
      latents = directions_lib.moved(latents, self.directions, choice.amounts)
    with inputs_lib.missing(run.stage, choice.count):
      return Made(self._generated(choice, latents, inputs), latents, inputs)

  def _latents(self, choice: Choice) -> Any:
    threshold = choice.truncation if self.truncation == 'threshold' else 0.0
    return self._sampler(round(threshold, 3)).latents(choice.count, choice.seed)

  def _generated(self, choice: Choice, latents: Any, inputs: Any) -> dict[str, np.ndarray]:
    """{output: (N, ...)} of latents and inputs, in blocks."""
    variables = jax.device_put(self._variables(choice.ema), jax.local_devices()[0])
    shift, psi = self._moved(choice)
    count = len(jax.tree.leaves((latents, inputs))[0])
    blocks = []
    for start in range(0, count, BLOCK):
      part = jax.tree.map(lambda x: np.asarray(x)[np.arange(start, start + BLOCK) % count], (latents, inputs or {}))  # noqa: B023
      blocks.append(jax.device_get(self._apply(variables, key_of(choice.seed), *part, shift, psi)))
    whole = jax.tree.map(lambda *x: np.concatenate(x)[:count], *blocks)
    return named(whole, core.outputs_of(self.run.stage.game, self.run.stage.streams))

  def _moved(self, choice: Choice) -> tuple[Any, Any]:
    """(what is added to styles, (psi, mean style, which styles are truncated)); None each without."""
    shift = psi = None
    if self.directions is not None and self.directions.space == 'styles':
      shift = directions_lib.shift(self.directions, choice.amounts)
    if self.truncation == 'psi' and choice.truncation:
      psi = (np.float32(choice.truncation), *self._styles(choice.ema))
    return shift, psi

  def _block(self, variables: Any, key: jax.Array, latents: Any, inputs: Any, shift: Any, psi: Any, **how: Any) -> Any:
    def styled(following: Any, args: Any, kwargs: Any, context: Any) -> Any:
      out = following(*args, **kwargs)
      if context.method_name != directions_lib.STYLES:
        return out
      if psi is not None:
        size, mean, acts = psi
        out = jax.numpy.where(acts[None, :, None], mean[None] + size * (out - mean[None]), out)
      return out if shift is None else out + shift.reshape(1, *[1] * (out.ndim - 2), -1)

    batch = {**inputs, **({} if latents is None else {'latents': latents})}
    rngs = {name: jax.random.fold_in(key, i) for i, name in enumerate(RANDOM_STREAMS)}
    game = self.run.stage.game if psi is None else truncated(self.run.stage.game, 1.0)[0]
    with nn.intercept_methods(styled):
      return game.apply(variables, batch, method='sample', rngs=rngs, **how)

  def limits(self, output: str = '') -> tuple[float, float]:
    """(low, high) of the values of an output."""
    return self.run.range_of(output)

  def _pixels(self, choice: Choice, made: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """(N, H, W, C) uint8, the samples as pictures."""
    samples = self.made(choice).samples if made is None else made
    array = samples[choice.output or self.outputs[0]]
    if array.ndim != 4 or array.shape[-1] not in (1, 3):
      raise UserError(f'samples of shape {array.shape[1:]} are not pictures that can be chosen')
    return to_uint8(array, self.limits(choice.output))

  def grid(self, choice: Choice, chosen: Sequence[int] = ()) -> Image.Image:
    """The samples; of pictures, those that are chosen have a frame, the first an orange, the second a blue one."""
    made = self.made(choice)
    name = choice.output or self.outputs[0]
    if self.single:
      pixels = self._pixels(choice)
      picture = pictures.grid(pixels, (0, 255), columns=columns(choice.count), least_side=WIDE).convert('RGB')
      across, down = cell_of(pixels.shape, choice.count, picture)
      draw, thick = ImageDraw.Draw(picture), max(2, round(across / 40))
      for index, colour in zip(chosen, FRAMES, strict=False):
        left, top = (index % columns(choice.count)) * across, (index // columns(choice.count)) * down
        for i in range(thick):
          draw.rectangle((left + i, top + i, left + across - i, top + down - i), outline=colour)
      return picture
    samples = made.samples[''] if [*made.samples] == [''] else dict(made.samples)
    drawn = sheets.sheets(self.run.stage, samples, made.inputs, real=True, rows=ROWS, side=SIDE)
    if not drawn:
      shape = made.samples[name].shape[1:]
      raise UserError(f'samples of shape {shape} have no picture: gan_jax.sample writes them with --out=samples.npz')
    return drawn.get(name) or next(iter(drawn.values()))

  def at(self, choice: Choice, x: float, y: float) -> int:
    """The sample at a place of the grid, pixels."""
    picture = self.grid(choice)
    across, down = cell_of(self._pixels(choice).shape, choice.count, picture)
    place = int(y / down) * columns(choice.count) + min(int(x / across), columns(choice.count) - 1)
    return min(place, choice.count - 1)

  def one(self, choice: Choice, index: int) -> Image.Image:
    """One sample, large."""
    return _large(self._pixels(choice)[index])

  def way(self, choice: Choice, first: int, second: int, steps: int = 8) -> Image.Image:
    """From one sample to another: arcs of normal latents, lines of uniform ones. All else stays the first one's."""
    made = self.made(choice)
    if not isinstance(paths.part_of(made.latents), np.ndarray):
      title = type(self.run.stage.game).__name__
      raise UserError(f'{title} draws no vector of latents: there is no way from a sample to another')
    pick = lambda i, tree: jax.tree.map(lambda x: x[i : i + 1], tree)
    uniform = isinstance(paths.part_of(self.run.stage.game.latents), Uniform)
    kind = 'linear' if uniform else 'spherical'
    latents = paths.walk(pick(first, made.latents), pick(second, made.latents), steps, kind=kind)
    inputs = jax.tree.map(lambda x: np.repeat(x, steps, 0), pick(first, made.inputs))
    pixels = self._pixels(choice, self._generated(choice, latents, inputs))
    return pictures.grid(pixels, (0, 255), columns=steps, least_side=2 * WIDE)

  def nearest(self, choice: Choice, index: int, count: int = 7) -> Image.Image:
    """A sample beside its nearest training pictures.

    Raises:
      UserError: the training set is not there, or has no pictures.
    """
    train = self.training(choice.output)
    return exploration.with_nearest(self._pixels(choice)[index : index + 1], train, count)

  def _attention(self, choice: Choice, index: int, look: bool = True) -> dict[str, Any]:
    """{layer: (1, queries, keys)} of a sample; without looking, their shapes."""
    made = self.made(choice)
    latents, inputs = jax.tree.map(lambda x: x[index : index + 1], (made.latents, made.inputs or {}))
    given = (self._variables(choice.ema), key_of(choice.seed), latents, inputs, *self._moved(choice))
    found: dict[str, Any] = jax.device_get(self._seen(*given)) if look else jax.eval_shape(self._weights, *given)
    return found

  def _weights(self, *given: Any) -> dict[str, jax.Array]:
    _, sown = self._block(*given, mutable=['intermediates'])
    return attention_of(sown.get('intermediates', {}))

  def attention_maps(self, choice: Choice, index: int) -> Image.Image:
    """A sample with five points, and where each layer of attention looks from them, a layer in a row.

    Raises:
      UserError: no network has attention.
    """
    layers = self._attention(choice, index)
    if not layers:
      raise UserError(f'the generator of {type(self.run.stage.game).__name__} has no attention')
    drawn = attention.with_attention(self._pixels(choice)[index : index + 1], layers)
    page = [picture.convert('RGB') for picture in drawn.values()]
    whole = Image.new('RGB', (max(p.width for p in page), sum(p.height for p in page)), 'white')
    for i, picture in enumerate(page):
      whole.paste(picture, (0, sum(p.height for p in page[:i])))
    return whole

  def translate(self, picture: Image.Image, stream: str, choice: Choice) -> dict[str, Image.Image]:
    """What the game makes of a picture: {'input': as it reads it, output: made}.

    Args:
      picture: of any size.
      stream: that it stands for.
      choice: its seed, condition, truncation and ema count.
    """
    how: dict[str, Any] = dict(seed=choice.seed, condition=dict(choice.condition), ema=choice.ema)
    if self.truncation and choice.truncation:
      how['truncation'] = choice.truncation
    with tempfile.TemporaryDirectory() as folder:
      # As it is, so that it is read as a file of --inputs: turned, with its opacity and all of its bits.
      upright = ImageOps.exif_transpose(picture)
      if upright.mode not in OF_PNG + OF_TIFF:
        upright = upright.convert('RGBA' if upright.has_transparency_data else 'RGB')
      upright.save(pathlib.Path(folder) / ('dropped.tiff' if upright.mode in OF_TIFF else 'dropped.png'))
      found = translated(self.run, f'{stream}={folder}', **how)
    shown = {'input': found.given, **found.made}
    return {name or 'output': _large(to_uint8(array, limits)[0]) for name, (array, limits) in shown.items()}


def columns(count: int) -> int:
  """Samples in a row of the grid.

  >>> [columns(n) for n in (4, 16, 32, 64)]
  [2, 4, 8, 8]
  """
  return max(1, int(np.ceil(np.sqrt(count)))) if count <= 16 else 8


def cell_of(shape: tuple[int, ...], count: int, picture: Image.Image) -> tuple[float, float]:
  """(width, height) of a cell of a grid of pictures (N, H, W, C)."""
  width = picture.width / (columns(count) * (shape[2] + 1) + 1) * (shape[2] + 1)
  return width, width * (shape[1] + 1) / (shape[2] + 1)


def _large(pixels: np.ndarray) -> Image.Image:
  """A picture (H, W, C) uint8 enlarged by a whole number."""
  factor = max(1, round(LARGE / pixels.shape[1]))
  pixels = pixels.repeat(factor, 0).repeat(factor, 1)
  return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert('RGB')
