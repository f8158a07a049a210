"""WGAN: a critic without a sigmoid, its weights clipped to [-0.01, 0.01], RMSProp 5e-5, 5 moves of the critic to one.

Paper: Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/wgan.py --workdir runs/wgan

  mnist    32x32, DCGAN's networks with 128 channels; the default. Unmeasured.
  digits   8x8, scikit-learn's digits: needs no download. 1:22 on 2 shared
           cores, seed 0: Fréchet distance 22.48, every class at least 6.3 % of 5,000 samples.

differs: the authors' code makes 100 moves of the critic for each of the first 25 of the generator and for every 500th;
  here there are always 5.
differs: clipping takes hold of the parameters of batch norm too, as in the authors' code, and so of gains near 1.
differs: samples are of running statistics, the authors' of those of their batch. Weights are clipped after each move,
  as in the paper; in the authors' code before each, so that the generator is judged by weights that are not.
differs: MNIST, 2,000 steps; the authors' have LSUN's bedrooms or CIFAR-10, 25 epochs.
differs: half of the authors' widths; the first layer of the critic and the last of both have biases, theirs have none.
differs: `digits` learns four times as fast, for a run of a minute.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'digits')


def get_config(variant):
  digits = variant == 'digits'
  widths, size = ((64, 128), 8) if digits else ((32, 64, 128), 32)
  rate = 2e-4 if digits else 5e-5
  # PyTorch's RMSProp, which the authors used: squares decay by 0.99.
  rmsprop = dict(name='optax.rmsprop', learning_rate=rate, decay=0.99, eps=1e-8, eps_in_sqrt=False)
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='wasserstein',
      discriminator_steps=5,
      latents=dict(name='Normal', shape=(100,)),
      generator=dict(
        name='dcgan.Generator', channels=widths[::-1], kernel=4, base=size >> len(widths), image_channels=1
      ),
      discriminator=dict(name='dcgan.Discriminator', channels=widths, kernel=4),
    ),
    optimizers=dict(
      generator=rmsprop,
      discriminator=dict(name='chain', links=(rmsprop, dict(name='clip_weights', limit=0.01))),
    ),
    data=config_lib.stream(name=variant, size=size, channels=1),
    batch_size=64,
    steps=3_000 if digits else 2_000,
    log_every=100,
    sample_every=500,
    checkpoint_every=1_000,
  )
