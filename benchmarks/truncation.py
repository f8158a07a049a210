"""Quality against variety: a run's scores over the truncation of its latents, as a table and a curve.

    python -m benchmarks.truncation --workdir runs/biggan [--thresholds 2,1.5,1,0.5,0.25,0.04] [--standing 16]
      [--samples 5000] [--features inception --inception_weights FILE] [--out truncation.png]

Source: Brock et al. 2018, https://arxiv.org/abs/1809.11096, section 3.1: Inception score against Frechet distance,
from threshold 2 down to 0.04; standing statistics are taken anew at each. The plot needs matplotlib: pip
install '.[docs]'.
"""

import argparse

from gan_jax import evaluate, load
from gan_jax.config.evaluation import Options

METRICS = ('fid', 'is', 'classes')
THRESHOLDS = (2.0, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25, 0.1, 0.04)


def sweep(workdir: str, thresholds: tuple[float, ...], **options) -> list[dict[str, float]]:
  """{name of a figure: value} for each threshold, the truncation among them."""
  run = load(workdir)
  rows = []
  for threshold in thresholds:
    result = evaluate.evaluate(run, metrics=METRICS, truncation=threshold, **options)
    rows.append({'truncation': threshold, **{figure.name: figure.value for figure in result.figures}})
    print('  '.join(f'{name} {value:.4g}' for name, value in rows[-1].items()), flush=True)
  return rows


def plot(rows: list[dict[str, float]], out: str) -> None:
  import matplotlib

  matplotlib.use('Agg')
  import matplotlib.pyplot as plt

  figure, axes = plt.subplots(figsize=(6, 4.5))
  axes.plot([row['inception_score'] for row in rows], [row['fid'] for row in rows], 'o-')
  for row in rows:
    axes.annotate(
      f'{row["truncation"]:g}', (row['inception_score'], row['fid']), textcoords='offset points', xytext=(4, 4)
    )
  axes.set_xlabel('Inception score')
  axes.set_ylabel('Frechet distance')
  axes.set_title('truncation of the latents')
  figure.tight_layout()
  figure.savefig(out, dpi=110)


def main(arguments: list[str] | None = None) -> list[dict[str, float]]:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  default = Options()
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--thresholds', default=','.join(map(str, THRESHOLDS)))
  parser.add_argument('--standing', type=int, default=16)
  parser.add_argument('--samples', type=int, default=5000)
  parser.add_argument('--features', default=default.features)
  parser.add_argument('--inception_weights', default='')
  parser.add_argument('--out', default='')
  values = vars(parser.parse_args(arguments))
  out, thresholds = values.pop('out'), tuple(map(float, values.pop('thresholds').split(',')))
  if out:
    import matplotlib  # noqa: F401  # missing, it should be missed before the sweep
  rows = sweep(values.pop('workdir'), thresholds, **values)
  if out:
    plot(rows, out)
  return rows


if __name__ == '__main__':
  main()
