"""LSGAN: least squares in place of the cross-entropy, data at 1, fakes at 0, the generator towards 1.

Paper: Mao et al. 2016, https://arxiv.org/abs/1611.04076, eq. 9 (a = 0, b = c = 1).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/lsgan.py --workdir runs/lsgan

  mnist    32x32, DCGAN's networks with 128 channels; the default. Unmeasured.
  digits   8x8, scikit-learn's digits: needs no download. 0:52 on 2 shared
           cores, seed 0: Fréchet distance 7.59, every class at least 8.9 % of 5,000 samples.

differs: 100 latents, new ones for the generator's move; the authors' code takes 1,024 for scenes of 112x112, the same
  in both moves.
differs: the rate is that of the authors' program for characters, whose networks, of 28x28 pixels and conditional, are
  not these; weights and gains start as DCGAN's.
differs: losses are means over the batch, the authors' sums over it, which Adam levels out but for its epsilon.
differs: DCGAN's networks, 4x4 windows; the authors' generator has pairs of 3x3, both are wider, and train longer; the
  windows of its discriminator are 5x5.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'digits')


def get_config(variant):
  digits = variant == 'digits'
  widths, size = ((64, 128), 8) if digits else ((32, 64, 128), 32)
  # The paper's rate for handwritten characters; 1e-3 for scenes.
  adam = dict(name='optax.adam', learning_rate=2e-4, b1=0.5)
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='least_squares',
      discriminator_steps=1,
      latents=dict(name='Uniform', shape=(100,), low=-1.0, high=1.0),
      generator=dict(
        name='dcgan.Generator', channels=widths[::-1], kernel=4, base=size >> len(widths), image_channels=1
      ),
      discriminator=dict(name='dcgan.Discriminator', channels=widths, kernel=4),
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=config_lib.stream(name=variant, size=size, channels=1),
    batch_size=64,
    steps=6_000 if digits else 4_000,
    log_every=100,
    sample_every=1_000,
    checkpoint_every=1_000,
  )
