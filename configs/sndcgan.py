"""SNGAN of DCGAN's size: spectral norm in every layer of the discriminator, the hinge loss.

Paper: Miyato et al. 2018, https://arxiv.org/abs/1802.05957, section 4 and table 1, setting C.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/sndcgan.py --workdir runs/sndcgan

  mnist    32x32, DCGAN's networks with 128 channels; the default. Unmeasured.
  digits   8x8, scikit-learn's digits: needs no download. 0:55 on 2 shared
           cores, seed 0: Fréchet distance 25.32, every class at least 6.4 % of 5,000 samples.

differs: both networks are narrower than the paper's, 128 in place of 512 channels at 4x4, and the generator has no
  convolution of stride 1 behind the last transposed one; `mnist`, its length and `digits` are ours.
differs: the discriminator has three convolutions of stride 2; the paper's for 32x32 has four more, of stride 1, in
  between.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'digits')


def get_config(variant):
  digits = variant == 'digits'
  widths, size = ((64, 128), 8) if digits else ((32, 64, 128), 32)
  adam = dict(name='optax.adam', learning_rate=2e-4, b1=0.5)
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='hinge',
      discriminator_steps=1,
      latents=dict(name='Normal', shape=(128,)),
      generator=dict(
        name='dcgan.Generator', channels=widths[::-1], kernel=4, base=size >> len(widths), image_channels=1
      ),
      discriminator=dict(
        name='dcgan.Discriminator', channels=widths, kernel=4, slope=0.1, norm='none', weights='spectral'
      ),
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=config_lib.stream(name=variant, size=size, channels=1),
    batch_size=64,
    steps=6_000 if digits else 4_000,
    log_every=100,
    sample_every=1_000,
    checkpoint_every=1_000,
  )
