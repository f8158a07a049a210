"""GAN 2014: an MLP generator against a maxout discriminator with dropout, trained by momentum.

Paper: Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661; settings of the authors' yaml files.
Command: python -m gan_jax.main --config configs/gan.py:digits --workdir runs/gan-digits

  mnist                the -log D form, which the authors' code trains; 50,000 training digits; the default. In two
                       parts, 130 minutes on one core: sharp digits of all classes, Parzen 227.3 ± 2.3 (paper: 225 ± 2).
  mnist_saturating     the paper's eq. 1: one value, which the discriminator ascends. Unmeasured.
  cifar10_fc           the authors' fully connected networks for CIFAR-10. A third of its length, 4 minutes of a shared
                       H100: coloured noise in the shape of things, Fréchet distance 146.7.
  cifar10_conv         their convolutional ones. Unmeasured.
  digits               the saturating game on scikit-learn's digits: needs no download. 36 s on 2 cores: all classes.
  digits_nonsaturating the -log D form there. 40 s on 2 cores: all classes.
  ring                 8 Gaussians on a circle, small networks, Adam: needs no download. 15 s on 2 cores: all 8 modes.

The authors' discriminator minimises half of the sum of its two terms: `mnist` and the CIFAR-10 recipes halve its rate.
CIFAR-10's noise is normal, and the last layer of `cifar10_fc` begins at +-0.5, as in the authors' yaml files.

differs: MNIST's figures are of a running average of the generator; `--weights raw` evaluates the weights as they are.
differs: momentum rises with every step, the authors' once an epoch; the 50,000 digits are the first of the prepared
  set, which is shuffled, the authors' the first of MNIST's own order.
differs: the generator's output bias starts at 0, not at the pixel marginals.
differs: the authors' players move at once and on the same latents; here in turns, on latents of their own.
differs: CIFAR-10's pixels lie in (-2, 2), a deviation of about 1, in place of each picture's contrast normalisation.
"""

from gan_jax import config as config_lib

VARIANTS = (
  'mnist', 'mnist_saturating', 'cifar10_fc', 'cifar10_conv', 'digits', 'digits_nonsaturating', 'ring',
)  # fmt: skip
#: (examples, batch size, learning rate)
SIZES = {
  'mnist': (50_000, 100, 0.1),
  'digits': (1433, 100, 0.1),
  'cifar10_fc': (40_000, 100, 0.025),
  'cifar10_conv': (40_000, 128, 0.004),
}


def get_config(variant):
  if variant == 'ring':
    return _ring()
  saturating = variant in ('mnist_saturating', 'digits')
  data = variant if variant.startswith('cifar10') else variant.partition('_')[0]
  examples, batch, rate = SIZES[data]
  epoch = examples // batch
  game = dict(
    name='minimax.Minimax' if saturating else 'standard.Standard',
    discriminator_steps=1,
    # The yaml of MNIST says uniform; those of CIFAR-10 leave the code's default.
    latents=dict(name='Normal', shape=(100,))
    if data.startswith('cifar10')
    else dict(name='Uniform', shape=(100,), low=-(3**0.5), high=3**0.5),
    **_networks(data),
  )
  if not saturating:
    game['loss'] = 'nonsaturating'
  authors = variant == 'mnist' or data.startswith('cifar10')
  discriminator = _momentum(rate / 2 if authors else rate, epoch)
  # The authors' yaml watches the likelihood of held-out digits; it says nothing of when to stop.
  watched = dict(eval=dict(every=10 * epoch, metrics=('parzen',), samples=10_000), keep_best='-eval_parzen_validation')
  return config_lib.base(
    game=game,
    optimizers=dict(
      generator=_momentum(rate, epoch),
      discriminator=dict(name='ascend', optimizer=discriminator) if saturating else discriminator,
    ),
    data=_data(data, examples),
    batch_size=batch,
    # The yaml names no end. The running average is of 20 epochs; Parzen windows still gain after 250.
    ema=dict(generator=0.9999) if data == 'mnist' else {},
    steps=(350 if data == 'mnist' else 250) * epoch,
    log_every=200,
    sample_every=10 * epoch,
    checkpoint_every=10 * epoch,
    **(watched if data == 'mnist' else {}),
  )


def _networks(data):
  if data == 'cifar10_conv':
    return dict(
      generator=dict(name='maxout.ConvGenerator', image_channels=3), discriminator=dict(name='maxout.ConvDiscriminator')
    )
  judge = dict(name='mlp.MaxoutDiscriminator', pieces=5, dropout=(0.2, 0.5, 0.5), irange=0.005)
  generator = dict(name='mlp.Generator', irange=0.05)
  if data == 'cifar10_fc':
    wide = dict(hidden=(8000, 8000), sigmoid=True, shape=(32, 32, 3), output='identity', last_irange=0.5)
    return dict(generator={**generator, **wide}, discriminator={**judge, 'units': (1600, 1600)})
  size = 8 if data == 'digits' else 28
  small = dict(hidden=(1200, 1200), shape=(size, size, 1), output='sigmoid')
  return dict(generator={**generator, **small}, discriminator={**judge, 'units': (240, 240)})


def _momentum(rate, epoch):
  return dict(
    name='momentum',
    learning_rate=dict(
      name='optax.exponential_decay', init_value=rate, transition_steps=1, decay_rate=1 / 1.000004, end_value=1e-6
    ),
    momentum=dict(name='optax.linear_schedule', init_value=0.5, end_value=0.7, transition_steps=250 * epoch),
  )


def _data(data, examples):
  if data.startswith('cifar10'):
    return config_lib.stream(name='cifar10', split=f'train[:{examples}]', size=32, channels=3, range=(-2.0, 2.0))
  # Pixels in [0, 1]: the sigmoid's range, and that of the paper's Parzen windows.
  pixels = dict(channels=1, range=(0.0, 1.0))
  if data == 'digits':
    return config_lib.stream(name='digits', size=8, **pixels)
  return config_lib.stream(name='mnist', split=f'train[:{examples}]', size=28, **pixels)


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
