"""VAE-GAN on scikit-learn's handwritten digits (8x8, built in).

Paper: Larsen et al. 2016, https://arxiv.org/abs/1512.09300, shrunk to 8x8: 16 latents, networks of two layers.
Command, in this folder: python -m gan_jax.main --config vaegan_digits.py --workdir runs/vaegan
Figures: python -m gan_jax.evaluate --workdir runs/vaegan --metrics fid,targets --features raw
Result: see docs/games.md, "Examples of your own games".
"""

from gan_jax import config as config_lib

VARIANTS = ('default',)


def get_config(variant):
  adam = dict(name='optax.adam', learning_rate=5e-4, b1=0.5)
  convolutions = dict(name='dcgan.Discriminator', channels=(32, 64), kernel=4)
  return config_lib.base(
    game=dict(
      name='vaegan.VAEGAN',
      encoder=dict(convolutions, outputs=32),
      generator=dict(name='dcgan.Generator', channels=(64, 32), base=2, kernel=4, image_channels=1),
      discriminator=dict(convolutions),
      latents=dict(name='Normal', shape=(16,)),
      layer=-1,
      gamma=0.01,
    ),
    optimizers=dict(encoder=adam, generator=adam, discriminator=adam),
    ema=dict(encoder=0.99, generator=0.99),
    data=config_lib.stream(name='digits', size=8, channels=1),
    batch_size=64,
    steps=3000,
    samples=32,
    log_every=200,
    sample_every=1000,
    checkpoint_every=1000,
  )
