"""How fast examples reach the device: images/s by kind of picture, workers, and path.

    [TFDS_DATA_DIR=<prepared data>] python -m benchmarks.input [--seconds 5] [--torch] [--pairs]

With --torch (pip install '.[bench]') PyTorch's DataLoader reads the same files in turn, with the same number of worker
processes, to tensors in [-1, 1]. Pictures are crops of scikit-learn's photographs: 32x32 PNG, 256x256 JPEG, and JPEGs
of ImageNet's usual size, 500x375, whose central square is resized to 128x128. They are read from a folder and decoded;
MNIST (the built-in digits where it is not prepared) is read once from its files and once from the device's memory.
With --pairs only pairs are measured, beside twice as many single pictures that are cut and mirrored as they are.
"""

import argparse
import pathlib
import resource
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from gan_jax.data.feed import Feed, make_prepare
from gan_jax.data.sources.prepared import data_dir
from gan_jax.data.streams import Stream
from gan_jax.distributed import parallel

BATCH = 128


#: (height, width, side that networks see, kind, how many files).
KINDS = ((32, 32, 32, '.png', 2000), (256, 256, 256, '.jpg', 500), (375, 500, 128, '.jpg', 500))


def pictures(folder: pathlib.Path, height: int, width: int, suffix: str, count: int) -> None:
  photos, random = load_sample_images().images, np.random.RandomState(0)
  for i in range(count):
    photo = photos[i % 2]
    top, left = random.randint(0, photo.shape[0] - height), random.randint(0, photo.shape[1] - width)
    Image.fromarray(photo[top : top + height, left : left + width]).save(folder / f'{i:05}{suffix}')


def rate(stream: Stream, seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
  """Prepared images per second on the device, after the first three steps; of another clock with `clock`."""
  mesh = parallel.make_mesh()
  feed = Feed({'images': stream}, {'images': 1}, 0, parallel.place(mesh), parallel.replicate(mesh))
  prepare = jax.jit(make_prepare({'images': stream}), static_argnums=(1, 2))
  key = jax.random.key(0)
  for _ in range(3):
    jax.block_until_ready(prepare(next(feed), 'images', 0, key))
  count, start, since = 0, time.perf_counter(), clock()
  while time.perf_counter() - start < seconds:
    jax.block_until_ready(prepare(next(feed), 'images', 0, key))
    count += stream.batch_size or 0
  elapsed = clock() - since
  feed.close()
  return count / elapsed


def paired(seconds: float, rounds: int = 5) -> list[str]:
  """Pairs beside twice as many single pictures, of the same files and augmentation, by processor time.

  The time is that of the program alone, without the system's. The system takes 2 to 25 ms to give out the pages of a
  prepared batch of 50 MB, as the C library's allocator happens to keep them or not, and the work itself takes 2 ms.
  """
  user = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_utime
  half = {'name': 'Picture'}
  halves = {'a': {**half, 'column': 'image', 'part': 'left'}, 'b': {**half, 'column': 'image', 'part': 'right'}}
  kinds = {
    'single pictures': ('single', {'image': half}),
    'pairs of two folders': ('folders', {'A': half, 'B': half}),
    'pairs in one wide picture': ('wide', halves),
  }
  rates: dict[tuple[str, bool], list[float]] = {}
  with tempfile.TemporaryDirectory() as root:
    for kind, width in (('single', 128), ('folders/A', 128), ('folders/B', 128), ('wide', 256)):
      folder = pathlib.Path(root, kind)
      folder.mkdir(parents=True)
      pictures(folder, 128, width, '.jpg', 500)
    streams = {
      (title, resident): Stream(
        name='folder', path=f'{root}/{folder}', size=128, random_crop=143, flip=True, resident=resident,
        batch_size=BATCH * (2 if folder == 'single' else 1), columns=columns,
      )
      for resident in (False, True)
      for title, (folder, columns) in kinds.items()
    }  # fmt: skip
    for _ in range(rounds):
      for key, stream in streams.items():
        rates.setdefault(key, []).append(rate(stream, seconds / rounds, user))
  lines = []
  for (title, resident), found in rates.items():
    share = 2 * np.median(found) / np.median(rates['single pictures', resident])
    told = '' if title == 'single pictures' else f'   {share:.2f} of half the rate of single ones'
    lines.append(f'{"resident" if resident else "read":<9} {title:<26} {np.median(found):>10,.0f} a CPU second{told}')
  return lines


class Pictures:
  """What a DataLoader reads: pictures of a folder, their central square at a side, as tensors (3, side, side)."""

  def __init__(self, folder: str, side: int):
    self.files, self.side = sorted(pathlib.Path(folder).iterdir()), side

  def __len__(self) -> int:
    return len(self.files)

  def __getitem__(self, i: int):
    import torch

    picture, side = Image.open(self.files[i]).convert('RGB'), self.side
    short = min(picture.size)
    left, top = (picture.width - short) // 2, (picture.height - short) // 2
    if picture.size != (side, side):
      box = (left, top, left + short, top + short)
      picture = picture.resize((side, side), Image.Resampling.BILINEAR, box=box)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1.0


def torch_rate(folder: str, side: int, workers: int, seconds: float) -> float:
  """Images per second of PyTorch's DataLoader over the files of a folder, after the first three batches."""
  import torch

  loader = torch.utils.data.DataLoader(
    Pictures(folder, side),
    BATCH,
    shuffle=True,
    drop_last=True,
    num_workers=workers,
    persistent_workers=workers > 0,
    multiprocessing_context='spawn' if workers else None,  # JAX's threads do not survive a fork
  )

  def batches():
    while True:
      yield from loader

  feed = batches()
  for _ in range(3):
    next(feed)
  count, start = 0, time.perf_counter()
  while time.perf_counter() - start < seconds:
    count += len(next(feed))
  return count / (time.perf_counter() - start)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--seconds', type=float, default=5.0)
  parser.add_argument('--torch', action='store_true', help="PyTorch's DataLoader beside it")
  parser.add_argument('--pairs', action='store_true', help='pairs beside single pictures, and no more')
  values = parser.parse_args()
  print(f'{jax.device_count()} x {jax.devices()[0].device_kind}, batch {BATCH}')
  if values.pairs:
    print('\n'.join(paired(values.seconds)))
    return
  for height, width, side, suffix, count in KINDS:
    with tempfile.TemporaryDirectory() as folder:
      pictures(pathlib.Path(folder), height, width, suffix, count)
      for workers in (0, 1, 2):
        stream = Stream(name='folder', path=folder, size=side, batch_size=BATCH, resident=False, workers=workers)
        ours = rate(stream, values.seconds)
        line = f'{width}x{height} {suffix[1:]:<4} to {side}  {workers} workers  {ours:>10,.0f} images/s'
        if values.torch:
          theirs = torch_rate(folder, side, workers, values.seconds)
          line += f'   DataLoader {theirs:>10,.0f}   ratio {ours / theirs:.2f}'
        print(line, flush=True)
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
