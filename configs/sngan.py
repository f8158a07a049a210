"""SNGAN: residual networks, spectral norm in the discriminator, classes by projection.

Paper: Miyato et al. 2018, https://arxiv.org/abs/1802.05957 and Miyato and Koyama 2018,
https://arxiv.org/abs/1802.05637; settings of the authors' code.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/sngan.py --workdir runs/sngan

  cifar10           32 pixels without classes (table 4); the default. Unmeasured.
  cifar10_classes   the same with classes, by projection. Unmeasured but for a narrow, short run: docs/results.md.
  stl10             48 pixels, the 100,000 pictures without labels (table 5). Unmeasured.
  imagenet128       128 pixels, 1,000 classes by projection (table 6). Unmeasured.
  digits            8x8 with classes, scikit-learn's digits: needs no download. 8 minutes on 2 shared cores, seed 0:
                    class asked for in 99.2 % of 5,000 samples, Fréchet distance 8.5.

Pictures are not mirrored, as in the authors' code.

differs: the generator moves on as many examples as the discriminator; the authors' on twice as many.
differs: `imagenet128` has a batch of 64, and its statistics; the authors' published networks are of four GPUs with 16
  examples each, 32 in the generator, and statistics of their own (--config.accumulate=4). They leave out pictures with
  a side below 256, reduce the others by way of 256 pixels, and stretch the levels of each to all of 0 to 255.
differs: the discriminator moves five times, then the generator; in the authors' code the generator first.
differs: running statistics follow the generator's moves alone, 9 steps back in the mean; the authors' every pass, 1.5
  steps back.
differs: no noise is added to pixels; the authors divide by 128 and add uniform noise of 1 / 128, one level.
differs: weights begin orthogonal; the authors' by Glorot, uniform, with a gain of sqrt 2 in the 3x3
  convolutions of blocks.
differs: batch norm adds 1e-5 to the variance, the authors' 2e-5; at 32 pixels the last layer has a bias, theirs has
  none.
differs: the generator's move leaves the discriminator's spectral norms as they are; the authors' iterates them too, the
  eleventh time in a step.
"""

from gan_jax import config as config_lib

VARIANTS = ('cifar10', 'cifar10_classes', 'stl10', 'imagenet128', 'digits')
#: (size, first map, widths of the generator, of the discriminator, halvings).
NETWORKS = {
  'cifar10': (32, 4, (256,) * 4, (128,) * 4, 2),
  'stl10': (48, 6, (512, 256, 128, 64), (64, 128, 256, 512, 1024), 4),
  'imagenet128': (128, 4, (1024, 1024, 512, 256, 128, 64), (64, 128, 256, 512, 1024, 1024), 5),
  'digits': (8, 4, (64, 64), (64, 64), 1),
}
#: (batch size, steps, step from which the learning rate falls to 0).
TRAINING = {
  'cifar10': (64, 50_000, 0),
  'stl10': (64, 50_000, 0),
  'imagenet128': (64, 450_000, 400_000),
  'digits': (64, 3_000, 2_000),
}
NAMES = {'stl10': dict(name='stl10', split='unlabelled'), 'imagenet128': dict(name='imagenet2012')}


def get_config(variant):
  data = variant.removesuffix('_classes')
  classes = {'cifar10_classes': 10, 'digits': 10, 'imagenet128': 1000}.get(variant, 0)
  size, base, widths, judged, halvings = NETWORKS[data]
  batch, steps, falling = TRAINING[data]
  channels = 1 if data == 'digits' else 3
  rate = dict(
    name='optax.linear_schedule', init_value=2e-4, end_value=0.0, transition_begin=falling,
    transition_steps=steps - falling,
  )  # fmt: skip
  discriminator_rate = {**rate, 'transition_begin': 5 * falling, 'transition_steps': 5 * (steps - falling)}
  adam = lambda rate: dict(name='optax.adam', learning_rate=rate, b1=0.0, b2=0.9)
  z = dict(name='Normal', shape=(128,))
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='hinge',
      discriminator_steps=5,
      latents=dict(z=z, label=dict(name='Label', classes=classes)) if classes else z,
      generator=dict(name='sngan.Generator', channels=widths, base=base, classes=classes, image_channels=channels),
      discriminator=dict(name='sngan.Discriminator', channels=judged, halvings=halvings, classes=classes),
    ),
    optimizers=dict(generator=adam(rate), discriminator=adam(discriminator_rate)),
    data=config_lib.stream(**NAMES.get(data, dict(name=data)), size=size, channels=channels, classes=classes),
    batch_size=batch,
    steps=steps,
    log_every=50,
    sample_every=1000,
    checkpoint_every=1000,
  )
