"""CGAN: GAN 2014 with the class, or several tags, as an input of both players.

Paper: Mirza and Osindero 2014, https://arxiv.org/abs/1411.1784.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/cgan.py:mnist --workdir runs/cgan

  mnist        the digit is asked for; the networks of section 4.1, GAN 2014's schedule; the default. 108 minutes on
               one core beside other work: Parzen 241.5 ± 2.2 (paper: 132 ± 1.8), the digit asked for in 99.2 % of
               10,000 samples.
  tags         three tags that hold at once: even, at least five, has a loop. Does not train so: after 50,000 steps the
               discriminator is far ahead, and all three are right in 19 % of 10,000 samples. Convolutions with the tags
               in every layer do: configs/cdcgan.py:tags, 97.4 %.
  digits       the first on scikit-learn's digits: needs no download. 6:30 on one core: the digit asked for in 97.5 %.
  digits_tags  the second there. 6:30 on one core: a tag asked for is there in 96 %, all three and no other in 93 %.

The paper's other task, tags for photographs out of word vectors, needs a network trained on ImageNet and is not here:
the tags here are what is asked for, not what is made.

differs: the paper says dropout of 0.5 in both players and not where; here the discriminator has it as in GAN 2014's
  published settings (0.2 of the pixels, 0.5 of hidden units), and the generator has none; the latents lie in
  (-sqrt 3, sqrt 3), not in (0, 1), and the discriminator's rate is half of the generator's, both as there. With dropout
  before the generator's last layer, or latents in (0, 1), the discriminator has won outright after 2,000 steps.
differs: on MNIST the rate falls by 1.000004 a step, as in GAN 2014's published settings, not by 1.00004; momentum grows
  to 0.6 in the shorter run, and samples are those of a running average.
differs: the last step is taken, not the one of the best likelihood, which comes before the labels are heard.
differs: the loss is nonsaturating; the value of the paper's eq. 2 saturates where the discriminator is sure.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'tags', 'digits', 'digits_tags')
BATCH = 100


def get_config(variant):
  digits, tags = variant.startswith('digits'), variant.endswith('tags')
  size = 8 if digits else 28
  asked = (
    dict(tags=dict(name='Tags', table=config_lib.DIGIT_TAGS)) if tags else dict(label=dict(name='Label', classes=10))
  )
  steps = 20_000 if digits else 60_000
  decay = 1.00004 if digits else 1.000004
  momentum = lambda rate: dict(
    name='momentum',
    learning_rate=dict(
      name='optax.exponential_decay', init_value=rate, transition_steps=1, decay_rate=1 / decay, end_value=1e-6
    ),
    momentum=dict(
      name='optax.linear_schedule', init_value=0.5, end_value=0.7 if digits else 0.6, transition_steps=steps
    ),
  )
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='nonsaturating',
      discriminator_steps=1,
      latents=dict(z=dict(name='Uniform', shape=(100,), low=-(3**0.5), high=3**0.5), **asked),
      generator=dict(name='cgan.Generator', classes=10, units=1200, shape=(size, size, 1), dropout=0.0, irange=0.05),
      discriminator=dict(name='cgan.MaxoutDiscriminator', classes=10, units=240, joint_units=240, irange=0.005),
    ),
    optimizers=dict(generator=momentum(0.1), discriminator=momentum(0.05)),
    data=config_lib.stream(
      name='digits' if digits else 'mnist',
      split='train' if digits else 'train[:50000]',
      size=size,
      channels=1,
      range=(0.0, 1.0),
      classes=10,
      tags=config_lib.DIGIT_TAGS if tags else (),
    ),
    batch_size=BATCH,
    ema={} if digits else dict(generator=0.9999),
    steps=steps,
    log_every=200,
    sample_every=steps // 10,
    checkpoint_every=steps // 10,
    eval=dict(every=steps // 6, metrics=('tags',) if tags else ('parzen', 'classes'), samples=10_000),
  )
