"""The default features of labelled pictures: those of a small classifier that is trained here on the set's labels."""

import dataclasses
import hashlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath
from flax import traverse_util

from gan_jax.base import cache, progress
from gan_jax.base.errors import UserError, short
from gan_jax.base.files import writing
from gan_jax.base.seeds import key_of
from gan_jax.data import sets, sources, transforms
from gan_jax.data.sources.npz import read_arrays
from gan_jax.data.streams import Stream
from gan_jax.features.base import Extractor
from gan_jax.nets.classifier import Classifier

#: Of the network and of its training: to be raised with every change of either.
VERSION = 1

# The settings below were chosen on 5,000 examples (200 of digits) held out of the training split; the test split was
# used for nothing but the accuracy that is stated.
#: Channels of the stages, for grey and for colour.
WIDTHS = {1: (24, 48, 96, 256), 3: (48, 96, 192, 256, 256)}
#: Examples seen in training, for grey and for colour, and the limits of the passes over the set.
SEEN = {1: 300_000, 3: 600_000}
EPOCHS = (4, 40)
BATCH = 128
#: A small set has smaller batches, so that an epoch has steps enough.
LEAST_STEPS = 20
LEAST_BATCH = 8
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05

#: {set: (the accuracy below which its features are not worth comparing in, the height from which it is asked for)}. Of
#: digits, 364 are held out: with other roundings, as with XLA_FLAGS=--xla_backend_optimization_level=0, the same seed
#: has some of them more or less. Smaller pictures, as in the early stages of a pyramid, show less: CIFAR-10 at 16
#: pixels gives 77 %.
REQUIRED = {'digits': (0.97, 8), 'mnist': (0.992, 28), 'cifar10': (0.8, 32)}
#: Sets with pictures that mean something else, or nothing, in a mirror.
WRITING = ('digits', 'mnist', 'kmnist', 'emnist', 'omniglot', 'svhn_cropped')
#: Of a set that has no test split, one example in so many is held out.
HELD_OUT = 10
#: A larger set is thinned evenly.
BYTES = 4 << 30
SCORED = 500


def classifier(stream: Stream, seed: int = 0, say: Callable[[str], object] = print) -> Extractor:
  """Trains a small classifier on the set's labels, or reads the one trained before; its last features are compared in.

  Args:
    stream: of uint8 pictures with labels; its set, split, size, crop and channels count, `per_class` does not.
    seed: of the first weights, the order and the shifts.
    say: told that it trains, and how well it does.

  Returns:
    The extractor, with 'features' (B, 256) and 'logits' (B, classes). The file behind it lies in the cache.

  Raises:
    UserError: no pictures, no labels or one class only; so few held-out examples that no accuracy on them would show
      anything; or the classifier is not accurate enough on them.
  """
  if not stream.classes:
    raise UserError(
      f'the classifier needs labels, of which config.data.classes=0 reads none of {stream.name!r}: set it to the '
      'number of classes, or choose random features'
    )
  if stream.classes < 2:
    raise UserError(
      f'the classifier tells classes apart, {stream.name!r} has one: choose random features or raw values '
      '(--features=random, or config.eval.features)'
    )
  stream = dataclasses.replace(stream, per_class=0, random_crop=0)
  source = stream.open()
  image = np.asarray(source[0][stream.main])
  if image.ndim != 3 or image.dtype != np.uint8 or image.shape[0] != image.shape[1]:
    raise UserError(
      f'the classifier takes square uint8 pictures (H, W, C), {stream.name!r} has {image.dtype} {image.shape}: choose '
      'random features or raw values'
    )
  settings = _settings(stream, source, seed)
  key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]
  title = f'classifier-{_safe(stream.name)}-{"x".join(map(str, image.shape))}-seed{seed}-v{VERSION}'
  network = Classifier(stream.classes, WIDTHS.get(image.shape[-1], WIDTHS[3]))
  path = epath.Path(cache.folder('classifiers')) / f'{title}-{key}.npz'
  trained = _read(path, network, image.shape)
  if trained is None:
    trained = _train(network, stream, source, seed, say)
    try:
      _write(path, trained)
    except OSError as error:  # the folder is read-only, or the disk full
      say(f'the classifier is not kept, and will be trained again: {short(error)}')
  # Only now: what took half an hour is kept, and the next call is refused at once.
  _check(trained.accuracy, trained.required, stream, trained.held_out)
  protocol = (
    f'features ({network.widths[-1]}) of a classifier trained on {trained.examples} examples of {stream.name} '
    f'{stream.split} (seed {seed}, version {VERSION}), accuracy {100 * trained.accuracy:.2f} % on {trained.held_out} '
    'held out'
  )

  def apply(variables: Any, examples: jax.Array) -> dict[str, jax.Array]:
    logits, features = network.apply(variables, _scaled(examples), train=False)
    return {'features': features, 'logits': logits}

  # Statistics are kept under this name: weights trained on another machine differ in their last digits, so does it.
  return Extractor(f'{title}-{_digest(trained.variables)}', protocol, trained.variables, apply)


