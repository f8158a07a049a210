"""GFLOP/s of a convolution and its two adjoints on one CPU, by formulation: how `nets.matmul_conv` was tuned.

    python -m benchmarks.convolutions [--batch 64]

Counted are the operations of the plain convolution, so that Winograd tiles may exceed a matrix product. The best of
four runs, each operation alone.
"""

import argparse
import time

import jax

from gan_jax.nets.layers import matmul_conv
from gan_jax.nets.layers.conv import conv, formulation

#: (height, window, stride, inputs, outputs).
SHAPES = (
  (8, 4, 2, 256, 512),
  (16, 4, 2, 128, 256),
  (32, 4, 2, 64, 128),
  (16, 3, 1, 256, 256),
  (32, 3, 1, 128, 128),
  (32, 3, 1, 64, 64),
  (128, 3, 1, 16, 16),
  (128, 4, 2, 16, 16),
  (4, 5, 2, 64, 128),
  (8, 5, 2, 32, 64),
  (16, 5, 2, 16, 32),
  (32, 3, 1, 3, 128),
  (32, 3, 1, 256, 3),
)
#: What FEWEST_CHANNELS and FEWEST_DIRECT make of every shape.
FEWEST = {'windows': (1 << 30, 1 << 30), 'direct': (1 << 30, 0), 'winograd': (0, 1 << 30)}


def rate(function, work: float, *arrays: jax.Array) -> float:
  compiled = jax.jit(function)
  jax.block_until_ready(compiled(*arrays))
  best = float('inf')
  for _ in range(4):
    start = time.perf_counter()
    jax.block_until_ready(compiled(*arrays))
    best = min(best, time.perf_counter() - start)
  return work / best / 1e9


def row(batch: int, shape: tuple[int, ...]) -> str:
  """The rates of one convolution: forward, adjoint in the input, adjoint in the kernel."""
  side, window, stride, inputs, outputs = shape
  strides, small = (stride, stride), side // stride
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (batch, side, side, inputs))
  kernel = jax.random.normal(keys[1], (window, window, inputs, outputs))
  y = jax.random.normal(keys[2], (batch, small, small, outputs))
  work = 2 * batch * small**2 * window**2 * inputs * outputs

  def rates(forward, transposed, weights) -> str:
    found = rate(forward, work, x, kernel), rate(transposed, work, y, kernel), rate(weights, work, x, y)
    return ', '.join(f'{r:.0f}' for r in found)

  line = f'{window}x{window} stride {stride}, {side}x{side}, {inputs} to {outputs}:'
  with formulation('xla'):
    line += ' XLA ' + rates(
      lambda x, k: conv(x, k, strides),
      lambda y, k: jax.vjp(lambda x: conv(x, k, strides), x)[1](y)[0],
      lambda x, y: jax.vjp(lambda k: conv(x, k, strides), kernel)[1](y)[0],
    )
  for name, fewest in FEWEST.items():
    matmul_conv.FEWEST_CHANNELS, matmul_conv.FEWEST_DIRECT = fewest
    matmul_conv.FEWEST_PIXELS = dict.fromkeys(matmul_conv.FEWEST_PIXELS, 1)
    line += f' | {name} ' + rates(
      lambda x, k: matmul_conv.forward(x, k, strides),
      lambda y, k: matmul_conv.input_adjoint(y, k, strides, (side, side)),
      lambda x, y: matmul_conv.kernel_adjoint(x, y, strides, (window, window)),
    )
  return line


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--batch', type=int, default=64)
  values = parser.parse_args()
  square = jax.random.normal(jax.random.key(0), (2048, 2048))
  print(f'matrix product {rate(lambda a: a @ a, 2 * 2048**3, square):.0f}', flush=True)
  for shape in SHAPES:
    print(row(values.batch, shape), flush=True)


if __name__ == '__main__':
  main()
