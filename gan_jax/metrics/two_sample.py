"""The classifier two-sample test: can a fresh network tell generated from real examples that it was not trained on?"""

import itertools
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax.base.errors import UserError
from gan_jax.base.seeds import check_seed, key_of
from gan_jax.metrics.checks import check_finite, share_error
from gan_jax.nets import dcgan, mlp, seqgan


class TwoSampleReport(NamedTuple):
  """How well a fresh network tells real from generated examples on held-out halves of both.

  Attributes:
    accuracy: share told right; 0.5 is the goal of a generator.
    standard_error: of the accuracy.
    p_value: how often an accuracy so high or higher would come by chance if both were the same.
    real: share of held-out real examples judged real.
    generated: share of held-out generated examples judged generated.
    examples: held-out examples, half of them real.
    network: what was trained.
  """

  accuracy: float
  standard_error: float
  p_value: float
  real: float
  generated: float
  examples: int
  network: str


def default_network(example: np.ndarray, words: int = 0) -> nn.Module:
  """A small network for one example: the kind follows from what it is.

  Args:
    example: a uint8 picture (H, W, C) gets convolutions without batch norm, a sequence (T,) of whole numbers filters
      over its neighbours (SeqGAN's), anything else a perceptron.
    words: one more than the largest number of the sequences.

  >>> default_network(np.zeros((28, 28, 1), np.uint8)).channels, default_network(np.zeros(2, np.float32)).hidden
  ((32, 64, 128), (128, 128))
  """
  if _are_words(example):
    windows = tuple(sorted({min(window, len(example)) for window in (1, 2, 3, 4, 5, 8)}))
    return seqgan.Discriminator(words, windows, (64,) * len(windows))
  if example.dtype != np.uint8 or example.ndim != 3:
    return mlp.Discriminator()
  halvings = max(2, round(math.log2(min(example.shape[:2]) / 4)))  # down to about 4x4
  # From weights of N(0, 0.02), made for batch norm, it learns less in as many steps, and is a weaker judge.
  return dcgan.Discriminator(
    tuple(32 * 2 ** min(i, 3) for i in range(halvings)), kernel=4, norm='none', initializer='he'
  )


def two_sample_test(
  real: np.ndarray,
  generated: np.ndarray,
  *,
  network: nn.Module | None = None,
  steps: int = 500,
  batch_size: int = 128,
  learning_rate: float = 1e-3,
  seed: int = 0,
) -> TwoSampleReport:
  r"""Trains a fresh network on half of the examples and judges the other half: goal 50 %.

  The standard error is $\sqrt{a (1 - a) / n}$ (`checks.share_error`), the p-value that of a normal with mean 1/2 and
  variance 1 / 4n. If one set is larger, as many of it are drawn. Give real examples that the generator was not trained
  on: the network recognises copies, so a generator that copies looks better than 50 %.
  Source: Lopez-Paz and Oquab 2017, https://arxiv.org/abs/1610.06545, section 3 and theorem 1. differs: the larger set
  is cut, so that guessing gives 50 %.

  Args:
    real: (N, ...): uint8 pictures (N, H, W, C), sequences (N, T) of words, int32 from 0 on, or anything float.
    generated: (M, ...), the same kind.
    network: examples, train -> logits (B,), not yet trained; None for `default_network`.
    steps: of Adam.
    batch_size: examples per step, half of them real.
    learning_rate: of Adam.
    seed: of the halves, the order and the network.

  Raises:
    UserError: sets that do not fit together, fewer than 4 examples, or numbers that are not finite.

  >>> x = np.random.RandomState(0).randn(200, 2).astype(np.float32)
  >>> two_sample_test(x, x + 9, steps=100).accuracy
  1.0
  """
  real, generated = np.asarray(real), np.asarray(generated)
  if real.shape[1:] != generated.shape[1:] or real.dtype != generated.dtype:
    raise UserError(
      f'real examples are {real.dtype} {real.shape[1:]}, generated ones {generated.dtype} {generated.shape[1:]}: '
      'compare what is of one kind'
    )
  half = min(len(real), len(generated)) // 2
  if half < 2:
    raise UserError(f'{len(real)} real and {len(generated)} generated examples: the test needs 4 of each')
  check_finite(real=real, generated=generated)
  random = np.random.RandomState(check_seed(seed))
  chosen = [images[random.permutation(len(images))[: 2 * half]] for images in (real, generated)]
  train, test = [images[:half] for images in chosen], [images[half:] for images in chosen]
  if _are_words(real[0]) and min(images.min() for images in chosen) < 0:
    raise UserError('sequences of integers are words, from 0 on, and some are negative: give other numbers as floats')
  scale = _scaling(np.concatenate(train))
  words = 1 + int(max(images.max() for images in chosen)) if _are_words(real[0]) else 0
  network = default_network(real[0], words) if network is None else network
  logits = _trained(network, scale, train, steps, batch_size, learning_rate, seed, random)
  judged_real = [np.concatenate([logits(part) for part in _parts(images, batch_size)]) > 0 for images in test]
  right_real, right_generated = float(judged_real[0].mean()), 1 - float(judged_real[1].mean())
  accuracy, count = (right_real + right_generated) / 2, 2 * half
  return TwoSampleReport(
    accuracy,
    share_error(accuracy, count),
    0.5 * math.erfc((accuracy - 0.5) * math.sqrt(2 * count)),
    right_real,
    right_generated,
    count,
    f'{type(network).__module__.removeprefix("gan_jax.nets.")}.{type(network).__name__}',
  )


