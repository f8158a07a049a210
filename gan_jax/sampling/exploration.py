"""The pictures that papers show, for a run: samples with their neighbours, and how samples change with the latents.

    python -m gan_jax.sample --workdir runs/x --picture=interpolation --out interpolation.png

Each function draws one picture; `gan_jax.latents.paths` computes its latents.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from PIL.Image import Image

from gan_jax import core
from gan_jax.base.errors import UserError, one_of
from gan_jax.core.sampled import truncated
from gan_jax.data import sets
from gan_jax.data.transforms import to_uint8
from gan_jax.features import choose
from gan_jax.latents import paths as latent_paths
from gan_jax.latents.distributions import Attributes, Label, Tags, Uniform
from gan_jax.metrics.neighbours import nearest
from gan_jax.sampling import pictures
from gan_jax.sampling.attention import attention
from gan_jax.sampling.between import between_classes, between_conditions
from gan_jax.sampling.makers import makers
from gan_jax.sampling.shown import Options, images_of, imitated_by, label_of, parts_of, reference_of, start_of

if TYPE_CHECKING:
  from gan_jax.sampling.run import Run

#: The part of a class, ordered by mean pixel value, that a concept such as '3:bright' means.
SHADES = {'dark': (0, 1 / 3), 'bright': (2 / 3, 1)}
#: Batch size of the classifier.
BATCH = 500
#: Width of three columns of arithmetic, pixels.
CELLS = 256


def neighbours(run: 'Run', count: int = 8, options: Options = Options(), *, nearest_count: int = 5) -> Image:
  """Samples next to their nearest training examples, to see whether they are copies.

  Source: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, figure 2. Distances are Euclidean, of 8-bit pixels.
  From a set of more than 256 MB it searches a random part of that size.

  Args:
    run: from `gan_jax.load`.
    count: samples, one in a row.
    options: which samples.
    nearest_count: training examples beside each.
  """
  drawn = None if run.stage.game.latents is None else start_of(run, count, options)
  images = images_of(run, drawn, options, inputs=run.inputs(count))
  train = training_pictures(run, options.output)
  return with_nearest(to_uint8(images, run.range_of(options.output)), train, nearest_count)


def training_pictures(run: 'Run', output: str = '') -> np.ndarray:
  """(N, H, W, C) uint8: the pictures that an output learnt from, at most 256 MB of them, in a random order.

  Raises:
    UserError: the set is not there, or has no pictures of 8 bits.
  """
  stream = reference_of(run, Options(output=output))
  if not stream.pictures:
    raise UserError(f'{stream.name!r} has no pictures of 8 bits to compare samples with: use --picture=grid')
  parts = sets.learnt_from(run.stage.streams, imitated_by(run, output).stream)
  train: np.ndarray = sets.examples(stream, len(stream.open()), parts=parts)[0]
  return train


def with_nearest(samples: np.ndarray, train: np.ndarray, nearest_count: int = 5) -> Image:
  """Samples (S, H, W, C) uint8, each in a row with its nearest training pictures."""
  indices = nearest(samples, train, k=min(nearest_count, len(train))).indices
  rows = np.concatenate([samples[:, None], train[indices]], 1)
  heads = ['sample', 'nearest'] + [''] * (indices.shape[1] - 1)
  return pictures.grid(rows.reshape(-1, *rows.shape[2:]), (0, 255), columns=rows.shape[1], heads=heads)


def interpolation(run: 'Run', count: int = 8, options: Options = Options(), *, steps: int = 9, kind: str = '') -> Image:
  """Interpolation: a row for each pair of samples, from one to the other; class, maker and codes stay the first's.

  Args:
    run: from `gan_jax.load`.
    count: pairs.
    options: which samples.
    steps: pictures in a row, both ends included.
    kind: of `latent_paths.walk`; by default linear for uniform latents and spherical for others.
  """
  drawn = start_of(run, 2 * count, options)
  uniform = isinstance(latent_paths.part_of(run.stage.game.latents), Uniform)
  starts, ends = (jax.tree.map(lambda x, half=half: x[half], drawn) for half in (slice(count), slice(count, None)))
  path = latent_paths.walk(starts, ends, steps, kind=kind or ('linear' if uniform else 'spherical'))
  return pictures.grid(images_of(run, path, options, each=steps), run.range_of(options.output), columns=steps)


def manifold(run: 'Run', count: int = 12, options: Options = Options(), *, axes: tuple[int, int] = (0, 1)) -> Image:
  """The samples of a square grid over two latent dimensions. The others are those of the seed's first sample.

  Args:
    run: from `gan_jax.load`.
    count: pictures on each side.
    options: which samples.
    axes: the two dimensions.
  """
  base = start_of(run, 1, options)
  _, distributions = truncated(run.stage.game, options.truncation)
  latents = latent_paths.manifold(latent_paths.part_of(distributions), count, base, axes=axes)
  return pictures.grid(images_of(run, latents, options, each=count**2), run.range_of(options.output), columns=count)


def classes(run: 'Run', count: int = 10, options: Options = Options()) -> Image:
  """A row for each class of a conditional game. In a column only the class changes.

  Args:
    run: from `gan_jax.load`.
    count: columns.
    options: which samples.
  """
  label = label_of(run, 'classes')
  if options.label is not None:
    raise UserError(
      f'--label={options.label} with --picture=classes: this picture shows all classes, leave --label out'
    )
  one = start_of(run, count, options)
  latents, inputs = jax.tree.map(lambda x: np.concatenate([x] * label.classes), (one, run.inputs(count)))
  latents['label'] = np.repeat(np.arange(label.classes, dtype=np.int32), count)
  names = [str(i) for i in range(label.classes)]
  return pictures.grid(
    images_of(run, latents, options, inputs), run.range_of(options.output), columns=count, names=names
  )


def codes(run: 'Run', count: int = 5, options: Options = Options(), *, steps: int = 9) -> dict[str, Image]:
  """A picture for each code. Along its rows only that code changes.

  Codes are the classes, numbers and entries of vectors in the latents outside 'z'; a map of noise is none.
  Labels take all classes, tags and attributes 0 and 1, real-valued codes -2 to 2, uniform codes twice their range, as
  in figure 2 of InfoGAN.

  Args:
    run: from `gan_jax.load`.
    count: rows, each another sample.
    options: which samples.
    steps: values of a real code.

  Returns:
    {part, or PART_i for entry i of a part: picture}.
  """
  start, shown = start_of(run, count, options), {}
  for part, distribution in sorted(parts_of(run, 'codes').items()):
    if part == 'z' or not (isinstance(distribution, Label) or _is_vector(start[part])):
      continue
    if part == 'label' and options.label is not None:  # it stays as it was asked for
      continue
    values = _values(distribution, steps)
    for index in range(start[part].shape[1]) if start[part].ndim == 2 else (None,):
      images = images_of(run, latent_paths.varied(start, part, values, index), options, each=len(values))
      heads = [f'{value:.2g}' for value in values]
      name = part if index is None else f'{part}_{index}'
      shown[name] = pictures.grid(images, run.range_of(options.output), columns=len(values), heads=heads)
  if not shown:
    raise UserError(f'--picture=codes of {type(run.stage.game).__name__}, whose latents are {sorted(start)}: use grid')
  return shown


def _is_vector(drawn: Any) -> bool:
  """Whether a part of the latents is a real number or a vector of them in each example."""
  return isinstance(drawn, np.ndarray) and drawn.ndim <= 2 and np.issubdtype(drawn.dtype, np.floating)


def parts(run: 'Run', count: int = 5, options: Options = Options(), *, steps: int = 9) -> dict[str, Image]:
  """A picture for each part of the latents. Along its rows only that part is drawn anew: what does it decide?

  So Huang et al. 2016, https://arxiv.org/abs/1612.04357, section 4, look at the levels of a stack.

  Args:
    run: from `gan_jax.load`.
    count: rows, each another sample, which stands first.
    options: which samples.
    steps: pictures in a row.
  """
  names = [part for part in sorted(parts_of(run, 'parts')) if part != 'label' or options.label is None]
  if not names:
    raise UserError(f'--label={options.label} with --picture=parts: the class is all that could change, leave it out')
  drawn, shown = start_of(run, count * steps, options), {}
  start = jax.tree.map(lambda x: np.asarray(x)[::steps], drawn)
  for part in names:
    latents = latent_paths.repeated(start, steps) | {part: drawn[part]}
    shown[part] = pictures.grid(
      images_of(run, latents, options, each=steps), run.range_of(options.output), columns=steps
    )
  return shown


def _values(distribution: Any, steps: int) -> np.ndarray:
  """The values that a code takes in a row of the picture."""
  if isinstance(distribution, Label):
    return np.arange(distribution.classes, dtype=np.float64)
  if isinstance(distribution, Tags | Attributes):
    return np.array([0.0, 1.0])
  if isinstance(distribution, Uniform):
    middle, reach = (distribution.high + distribution.low) / 2, distribution.high - distribution.low
    return np.linspace(middle - reach, middle + reach, steps)
  return np.linspace(-2, 2, steps)


#: A concept: a class with or without a shade, '3' or '3:bright'; or a function, images (N, H, W, C) -> (N,) boolean.
Concept = str | Callable[[np.ndarray], np.ndarray]


def arithmetic(
  run: 'Run',
  count: int = 2000,
  options: Options = Options(),
  *,
  concepts: Sequence[Concept] = ('0:bright', '0:dark', '1:dark'),
) -> Image:
  """Latent arithmetic a - b + c on three concepts: three samples of each and their mean, then the result and variants.

  Source: Radford et al. 2015, https://arxiv.org/abs/1511.06434, figure 7: three examples per concept, their latents
  averaged; around the result 8 others with uniform noise of 0.25. differs: a classifier picks the first three
  examples of each concept, not a person.

  Args:
    run: from `gan_jax.load`.
    count: number of samples in which it looks for the concepts.
    options: which samples.
    concepts: a, b and c. A string names a class, as the classifier of `gan_jax.evaluate` predicts, alone ('3') or with
      its third of most or of least mean pixel value ('3:bright', '3:dark').

  Raises:
    UserError: a concept does not exist, or fewer than three samples show it; the game reads examples when it samples.
  """
  if len(concepts) != 3:
    raise UserError(f'--concepts has {len(concepts)} concepts: name three, for a - b + c')
  if core.inputs_of(run.stage.game, run.stage.streams):
    raise UserError(
      f'--picture=arithmetic of {type(run.stage.game).__name__}, which reads examples when it samples: what it shows '
      'depends on them too; use interpolation'
    )
  drawn = start_of(run, count, options)
  having = _having(run, images_of(run, drawn, options), options, concepts)
  titles = [concept if isinstance(concept, str) else 'abc'[i] for i, concept in enumerate(concepts)]
  terms = [latent_paths.chosen(drawn, mask, concept=repr(title)) for title, mask in zip(titles, having, strict=True)]
  shown = [jax.tree.map(lambda *x: np.concatenate(x), term, latent_paths.mean(term)) for term in terms]
  result = latent_paths.around(latent_paths.arithmetic(*terms))
  columns = np.stack([images_of(run, latents, options) for latents in shown], 1)
  left = pictures.grid(
    columns.reshape(-1, *columns.shape[2:]),
    run.range_of(options.output),
    columns=3,
    heads=[titles[0], f'- {titles[1]}', f'+ {titles[2]}'],
    names=['', '', '', 'mean'],
    least_side=CELLS,
  )
  right = pictures.grid(
    images_of(run, result, options), run.range_of(options.output), columns=3, heads=['', '=', ''], least_side=CELLS
  )
  return pictures.beside([left, right])


def _having(run: 'Run', images: np.ndarray, options: Options, concepts: Sequence[Concept]) -> list[np.ndarray]:
  """For each concept (N,) boolean: whether an image shows it."""
  logits = None
  if any(isinstance(concept, str) for concept in concepts):
    stream = reference_of(run, options)
    extractor = choose.choose('classifier', stream)
    judge = jax.jit(lambda x: extractor.apply(extractor.variables, x)['logits'])
    pixels = to_uint8(images, run.range_of(options.output))
    logits = np.concatenate([judge(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)])
  return [_members(concept, logits, images) for concept in concepts]


def _members(concept: Concept, logits: np.ndarray | None, images: np.ndarray) -> np.ndarray:
  if logits is None or not isinstance(concept, str):
    return np.asarray(concept(images), bool)  # type: ignore[operator]
  name, _, shade = concept.partition(':')
  if not name.isdigit():
    raise UserError(f'unknown concept {concept!r} in --concepts: name a class such as 3, 3:bright or 3:dark')
  if int(name) >= logits.shape[1]:
    raise UserError(f'concept {concept!r} in --concepts is no class: 0 to {logits.shape[1] - 1}')
  if shade and shade not in SHADES:
    raise one_of(f'shade in concept {concept!r} of --concepts', shade, SHADES)
  having = logits.argmax(1) == int(name)
  if shade and having.any():
    mean = images.reshape(len(images), -1).mean(1)
    low, high = np.quantile(mean[having], SHADES[shade])
    having &= (mean >= low) & (mean <= high)
  return having


PICTURES: dict[str, Callable[..., Image | dict[str, Image]]] = {
  'neighbours': neighbours,
  'interpolation': interpolation,
  'manifold': manifold,
  'arithmetic': arithmetic,
  'classes': classes,
  'between_classes': between_classes,
  'between_conditions': between_conditions,
  'attention': attention,
  'codes': codes,
  'parts': parts,
  'makers': makers,
}