class _Trained(NamedTuple):
  """A trained classifier: its variables, and what is known of it."""

  variables: Any
  accuracy: float
  held_out: int
  examples: int
  required: float = 0.0


def _safe(name: str) -> str:
  return re.sub('[^A-Za-z0-9_.]+', '_', name)


def _settings(stream: Stream, source: sources.Source, seed: int) -> dict[str, Any]:
  """All that a trained classifier depends on."""
  chosen = ('name', 'path', 'split', 'size', 'crop', 'channels', 'classes')
  root = getattr(source, 'root', None)
  # The other split of a user's files says how accurate the classifier is, and may be of other pictures in equal files.
  other = sets.held_out_stream(stream) if root is not None or stream.path else None
  judge = {} if other is None else {'held_out': _known(other.open())}
  return {
    **{name: getattr(stream, name) for name in chosen if name != 'path' or root is None},
    # Labels of two kinds may agree on all examples that a fingerprint looks at.
    **sets.labelling(stream),
    **{name: repr(value) for name, value in sets.decoding(stream).items()},
    **_known(source),
    **judge,
    'seed': seed,
    'version': VERSION,
  }


def _known(source: sources.Source) -> dict[str, Any]:
  """What tells the examples of a source from others."""
  # A fingerprint looks at some examples; of a folder, every file's place, length and time are known as well. Places in
  # it say all: the folder may move.
  root = getattr(source, 'root', None)
  place = lambda file: str(file) if root is None else os.path.relpath(file, root)
  files = [(place(file), file.stat().length, file.stat().mtime) for file in getattr(source, 'files', ())]
  return {
    'fingerprint': sources.fingerprint(source),
    'files': hashlib.sha256(repr(files).encode()).hexdigest(),
  }


