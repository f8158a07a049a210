"""Conditional DCGAN: DCGAN with the class, or several tags, beside the input of every layer of both networks.

Paper: Radford et al. 2015, https://arxiv.org/abs/1511.06434, appendix; settings of its authors' code, Newmu/dcgan_code.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/cdcgan.py --workdir runs/cdcgan

  mnist   the digit is asked for, 200 epochs; the default. Unmeasured.
  tags    MNIST with three tags that hold at once: even, at least five, has a loop; half as wide, 40 epochs. 39 minutes
          on one core: all three right in 97.4 % of 10,000 samples.
  digits  the digit of scikit-learn's (8x8): needs no download. 1:30 on one core: the digit asked for in 99.1 %.

Then python -m gan_jax.evaluate --workdir runs/cdcgan --metrics parzen,classes (of `tags`: tags). A row for each class:
python -m gan_jax.sample --workdir runs/cdcgan --picture=classes --out classes.png

differs: the discriminator moves first, in the authors' code the generator, and each batch of data moves both; there one
  of them, so that their 391 batches of an epoch are 195 moves of each player, as an epoch is here.
differs: generated pictures have classes drawn uniformly, the authors' those of the batch of data.
differs: the first 50,000 pictures in the order of the prepared set, which is shuffled; the authors' 50,000 at random.
differs: the rate falls from step to step, the authors' once an epoch.
differs: samples are of running statistics, the authors' of those of their batch.
differs: `tags` and `digits` are ours: what is asked for; the widths and the length; the rate of `tags`, which stays.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'tags', 'digits')
EPOCH = 195


def get_config(variant):
  digits, tags = variant == 'digits', variant == 'tags'
  asked = (
    dict(tags=dict(name='Tags', table=config_lib.DIGIT_TAGS)) if tags else dict(label=dict(name='Label', classes=10))
  )
  steps = 3_000 if digits else (40 if tags else 200) * EPOCH
  rate = dict(
    name='optax.linear_schedule',
    init_value=2e-4,
    end_value=0.0,
    transition_steps=steps // 2,
    transition_begin=steps // 2,
  )
  if tags:
    rate = 2e-4
  # The decay is part of the gradient, as the authors' regularizer.
  adam = dict(
    name='chain',
    links=(
      dict(name='optax.add_decayed_weights', weight_decay=2.5e-5),
      dict(name='optax.adam', learning_rate=rate, b1=0.5),
    ),
  )
  widths = dict(channels=(128, 64), units=1024, base=7)
  if digits or tags:
    widths = dict(channels=(64, 32), units=256 if digits else 512, base=2 if digits else 7)
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='nonsaturating',
      discriminator_steps=1,
      latents=dict(z=dict(name='Uniform', shape=(100,), low=-1.0, high=1.0), **asked),
      generator=dict(name='cdcgan.Generator', classes=10, image_channels=1, kernel=5, **widths),
      discriminator=dict(
        name='cdcgan.Discriminator', classes=10, kernel=5, channels=widths['channels'][::-1], units=widths['units']
      ),
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=config_lib.stream(
      name='digits' if digits else 'mnist',
      split='train' if digits else 'train[:50000]',
      size=8 if digits else 28,
      channels=1,
      range=(0.0, 1.0),
      classes=10,
      tags=config_lib.DIGIT_TAGS if tags else (),
    ),
    batch_size=128,
    steps=steps,
    log_every=100,
    sample_every=steps // 10,
    checkpoint_every=steps // 10,
  )
