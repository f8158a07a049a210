"""What bounds a step of GAN 2014 on this device: its matrix products alone, in a loop, and the update of its weights.

    python -m benchmarks.products

The shapes are those of configs/gan.py:mnist at batch 100: forward passes, gradients of weights and of inputs, as often
as a step of algorithm 1 needs them. Medians of 5 rounds; a product of 2,048 rows is the rate to compare with.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

BATCH = 100
GENERATOR = ((100, 1200), (1200, 1200), (1200, 784))
DISCRIMINATOR = ((784, 1200), (240, 1200), (240, 1))  # 240 units of 5 pieces


def products() -> Counter[tuple[int, int, int, str]]:
  """{(rows, inner, columns, which side is transposed): how often in a step}."""
  counts: Counter[tuple[int, int, int, str]] = Counter()
  for i, (n, m) in enumerate(GENERATOR):
    counts[BATCH, n, m, ''] += 2  # once for either player's move
    counts[n, BATCH, m, 'left'] += 1
    counts[BATCH, m, n, 'right'] += i > 0
  for i, (n, m) in enumerate(DISCRIMINATOR):
    counts[BATCH, n, m, ''] += 3  # real and generated, and generated again
    counts[n, BATCH, m, 'left'] += 2
    counts[BATCH, m, n, 'right'] += 3 if i > 0 else 1
  return +counts


def seconds(function: Callable[..., Any], *arrays: jax.Array, calls: int = 60) -> float:
  """Of one call, compiled."""
  function, rounds = jax.jit(function), []
  jax.block_until_ready(function(*arrays))
  for _ in range(5):
    start = time.perf_counter()
    for _ in range(calls):
      out = function(*arrays)
    jax.block_until_ready(out)
    rounds.append((time.perf_counter() - start) / calls)
  return float(np.median(rounds))


def product(rows: int, inner: int, columns: int, transposed: str, **options: int) -> float:
  """Seconds of one product."""
  random = np.random.RandomState(0)
  left = random.randn(*((inner, rows) if transposed == 'left' else (rows, inner))).astype(np.float32)
  right = random.randn(*((columns, inner) if transposed == 'right' else (inner, columns))).astype(np.float32)
  multiply = lambda a, b: (a.T if transposed == 'left' else a) @ (b.T if transposed == 'right' else b)
  return seconds(multiply, jnp.asarray(left), jnp.asarray(right), **options)


def main() -> None:
  counts = products()
  spent = sum(count * product(*shape) for shape, count in counts.items())
  flops = sum(count * 2 * rows * inner * columns for (rows, inner, columns, _), count in counts.items())
  weights = jnp.ones(sum(n * m for n, m in GENERATOR + DISCRIMINATOR))
  update = seconds(lambda p, m, g: (p - 0.1 * (0.5 * m + g), 0.5 * m + g), weights, weights, weights)
  large = 2 * 2048**3 / product(2048, 2048, 2048, '', calls=5)
  print(f'products  {spent * 1e3:.1f} ms of {flops / 1e9:.2f} GFLOP: {flops / spent / 1e9:.0f} GFLOP/s')
  print(f'update    {update * 1e3:.1f} ms of {weights.size:,} weights and their momentum')
  print(f'large     {large / 1e9:.0f} GFLOP/s in a product of 2,048 rows')


if __name__ == '__main__':
  main()
