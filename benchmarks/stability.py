"""Four losses on six architectures, five of which break DCGAN's rules: which of them train.

    python -m benchmarks.stability --workdir runs/stability [--losses dcgan,wgan] [--table]

After section 5.2 of Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028, on scikit-learn's digits (8x8). Optimizers
and moves of the critic are those of that section; every learning rate is --faster times as high, for short runs.
WGAN-GP has no batch norm in the critic anywhere. A pair succeeds if the Fréchet distance of 2,000 samples (the weights
as they are) from the training digits, in the features of the classifier, is at most --success. Every pair is a run in
WORKDIR/LOSS/ARCHITECTURE, which the same command resumes; --table prints those there are.
"""

import argparse
import pathlib

import gan_jax
from benchmarks import rows as rows_lib
from gan_jax import config as config_lib
from gan_jax.evaluate import evaluate
from gan_jax.training import loop as train

MLP = dict(name='mlp.Generator', hidden=(512, 512, 512, 512), shape=(8, 8, 1), output='tanh')
#: {row: (what it is, settings of the generator, of the discriminator)}
ARCHITECTURES = {
  'dcgan': ('DCGAN', {}, {}),
  'constant': ('no batch norm and a constant width in G', dict(norm=False, channels=(32, 32)), {}),
  'mlp': ('4 layers of 512, no convolutions in G', MLP, {}),
  'bare': ('no batch norm in G or D', dict(norm=False), dict(norm=False)),
  'tanh': ('tanh everywhere', dict(activation='tanh'), dict(activation='tanh')),
  'deep': (
    '3 more convolutions a layer, no batch norm', dict(norm=False, more=3), dict(norm=False, more=3)
  ),
}  # fmt: skip


def losses(faster: float) -> dict[str, tuple[str, dict, dict, dict]]:
  """{column: (title, settings of the game, optimizer of the generator, of the discriminator)}."""
  adam = lambda rate, **betas: dict(name='optax.adam', learning_rate=faster * rate, **betas)
  rmsprop = lambda rate: dict(name='optax.rmsprop', learning_rate=faster * rate, decay=0.99, eps_in_sqrt=False)
  clipped = dict(name='chain', links=(rmsprop(5e-5), dict(name='clip_weights', limit=0.01)))
  one, five = dict(discriminator_steps=1), dict(discriminator_steps=5, loss='wasserstein')
  penalty = dict(penalty=dict(name='GradientPenalty', weight=10.0))
  return {
    'dcgan': ('DCGAN', dict(one, loss='nonsaturating'), adam(2e-4, b1=0.5), adam(2e-4, b1=0.5)),
    'lsgan': ('LSGAN', dict(one, loss='least_squares'), rmsprop(1e-4), rmsprop(1e-4)),
    'wgan': ('WGAN, clipping', five, rmsprop(5e-5), clipped),
    'wgan_gp': ('WGAN-GP', five | penalty, adam(1e-4, b1=0.5, b2=0.9), adam(1e-4, b1=0.5, b2=0.9)),
  }


def settings(loss: str, architecture: str, steps: int, seed: int, faster: float):
  """The config of a pair."""
  _, game, for_generator, for_discriminator = losses(faster)[loss]
  _, generator, discriminator = ARCHITECTURES[architecture]
  generator = {'name': 'benchmarks.architectures.Generator', **generator}
  discriminator = {'name': 'benchmarks.architectures.Discriminator', **discriminator}
  if loss == 'wgan_gp':
    discriminator['norm'] = False
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      latents=dict(name='Normal', shape=(64,)),
      generator=generator,
      discriminator=discriminator,
      **game,
    ),
    optimizers=dict(generator=for_generator, discriminator=for_discriminator),
    data=config_lib.stream(name='digits', size=8, channels=1),
    batch_size=64,
    steps=steps,
    seed=seed,
    devices=1,
    log_every=max(1, steps // 10),
    sample_every=0,
    checkpoint_every=0,
  )


def measure(loss: str, architecture: str, folder: pathlib.Path, samples: int, **options) -> None:
  """Trains and evaluates a pair, where that is not done."""
  if rows_lib.measured(folder, samples=samples, **options):
    return
  train.run(settings(loss, architecture, **options), folder)
  found = evaluate(gan_jax.load(folder), samples=samples, weights='raw', metrics=('fid',))
  content = {'distance': found.values['fid'], 'features': found.shared['features']}
  rows_lib.write(folder, content, samples=samples, **options)


def table(workdir: pathlib.Path, success: float) -> str:
  """The pairs there are, in Markdown: distances, in bold those that succeed."""
  columns = losses(1.0)
  rows = ['| architecture | ' + ' | '.join(column[0] for column in columns.values()) + ' |', '|---' * 5 + '|']
  told = set()
  for architecture, (title, _, _) in ARCHITECTURES.items():
    cells = []
    for loss in columns:
      row = rows_lib.read(workdir / loss / architecture)
      good = row is not None and row['distance'] <= success
      cells.append('' if row is None else f'**{row["distance"]:.0f}**' if good else f'{row["distance"]:.0f}')
      if row is not None:
        how = '{steps:,} steps of the generator, rate times {faster:g}, seed {seed}, {samples:,} samples; '
        told.add(how.format(**row['options']) + row['features'])
    rows.append(f'| {title} | ' + ' | '.join(cells) + ' |')
  return '\n'.join([*rows, '', *sorted(told)])


def main(arguments: list[str] | None = None) -> str:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--losses', default=','.join(losses(1.0)), help='by commas')
  parser.add_argument('--architectures', default=','.join(ARCHITECTURES), help='by commas')
  parser.add_argument('--steps', type=int, default=1_000, help='of the generator')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--faster', type=float, default=4.0)
  parser.add_argument('--samples', type=int, default=2_000)
  parser.add_argument('--success', type=float, default=100.0)
  parser.add_argument('--table', action='store_true', help='train nothing')
  values = parser.parse_args(arguments)
  workdir = pathlib.Path(values.workdir)
  options = dict(samples=values.samples, steps=values.steps, seed=values.seed, faster=values.faster)
  for loss in [] if values.table else values.losses.split(','):
    for architecture in values.architectures.split(','):
      measure(loss, architecture, workdir / loss / architecture, **options)
  printed = table(workdir, values.success)
  print(printed)
  return printed


if __name__ == '__main__':
  main()
