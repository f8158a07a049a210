"""GAN 2014: an MLP generator against a maxout discriminator with dropout, trained by momentum.

Paper: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661; settings of the authors' mnist.yaml.
Command: python -m gan_jax.main --config configs/gan.py:digits --workdir runs/gan-digits

  mnist                the saturating game: one value, which the discriminator ascends; the default. Unmeasured.
  mnist_nonsaturating  the generator minimises -log D instead. Unmeasured.
  digits               the saturating game on scikit-learn's digits: needs no download. 40 s on 2 cores: all classes.
  digits_nonsaturating the -log D form there. 40 s on 2 cores: all classes.
  ring                 8 Gaussians on a circle, small networks, Adam: needs no download. 15 s on 2 cores: all 8 modes.

differs: the generator's output bias starts at 0, not at the pixel marginals.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'mnist_nonsaturating', 'digits', 'digits_nonsaturating', 'ring')
BATCH = 100


def get_config(variant):
  if variant == 'ring':
    return _ring()
  digits = variant.startswith('digits')
  size = 8 if digits else 28
  saturating = not variant.endswith('nonsaturating')
  epoch = (1433 if digits else 60_000) // BATCH
  momentum = dict(
    name='momentum',
    learning_rate=dict(
      name='optax.exponential_decay', init_value=0.1, transition_steps=1, decay_rate=1 / 1.000004, end_value=1e-6
    ),
    momentum=dict(name='optax.linear_schedule', init_value=0.5, end_value=0.7, transition_steps=250 * epoch),
  )
  game = dict(
    name='minimax.Minimax' if saturating else 'standard.Standard',
    discriminator_steps=1,
    latents=dict(name='Uniform', shape=(100,), low=-(3**0.5), high=3**0.5),
    generator=dict(name='mlp.Generator', hidden=(1200, 1200), shape=(size, size, 1), output='sigmoid', irange=0.05),
    discriminator=dict(
      name='mlp.MaxoutDiscriminator', units=(240, 240), pieces=5, dropout=(0.2, 0.5, 0.5), irange=0.005
    ),
  )
  if not saturating:
    game['loss'] = 'nonsaturating'
  return config_lib.base(
    game=game,
    optimizers=dict(
      generator=dict(momentum),
      discriminator=dict(name='ascend', optimizer=dict(momentum)) if saturating else dict(momentum),
    ),
    # Pixels in [0, 1]: the sigmoid's range, and that of the paper's Parzen windows.
    data=config_lib.stream(name='digits' if digits else 'mnist', size=size, channels=1, range=(0.0, 1.0)),
    batch_size=BATCH,
    steps=250 * epoch,
    log_every=200,
    sample_every=10 * epoch,
    checkpoint_every=10 * epoch,
  )


def _ring():
  # With b1 = 0.5 the generator circles after one mode; without momentum it settles on all of them.
  adam = dict(name='optax.adam', learning_rate=1e-3, b1=0.0)
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='nonsaturating',
      discriminator_steps=1,
      latents=dict(name='Normal', shape=(16,)),
      generator=dict(name='mlp.Generator', hidden=(256, 256), shape=(2,), output='identity'),
      discriminator=dict(name='mlp.Discriminator', hidden=(256, 256)),
    ),
    optimizers=dict(generator=dict(adam), discriminator=dict(adam)),
    data=config_lib.stream(name='ring'),
    batch_size=256,
    steps=8000,
    log_every=500,
    sample_every=2000,
    checkpoint_every=4000,
  )
