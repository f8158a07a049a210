"""Time to the first step: imports, building and compiling, without and with JAX's persistent compilation cache.

    python -m benchmarks.startup [--work dcgan64] [--torch]

Every row is a new process on one CPU or GPU, from its start until its first step is finished. With --torch (pip install
'.[bench]') PyTorch's, eager and compiled, are beside it; torch.compile keeps its own cache, which is emptied before.
"""

import argparse
import os
import pathlib
import tempfile
import time

from benchmarks.run import Side, examples
from benchmarks.works import WORKS


def seconds(side: str, name: str, variant: str, settings: dict) -> float:
  start = time.perf_counter()
  process = Side(side, name, variant, settings)
  process.ask('time', 1)
  elapsed = time.perf_counter() - start
  process.close()
  return elapsed


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--work', action='append', choices=[*WORKS])
  parser.add_argument('--device', choices=('cpu', 'gpu'), default='cpu')
  parser.add_argument('--torch', action='store_true')
  values = parser.parse_args()
  for name in values.work or ['gan2014', 'dcgan64']:
    work = WORKS[name]
    with tempfile.TemporaryDirectory() as folder:
      path = examples(name, pathlib.Path(folder), max(2 * work.batch, 128))
      settings = dict(
        path=path,
        batch=work.batch,
        small=False,
        input='resident',
        device=values.device,
        threads=os.cpu_count(),
        per_call=1,
      )
      cached = {**settings, 'compilation_cache': str(pathlib.Path(folder) / 'jax')}
      rows = [
        ('gan_jax, cold', ('gan_jax', name, '', cached)),
        ('gan_jax, from the cache', ('gan_jax', name, '', cached)),
      ]
      if values.torch:
        os.environ['TORCHINDUCTOR_CACHE_DIR'] = str(pathlib.Path(folder) / 'torch')
        rows.append(('PyTorch eager', ('torch', name, 'eager', settings)))
        rows += [
          (f'PyTorch compile, {when}', ('torch', name, 'compile', settings)) for when in ('cold', 'from its cache')
        ]
      for title, row in rows:
        print(f'{name:<10} {title:<32} {seconds(*row):6.1f} s', flush=True)


if __name__ == '__main__':
  main()
