"""DRAGAN: the -log D losses, and a penalty on the discriminator's gradient in a neighbourhood of the data.

Paper: Kodali et al. 2017, https://arxiv.org/abs/1705.07215, algorithm 1.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/dragan.py --workdir runs/dragan

  mnist    32x32, DCGAN's networks with 128 channels; the default. Unmeasured.
  digits   8x8, scikit-learn's digits: needs no download. 1:13 on 2 shared
           cores, seed 0: Fréchet distance 12.25, every class at least 7.5 % of 5,000 samples.

`mnist` has the authors' Adam, 1e-4 with b1 0.5 and b2 0.9, and batch of 128.

differs: DCGAN's networks at 32x32; the authors' notebook has one hidden layer of 128 units in each, 55,000 training
  pictures, and pixels in [0, 1], in which the gradient of one function is twice as large: a norm of 1 here is twice
  theirs (--config.game.penalty.target=0.5 and weight=40 are theirs); it trains for 200,000 steps.
differs: weights of the discriminator begin as the authors' of WGAN-GP, of the generator at N(0, 0.02); in the notebook
  at a variance of 2 / inputs.
differs: `digits` has DCGAN's Adam and a batch of 64, as it was measured.
differs: no batch norm in the discriminator, whose gradient at one example would depend on the others.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'digits')


def get_config(variant):
  digits = variant == 'digits'
  widths, size = ((64, 128), 8) if digits else ((32, 64, 128), 32)
  settings = dict(learning_rate=2e-4, b1=0.5) if digits else dict(learning_rate=1e-4, b1=0.5, b2=0.9)
  adam = dict(name='optax.adam', **settings)
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='nonsaturating',
      penalty=dict(name='GradientPenalty', weight=10.0, at='around'),
      discriminator_steps=1,
      latents=dict(name='Uniform', shape=(100,), low=-1.0, high=1.0),
      generator=dict(
        name='dcgan.Generator', channels=widths[::-1], kernel=4, base=size >> len(widths), image_channels=1
      ),
      # With N(0, 0.02) its gradient has a norm below 0.01 at the start, and the penalty wants 1.
      discriminator=dict(name='dcgan.Discriminator', channels=widths, kernel=4, norm='none', initializer='he'),
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=config_lib.stream(name=variant, size=size, channels=1),
    batch_size=64 if digits else 128,
    steps=6_000 if digits else 4_000,
    log_every=100,
    sample_every=1_000,
    checkpoint_every=1_000,
  )
