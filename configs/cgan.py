"""CGAN: GAN 2014 with the class, or several tags, as an input of both players.

Paper: Mirza and Osindero 2014, https://arxiv.org/abs/1411.1784.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/cgan.py:mnist --workdir runs/cgan

  mnist        the digit is asked for; the networks and the schedule of section 4.1; the default. Unmeasured.
  tags         three tags that hold at once: even, at least five, has a loop. Unmeasured.
  digits       the first on scikit-learn's digits: needs no download. Unmeasured.
  digits_tags  the second there. Unmeasured.

The paper's other task, tags for photographs out of word vectors, needs a network trained on ImageNet and is not here:
the tags here are what is asked for, not what is made.

differs: the learning rate falls by a factor of 1.00004 per batch as published; the paper stops on the validation
  likelihood, this after a fixed number of steps.
differs: the paper says dropout of 0.5 in both players and not where; here it is on the input of the generator's last
  layer, and on the discriminator's as in GAN 2014's published settings (0.2 of the pixels, 0.5 of hidden units).
differs: the loss is nonsaturating; the value of the paper's eq. 2 saturates where the discriminator is sure.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'tags', 'digits', 'digits_tags')
BATCH = 100
#: Of each digit: whether it is even, at least five, and has a loop.
TAGS = ((1, 0, 1), (0, 0, 0), (1, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 1), (0, 1, 0), (1, 1, 1), (0, 1, 1))


def get_config(variant):
  digits, tags = variant.startswith('digits'), variant.endswith('tags')
  size = 8 if digits else 28
  asked = dict(tags=dict(name='Tags', table=TAGS)) if tags else dict(label=dict(name='Label', classes=10))
  steps = 20_000 if digits else 120_000
  momentum = dict(
    name='momentum',
    learning_rate=dict(
      name='optax.exponential_decay', init_value=0.1, transition_steps=1, decay_rate=1 / 1.00004, end_value=1e-6
    ),
    momentum=dict(name='optax.linear_schedule', init_value=0.5, end_value=0.7, transition_steps=steps),
  )
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='nonsaturating',
      discriminator_steps=1,
      latents=dict(z=dict(name='Uniform', shape=(100,), low=0.0, high=1.0), **asked),
      generator=dict(name='cgan.Generator', classes=10, units=1200, shape=(size, size, 1), dropout=0.5, irange=0.05),
      discriminator=dict(name='cgan.MaxoutDiscriminator', classes=10, units=240, joint_units=240, irange=0.005),
    ),
    optimizers=dict(generator=dict(momentum), discriminator=dict(momentum)),
    data=config_lib.stream(
      name='digits' if digits else 'mnist',
      size=size,
      channels=1,
      range=(0.0, 1.0),
      classes=10,
      tags=TAGS if tags else (),
    ),
    batch_size=BATCH,
    steps=steps,
    log_every=200,
    sample_every=steps // 10,
    checkpoint_every=steps // 10,
  )
