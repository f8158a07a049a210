"""3D-GAN: volumetric convolutions make solids as voxels; the discriminator waits while it is right too often.

Paper: Wu et al. 2016, https://arxiv.org/abs/1610.07584.
Command: python -m gan_jax.main --config configs/gan3d.py:modelnet32 --workdir runs/gan3d \
           --config.data.path="modelnet10_32_{split}.npz"

  modelnet    64^3, the paper's networks and rates, for an accelerator; the default. Unmeasured.
  modelnet32  32^3, a quarter as wide, for one core; modelnet10_32_{split}.npz. About 40 minutes: no copies of the
              data; an SVM on its features is right in 87.7 %, on random weights' in 85.9 % (docs/results.md).
  classes     the same, each class asked for. Unmeasured.
  solids      16^3, boxes, balls, cylinders, cones, tables, chairs: needs no download. 3 minutes of a core: boxes, balls
              and cones can be told, tables and chairs are clouds of voxels.

The files are .npz of `voxels` (N, size, size, size, 1), 0 and 1, and `label`, as in docs/data.md. The figures of the
paper's section 4: python -m benchmarks.volumes --workdir runs/gan3d

differs: the accuracy on the last batch is taken after the discriminator's turn, also of a batch on which it did not
  move; the generator moves on the latents of that batch.
differs: weights start at N(0, 0.02), which the paper leaves open, and the length, 50,000 steps, is ours.
differs: the paper trains a network for each category, or one for seven categories of ShapeNet; these train on all that
  the file has.
differs: the generator minimises -log D, not log(1 - D).
differs: all but `modelnet` have batches of 32, rates of 5e-4 and 2e-4, and latents on (-1, 1): at 1e-5 a discriminator
  learns little in an hour of one core; at 1e-3 and with latents on (0, 1) a narrow generator made one solid of all
  latents in the first 500 steps.
differs: `classes` is no part of the paper: an entry beside the latents, a projection in the discriminator.
"""

from gan_jax import config as config_lib

VARIANTS = ('modelnet', 'modelnet32', 'classes', 'solids')


def get_config(variant):
  size = {'modelnet': 64, 'solids': 16}.get(variant, 32)
  channels = {64: (512, 256, 128, 64), 32: (128, 64, 32), 16: (64, 32)}[size]
  classes = 10 if variant == 'classes' else 0
  adam = lambda rate: dict(name='optax.adam', learning_rate=rate, b1=0.5)
  latents = dict(name='Uniform', shape=(200,), low=0.0 if size == 64 else -1.0, high=1.0)
  steps = {64: 50_000, 32: 3_000, 16: 1_500}[size]
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='nonsaturating',
      latents=dict(z=latents, label=dict(name='Label', classes=classes)) if classes else latents,
      generator=dict(name='volumes.Generator', channels=channels, classes=classes),
      discriminator=dict(name='volumes.Discriminator', channels=channels[::-1], slope=0.2, classes=classes),
      most_accuracy=0.8,
      share_latents=True,
    ),
    # The generator's is the higher one.
    optimizers=dict(
      generator=adam(2.5e-3 if size == 64 else 5e-4),
      discriminator=adam(1e-5 if size == 64 else 2e-4),
    ),
    data=_data(size),
    batch_size=100 if size == 64 else 32,
    steps=steps,
    log_every=50,
    sample_every=steps // 10,
    checkpoint_every=steps // 10,
    samples=16,
  )


def _data(size):
  pixels = dict(size=size, channels=1, range=(0.0, 1.0))
  if size == 16:
    return config_lib.stream(name='solids', classes=6, **pixels)
  voxels = dict(name='Array', column='voxels', range=(0.0, 1.0), low=0.0, high=1.0, shape=(size, size, size, 1))
  columns = dict(image=voxels, label=dict(name='Label', classes=10))
  return config_lib.stream(name='npz', path=f'modelnet10_{size}_{{split}}.npz', columns=columns, **pixels)
