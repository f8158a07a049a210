"""WGAN-GP: a penalty on the critic's gradient in place of clipping; no batch norm in the critic, 5 moves of it to one.

Paper: Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028, algorithm 1.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/wgan_gp.py --workdir runs/wgan_gp

  mnist    32x32, DCGAN's networks with 128 channels; the default. Unmeasured.
  digits   8x8, scikit-learn's digits: needs no download. 2:00 on 2 shared
           cores, seed 0: Fréchet distance 17.74, every class at least 7.3 % of 5,000 samples.

`mnist` has no batch norm in the generator either, a batch of 50 and the first weights of the authors' code: of N(0,
0.02) the critic's gradient has a norm of 0.0075 at the start, of theirs 0.8.

differs: `digits` has batch norm in the generator, which begins at N(0, 0.02), and a batch of 64, as it was measured.
differs: the authors' networks for MNIST are twice as wide, have 5x5 windows, 28x28 pixels in [0, 1], and 50,000
  training pictures; they train for 200,000 steps. Here pixels lie in (-1, 1): their penalty is that of
  --config.game.penalty.target=0.5 --config.game.penalty.weight=40.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'digits')


def get_config(variant):
  digits = variant == 'digits'
  widths, size = ((64, 128), 8) if digits else ((32, 64, 128), 32)
  # The authors' code for MNIST and CIFAR-10 has b1 = 0.5, algorithm 1 has 0.
  adam = dict(name='optax.adam', learning_rate=1e-4, b1=0.5, b2=0.9)
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='wasserstein',
      penalty=dict(name='GradientPenalty', weight=10.0),
      discriminator_steps=5,
      latents=dict(name='Normal', shape=(128,)),
      generator=dict(
        name='dcgan.Generator',
        channels=widths[::-1],
        kernel=4,
        base=size >> len(widths),
        image_channels=1,
        norm='batch' if digits else 'none',
        initializer='normal' if digits else 'he',  # as it was measured
      ),
      discriminator=dict(name='dcgan.Discriminator', channels=widths, kernel=4, norm='none', initializer='he'),
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=config_lib.stream(name=variant, size=size, channels=1),
    batch_size=64 if digits else 50,
    steps=3_000 if digits else 2_000,
    log_every=100,
    sample_every=500,
    checkpoint_every=1_000,
  )