def _are_words(example: np.ndarray) -> bool:
  return example.ndim == 1 and example.dtype != np.uint8 and np.issubdtype(example.dtype, np.integer)


def _scaling(train: np.ndarray):
  """Pixels to [-1, 1]; words as they are; other numbers to mean 0 and deviation 1 in each place."""
  if _are_words(train[0]):
    return lambda x: x
  if train.dtype == np.uint8:
    return lambda x: x.astype(jnp.float32) / 127.5 - 1
  mean, deviation = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
  shift, factor = mean[None].astype(np.float32), 1 / np.where(deviation > 0, deviation, 1)[None].astype(np.float32)
  return lambda x: (x.astype(jnp.float32) - shift) * factor


def _trained(network, scale, train, steps, batch_size, learning_rate, seed, random):
  """The trained network: examples -> logits (B,) in numpy."""
  optimizer = optax.adam(learning_rate)
  keys = jax.random.split(key_of(seed), 3)
  variables = network.init({'params': keys[0], 'dropout': keys[1], 'noise': keys[1]}, scale(train[0][:2]), train=True)
  rest, params = {k: v for k, v in variables.items() if k != 'params'}, variables['params']

  @jax.jit
  def step(params, rest, moments, images, key):
    images = scale(images)
    target = (jnp.arange(images.shape[0]) < images.shape[0] // 2).astype(jnp.float32)  # real first

    def loss(params):
      rngs = dict(zip(('dropout', 'noise'), jax.random.split(key), strict=True))
      logits, updated = network.apply({'params': params, **rest}, images, train=True, rngs=rngs, mutable=list(rest))
      if logits.shape != target.shape:
        raise UserError(f'the network gives logits of shape {logits.shape}, must be ({len(target)},)')
      return optax.sigmoid_binary_cross_entropy(logits, target).mean(), updated

    gradients, rest = jax.grad(loss, has_aux=True)(params)
    updates, moments = optimizer.update(gradients, moments, params)
    return optax.apply_updates(params, updates), rest, moments

  moments = optimizer.init(params)
  share = max(1, min(batch_size // 2, len(train[0])))
  orders = [_endless(len(images), share, random) for images in train]
  # A loop in Python: convolutions inside a scan are many times slower on CPU.
  for n in range(steps):
    images = np.concatenate([images[next(order)] for images, order in zip(train, orders, strict=True)])
    params, rest, moments = step(params, rest, moments, images, jax.random.fold_in(keys[2], n))
  judge = jax.jit(lambda images: network.apply({'params': params, **rest}, scale(images), train=False))
  return lambda images: np.asarray(judge(images))


def _endless(count: int, batch: int, random: np.random.RandomState):
  """Batches of indices, epoch after epoch, each a new permutation."""
  stream = itertools.chain.from_iterable(random.permutation(count) for _ in itertools.count())
  while True:
    yield np.fromiter(itertools.islice(stream, batch), np.int64, batch)


def _parts(images: np.ndarray, size: int):
  return (images[i : i + size] for i in range(0, len(images), size))
