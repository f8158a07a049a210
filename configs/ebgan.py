"""EBGAN-PT: an auto-encoder of DCGAN's networks judges by its reconstruction error; a term pulls codes of fakes apart.

Paper: Zhao et al. 2016, https://arxiv.org/abs/1609.03126.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/ebgan.py --workdir runs/ebgan

  mnist    32x32, DCGAN's networks with 128 channels, margin 10; the default. Unmeasured.
  digits   8x8, scikit-learn's digits, margin 3: needs no download. 1:38 on 2 shared
           cores, seed 0: Fréchet distance 16.38, every class at least 9.1 % of 5,000 samples.

differs: the code is a vector of 64 (32 in `digits`) behind a dense layer; the paper's encoder is convolutional alone.
differs: digits are enlarged to 32x32; the paper's search pads them with black.
differs: Adam 2e-4 with b1 = 0.5, as DCGAN; convolutions where the paper's search on MNIST is of dense networks; leaky
  ReLU in the encoder, and weights of N(0, 0.02) in both, the paper's discriminator 0.002.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'digits')


def get_config(variant):
  digits = variant == 'digits'
  widths, size, code = ((64, 128), 8, 32) if digits else ((32, 64, 128), 32, 64)
  adam = dict(name='optax.adam', learning_rate=2e-4, b1=0.5)
  generator = dict(name='dcgan.Generator', channels=widths[::-1], kernel=4, base=size >> len(widths), image_channels=1)
  encoder = dict(name='dcgan.Discriminator', channels=widths, kernel=4, outputs=code)
  return config_lib.base(
    game=dict(
      name='ebgan.EBGAN',
      margin=3.0 if digits else 10.0,
      pulling_away=0.1,
      latents=dict(name='Normal', shape=(100,)),
      generator=generator,
      discriminator=dict(name='autoencoder.AutoEncoder', encoder=encoder, decoder=generator),
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=config_lib.stream(name=variant, size=size, channels=1),
    batch_size=64,
    steps=6_000 if digits else 4_000,
    log_every=100,
    sample_every=1_000,
    checkpoint_every=1_000,
  )