def _arrays(source: sources.Source, stream: Stream) -> tuple[np.ndarray, np.ndarray]:
  """All pictures and labels, or evenly chosen ones of a set that is too large."""
  field, classes = stream.main, stream.classes
  fits, numbers = max(1, BYTES // source[0][field].nbytes), np.arange(len(source))
  if len(source) > fits:
    numbers = np.linspace(0, len(source) - 1, fits).astype(np.int64)
    source = sources.Subset(source, numbers)
  read = sources.into_memory(source, 1 << 62)
  assert read is not None
  images, labels = read.arrays[field], read.arrays['label']
  if labels.min() < 0 or labels.max() >= classes:
    raise UserError(f'config.data.classes={classes} but labels run from {labels.min()} to {labels.max()}')
  return sets.as_examples(stream, images, numbers), labels


def _split(stream: Stream, source: sources.Source) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Pictures and labels to train on, and those held out: another split, else a fixed tenth."""
  images, labels = _arrays(source, stream)
  other = sets.held_out_stream(stream)
  if other is not None:
    test, test_labels = _arrays(other.open(), other)
    # Accuracy on copies of training examples says nothing.
    known = {row.tobytes() for row in images}
    if sum(row.tobytes() in known for row in test) < len(test) / 10:
      return images, labels, test, test_labels
  held_out = np.zeros(len(images), bool)
  held_out[np.random.RandomState(0).permutation(len(images))[: max(1, len(images) // HELD_OUT)]] = True
  return images[~held_out], labels[~held_out], images[held_out], labels[held_out]


def _scaled(images: jax.Array) -> jax.Array:
  return images.astype(jnp.float32) / 127.5 - 1.0


def _train(
  network: Classifier, stream: Stream, source: sources.Source, seed: int, say: Callable[[str], object]
) -> _Trained:
  """Trains for a fixed number of epochs with AdamW, the rate rising and falling once, on shifted pictures.

  Labels are not smoothed: that would take the confidence of which the classifier form of the Inception Score is made.
  """
  images, labels, test, test_labels = _split(stream, source)
  required = _required(stream, labels, test_labels)
  batch = min(BATCH, max(LEAST_BATCH, len(images) // LEAST_STEPS), len(images))
  steps = len(images) // batch
  epochs = math.ceil(SEEN[3 if images.shape[-1] == 3 else 1] / len(images))
  epochs = min(max(epochs, EPOCHS[0]), EPOCHS[1])
  side = images.shape[1]
  shift = max(1, round(side / 14))
  mirror = images.shape[-1] == 3 and stream.name.removeprefix('stacked/') not in WRITING
  variables = network.init(key_of(seed), jnp.zeros((1, *images.shape[1:]), jnp.float32), train=False)
  schedule = optax.cosine_onecycle_schedule(epochs * steps, LEARNING_RATE, 0.25)
  optimizer = optax.adamw(schedule, weight_decay=WEIGHT_DECAY)

  @jax.jit
  def step(variables, state, images, labels, key):
    border = ((0, 0), (shift, shift), (shift, shift), (0, 0))
    keys = jax.random.split(key)
    images = transforms.random_window(jnp.pad(images, border), side, keys[0])
    images = transforms.to_float({'image': images}, (-1.0, 1.0), mirror, keys[1])['image']
    params, statistics = variables['params'], variables['batch_stats']

    def loss(params):
      (logits, _), updated = network.apply(
        {'params': params, 'batch_stats': statistics}, images, train=True, mutable=['batch_stats']
      )
      return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updated['batch_stats']

    (value, statistics), gradients = jax.value_and_grad(loss, has_aux=True)(params)
    updates, state = optimizer.update(gradients, state, params)
    return {'params': optax.apply_updates(params, updates), 'batch_stats': statistics}, state, value

  say(
    f'training the classifier of {stream.name} on {len(images)} examples, {epochs} epochs: once, it is kept in '
    f'{cache.folder("classifiers")}'
  )
  start = time.perf_counter()
  state, order, key = optimizer.init(variables['params']), np.random.RandomState(seed), key_of((seed + 1) % 2**32)
  for _ in progress.shown(range(epochs), epochs, 'classifier'):
    for rows in order.permutation(len(images))[: steps * batch].reshape(steps, batch):
      key, now = jax.random.split(key)
      variables, state, _ = step(variables, state, images[rows], labels[rows], now)
    jax.block_until_ready(variables)
  predict = jax.jit(lambda variables, images: network.apply(variables, _scaled(images), train=False)[0].argmax(-1))
  found = [np.asarray(predict(variables, some))[:real] for some, real in _batches(test)]
  accuracy = float((np.concatenate(found) == test_labels).mean())
  say(f'classifier: accuracy {100 * accuracy:.2f} % on {len(test)} held out, {time.perf_counter() - start:.1f} s')
  return _Trained(jax.device_get(variables), accuracy, len(test), len(images), required)


def _batches(images: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
  """(pictures, how many of them are real): the last is filled up, so that nothing is compiled twice."""
  for start in range(0, len(images), SCORED):
    some = images[start : start + SCORED]
    yield np.pad(some, ((0, SCORED - len(some)), (0, 0), (0, 0), (0, 0))), len(some)


def _required(stream: Stream, labels: np.ndarray, held_out: np.ndarray) -> float:
  """The share of the held-out examples that must be told right, known before anything is trained.

  Args:
    stream: of the set.
    labels: of the examples to train on.
    held_out: labels of those held out.

  Raises:
    UserError: no share could show that the classifier sees anything.
  """
  cure = 'choose other features (--features=random, or config.eval.features)'
  for what, some in (('to train on', labels), ('held out', held_out)):
    if len(np.unique(some)) < 2:
      raise UserError(
        f'the classifier of {stream.name} {stream.split} needs two classes or more, but the {len(some)} examples '
        f'{what} have {len(np.unique(some))}: add examples of other classes, or {cure}'
      )
  share = np.bincount(held_out).max() / len(held_out)
  # By chance one in a thousand is three standard errors above the largest class's share.
  error = 3 * math.sqrt(share * (1 - share) / len(held_out))
  if share + error > 1:
    enough = math.ceil(9 * share / (1 - share))
    raise UserError(
      f'the classifier of {stream.name} {stream.split} cannot be judged: only {len(held_out)} examples are held out, '
      f'{100 * share:.1f} % of them of one class, and with fewer than {enough} all could be told right by chance: add '
      f'examples, or {cure}'
    )
  accuracy, height = REQUIRED.get(stream.name, (0.0, math.inf))
  shape = stream.stored(1)[stream.main].shape
  return accuracy if len(shape) == 4 and shape[1] >= height else share + max(0.1 * (1 - share), error)


def _check(accuracy: float, required: float, stream: Stream, count: int) -> None:
  """Refuses a classifier that sees too little in the pictures."""
  if not accuracy >= required:
    raise UserError(
      f'the classifier of {stream.name} {stream.split} reached {100 * accuracy:.2f} % on {count} held-out '
      f'examples, {100 * required:.2f} % is required: check the labels, train on more examples (config.data.split), '
      'or choose random features'
    )


def _flat(variables: Any) -> dict[str, np.ndarray]:
  return traverse_util.flatten_dict(jax.tree.map(np.asarray, variables), sep='/')


def _digest(variables: Any) -> str:
  digest = hashlib.sha256()
  for name, value in sorted(_flat(variables).items()):
    digest.update(name.encode() + value.tobytes())
  return digest.hexdigest()[:8]


def _write(path: epath.Path, trained: _Trained) -> None:
  facts = {name: np.array(value) for name, value in trained._asdict().items() if name != 'variables'}
  with writing(path) as file:
    np.savez(file, **_flat(trained.variables), **facts)  # type: ignore[arg-type]


def _read(path: epath.Path, network: Classifier, shape: tuple[int, ...]) -> _Trained | None:
  """What was written, or None: nothing is there, or nothing that can be used."""
  if not path.exists():
    return None
  wanted = jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.zeros((1, *shape), jnp.float32), train=False))
  try:
    arrays = read_arrays(path)
    facts = {name: arrays.pop(name).item() for name in ('accuracy', 'held_out', 'examples')}
    facts['required'] = arrays.pop('required', np.zeros(())).item()
  except (UserError, KeyError, ValueError):
    return None
  found = {name: (value.shape, value.dtype) for name, value in arrays.items()}
  if found != {name: (s.shape, s.dtype) for name, s in traverse_util.flatten_dict(wanted, sep='/').items()}:
    return None
  return _Trained(traverse_util.unflatten_dict(arrays, sep='/'), **facts)
