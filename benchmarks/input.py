"""How fast examples reach the device: images/s by kind of picture, workers, and path.

    [TFDS_DATA_DIR=<prepared data>] python -m benchmarks.input [--seconds 5]

Pictures are crops of scikit-learn's photographs, 32x32 PNG and 256x256 JPEG, read from a folder and decoded; MNIST (the
built-in digits where it is not prepared) is read once from its files and once from the device's memory.
"""

import argparse
import pathlib
import tempfile
import time

import jax
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from gan_jax import parallel
from gan_jax.data.sources.prepared import data_dir
from gan_jax.data.streams import Feed, Stream, make_prepare

BATCH = 128


def pictures(folder: pathlib.Path, side: int, suffix: str, count: int) -> None:
  photos, random = load_sample_images().images, np.random.RandomState(0)
  for i in range(count):
    photo = photos[i % 2]
    top, left = random.randint(0, photo.shape[0] - side), random.randint(0, photo.shape[1] - side)
    Image.fromarray(photo[top : top + side, left : left + side]).save(folder / f'{i:05}{suffix}')


def rate(stream: Stream, seconds: float) -> float:
  """Prepared images per second on the device, after the first three steps."""
  mesh = parallel.make_mesh()
  feed = Feed({'images': stream}, {'images': 1}, 0, parallel.place(mesh), parallel.replicate(mesh))
  prepare = jax.jit(make_prepare({'images': stream}), static_argnums=(1, 2))
  key = jax.random.key(0)
  for _ in range(3):
    jax.block_until_ready(prepare(next(feed), 'images', 0, key))
  count, start = 0, time.perf_counter()
  while time.perf_counter() - start < seconds:
    jax.block_until_ready(prepare(next(feed), 'images', 0, key))
    count += BATCH
  elapsed = time.perf_counter() - start
  feed.close()
  return count / elapsed


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--seconds', type=float, default=5.0)
  values = parser.parse_args()
  print(f'{jax.device_count()} x {jax.devices()[0].device_kind}, batch {BATCH}')
  for side, suffix, count in ((32, '.png', 2000), (256, '.jpg', 500)):
    with tempfile.TemporaryDirectory() as folder:
      pictures(pathlib.Path(folder), side, suffix, count)
      for workers in (0, 1, 2):
        stream = Stream(name='folder', path=folder, size=side, batch_size=BATCH, resident=False, workers=workers)
        print(f'{side}x{side} {suffix[1:]:<4} {workers} workers  {rate(stream, values.seconds):>10,.0f} images/s')
  name = 'mnist' if (data_dir() / 'mnist').exists() else 'digits'
  size = 28 if name == 'mnist' else 8
  rates = {
    resident: rate(Stream(name=name, size=size, channels=1, batch_size=BATCH, resident=resident), values.seconds)
    for resident in (False, True)
  }
  print(f'{name}, read       {rates[False]:>10,.0f} images/s')
  print(f'{name}, resident   {rates[True]:>10,.0f} images/s, {rates[True] / rates[False]:.1f} times as many')


if __name__ == '__main__':
  main()
