"""Semi-supervised GAN: a discriminator that classifies, from 100 labels and many examples without; feature matching.

Paper: Salimans et al. 2016, https://arxiv.org/abs/1606.03498; settings of the authors' code (openai/improved-gan).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/semi_supervised.py --workdir runs/ssgan

  mnist    10 labels of each class, 300 epochs; the default. After 100 of them (95 minutes) 1.3 % error; after 50 the
           mean of five draws of labels is 1.4 %.
  cifar10  400 labels of each class, 1,200 epochs. A quarter as wide, after 5 of them 58 % error, and falling.
  digits   2 labels of each class of scikit-learn's digits (8x8): needs no download; 1 to 4 minutes. Mean error of
           five draws 14 %, of the labels alone 24 %.

Then python -m gan_jax.evaluate --workdir runs/ssgan --metrics classifier. Another draw of labels:
--config.data.labelled.per_class_seed=1; more of them: --config.data.labelled.per_class=100; the same network on the
labels alone: --config.game.supervised=True; Odena's form:
--config.game.form=odena --config.game.discriminator.classes=11.

differs: the start from data is of the first labelled batch; the authors' is of 500 examples, of MNIST of all pictures.
differs: the running averages have no share of the first weights; the authors' begin at 0, so their biases and the
  last layer's scales are small at first.
differs: the scales of the generator's last layer start at the norms of its weights, the authors' at 1.
differs: CIFAR-10's generator has DCGAN's weights, gains and an epsilon of 1e-5 (1e-6) in batch norm, and no weight norm
  in the last layer; its rate falls from step to step, the authors' once an epoch.
differs: labels are drawn for each class by `per_class_seed`: no draw is one of the authors'.
differs: the two turns share the unlabelled pictures of a pass: each player sees half of them in 300 steps; the authors'
  discriminator sees all of them in 600.
differs: CIFAR-10's pixels are divided by 127.5, the authors' by 128; its samples are of running statistics, the
  authors' of those of their batch.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'cifar10', 'digits')


def get_config(variant):
  colour, digits = variant == 'cifar10', variant == 'digits'
  size = {'mnist': 28, 'cifar10': 32, 'digits': 8}[variant]
  epoch = {'mnist': 600, 'cifar10': 500, 'digits': 14}[variant]
  epochs = {'mnist': 300, 'cifar10': 1200, 'digits': 600}[variant]
  # The authors' epsilon is inside the root: where gradients are below 1e-4, steps are small. On MNIST that is so in
  # 88 % of the discriminator's weights; with epsilon outside, the game broke after 10,000 steps (docs/results.md).
  adam = dict(name='optax.adam', learning_rate=_rate(epoch) if colour else 3e-3, b1=0.5, eps=0.0, eps_root=1e-8)
  data = dict(
    name=variant, size=size, channels=3 if colour else 1, range=(-1.0, 1.0) if colour else (0.0, 1.0), batch_size=100
  )
  per_class = {'mnist': 10, 'cifar10': 400, 'digits': 2}[variant]
  return config_lib.base(
    game=dict(
      name='semi_supervised.SemiSupervised',
      classes=10,
      form='salimans',
      weight=0.5,
      norm='l1' if colour else 'l2',
      supervised=False,
      latents=dict(name='Uniform', shape=(100,), low=0.0, high=1.0),
      **(_convolutions() if colour else _layers(size)),
    ),
    optimizers=dict(generator=dict(adam), discriminator=dict(adam)),
    ema=dict(discriminator=dict(name='averages.unbiased', decay=0.998 if digits else 0.9999)),
    data=config_lib.streams(
      data,
      labelled=dict(batch_size=20 if digits else 100, classes=10, per_class=per_class),
      unlabelled=dict(),
    ),
    batch_size=100,
    steps=epochs * epoch,
    log_every=10 * epoch,
    sample_every=epochs * epoch // 10,
    checkpoint_every=epochs * epoch // 10,
  )


def _layers(size):
  hidden = (1000, 500, 250, 250, 250) if size == 28 else (250, 250, 250)
  return dict(
    generator=dict(name='semi_supervised.Generator', hidden=(500, 500), shape=(size, size, 1)),
    discriminator=dict(name='semi_supervised.Discriminator', classes=10, hidden=hidden, noise=(0.3, 0.5)),
  )


def _convolutions():
  return dict(
    generator=dict(name='dcgan.Generator', channels=(512, 256, 128), kernel=5, image_channels=3, project_norm='unit'),
    discriminator=dict(name='semi_supervised.ConvDiscriminator', classes=10, channels=(96, 192)),
  )


def _rate(epoch):
  """3e-4, falling to 0 over the last 400 epochs."""
  return dict(
    name='optax.linear_schedule',
    init_value=3e-4,
    end_value=0.0,
    transition_steps=400 * epoch,
    transition_begin=800 * epoch,
  )
