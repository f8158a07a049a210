"""SinGAN on one of scikit-learn's two photographs (built in), a stage for each level of the pyramid.

Paper: Shaham et al. 2019, https://arxiv.org/abs/1905.01164.
Command, in this folder: python -m gan_jax.main --config singan_photo.py:short --workdir runs/singan
A picture of your own, alone in a folder: --config.data.path=FOLDER --config.data.split=train
Figures: python -m gan_jax.evaluate --workdir runs/singan --metrics singan.diversity --samples 50

  paper  25 to 105 pixels in 6 levels, 2,000 steps of 3 moves each; the default. Unmeasured.
  short  16 to 54 pixels in 4 levels, 400 steps of 1 move each: docs/games.md, "Examples of your own games".
"""

import pathlib

import sklearn.datasets

from gan_jax import config as config_lib

VARIANTS = ('paper', 'short')


def get_config(variant):
  sizes, moves, steps = ((16, 24, 36, 54), 1, 400) if variant == 'short' else ((25, 33, 44, 59, 79, 105), 3, 2000)
  rate = dict(
    name='optax.piecewise_constant_schedule', init_value=5e-4, boundaries_and_scales={steps * 4 // 5 * moves: 0.1}
  )
  adam = dict(name='optax.adam', learning_rate=rate, b1=0.5)
  names = [f'generators_{i}' for i in range(len(sizes))]
  stages = [
    dict(
      steps=steps,
      game=dict(generators=(dict(name='singan.Patches'),) * (i + 1), sizes=sizes[: i + 1]),
      data=dict(size=size),
      reset=dict(optimizer=('discriminator',)),
      **(dict(start={names[i]: names[i - 1]}) if i else {}),
    )
    for i, size in enumerate(sizes)
  ]
  return config_lib.base(
    game=dict(
      name='singan.SinGAN', generators=(), discriminator=dict(name='singan.Patches', outputs=1), sizes=(), moves=moves
    ),
    optimizers=dict.fromkeys(('discriminator', *names), adam),
    data=config_lib.stream(
      name='folder',
      path=str(pathlib.Path(sklearn.datasets.__file__).parent / 'images'),
      split='train[:1]',
      size=sizes[0],
    ),
    batch_size=1,
    stages=tuple(stages),
    samples=16,
    log_every=100,
    sample_every=steps,
    checkpoint_every=steps,
  )
