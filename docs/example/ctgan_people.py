"""CTGAN on a made-up table of people (built in): two numbers and two classes.

Paper: Xu et al. 2019, https://arxiv.org/abs/1907.00503.
Command, in this folder: python -m gan_jax.main --config ctgan_people.py --workdir runs/ctgan
Rows of one class: python -m gan_jax.sample --workdir runs/ctgan --condition column=0,city=4 --out rows.npz
Figures: python -m gan_jax.evaluate --workdir runs/ctgan --metrics fid --features raw --samples 10000
Result: see docs/games.md, "Examples of your own games".
"""

import ctgan
import numpy as np
from sklearn.mixture import BayesianGaussianMixture

from gan_jax import config as config_lib
from gan_jax.data.sources import ArraySource

VARIANTS = ('default',)
CLASSES = {'city': 5, 'job': 3}


def table(split):
  """A made-up table, to know what is right: the city decides on the job, both on the income, the job on the age."""
  random, count = np.random.RandomState(split == 'test'), {'train': 10_000, 'test': 2_000}[split]
  city = random.choice(5, count, p=(0.6, 0.25, 0.1, 0.04, 0.01))
  job = np.where(random.rand(count) < 0.15 + 0.15 * city, 2, random.rand(count) < 0.4)
  age = np.where(job == 0, 22 + 2 * random.randn(count), 46 + 9 * random.randn(count))
  income = np.exp(random.randn(count) * 0.2) * (10 + 15 * job + 10 * city)
  return {'age': age.astype('f'), 'income': income.astype('f'), 'city': city, 'job': job}


def people(stream):
  """The table as a source, with how often each row is drawn: the sum over the columns of P(class) / count of it."""
  rows, train = table(stream.split), table('train')
  counts = {name: np.bincount(train[name], minlength=n) for name, n in CLASSES.items()}
  rows['often'] = sum((ctgan.log_frequency(c) / c)[rows[name]] for name, c in counts.items()).astype('f')
  return ArraySource(rows)


def modes_of(values):
  """(mean, deviation, weight) of the Gaussians of a column that matter, of ten; of its first thousand rows."""
  fit = BayesianGaussianMixture(
    n_components=10, weight_concentration_prior=0.001, max_iter=1000, tol=0.01, random_state=0
  )
  fit.fit(values[:1000, None])
  found = zip(fit.means_[:, 0], np.sqrt(fit.covariances_[:, 0, 0]), fit.weights_, strict=True)
  return tuple(tuple(round(float(x), 4) for x in mode) for mode in found if mode[2] > 0.005)


def get_config(variant):
  rows = table('train')
  modes = {name: modes_of(rows[name]) for name in ('age', 'income')}
  counts = {name: tuple(map(int, np.bincount(rows[name], minlength=n))) for name, n in CLASSES.items()}
  features = sum(1 + len(m) for m in modes.values()) + sum(CLASSES.values())
  labels = {name: dict(name='Label', classes=len(c), shares=tuple(map(float, c))) for name, c in counts.items()}
  adam = dict(name='optax.adam', learning_rate=2e-4, b1=0.5, b2=0.9)
  number = dict(name='Array')
  classes = {name: dict(name='Label', classes=n) for name, n in CLASSES.items()}
  return config_lib.base(
    game=dict(
      name='ctgan.CTGAN',
      generator=dict(name='ctgan.Generator', features=features),
      discriminator=dict(name='ctgan.Critic'),
      latents=dict(z=dict(name='Normal', shape=(128,)), column=dict(name='Label', classes=len(counts)), **labels),
      modes=modes,
      counts=counts,
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=config_lib.stream(
      name='ctgan_people.people',
      weights='often',
      columns=dict(age=number, income=number, often=dict(name='Number', low=0, high=1), **classes),
    ),
    batch_size=500,
    steps=3000,
    samples=1000,
    log_every=200,
    sample_every=1000,
    checkpoint_every=1000,
  )
