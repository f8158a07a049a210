"""Stacked GAN: generators that turn a trained encoder round, layer by layer, trained apart and then jointly.

Paper: Huang et al. 2016, https://arxiv.org/abs/1612.04357; settings of the authors' code (xunhuang1995/SGAN).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/stacked.py --workdir runs/stacked

  mnist    28x28: 10 epochs of the encoder, 100 apart, 100 jointly; the default. Unmeasured.
  cifar10  32x32, discriminators of classes: 30, 190 and 200 epochs. Unmeasured; a quarter as wide, after two phases of
           1.8 epochs, Fréchet distance 69 (docs/results.md).
  digits   scikit-learn's digits (8x8): no download; 2 minutes. Fréchet distance 73.1, 86 % of the class asked for.

Joint training from the first step on: only the stages 1 and 3, their steps by --config.stages, with the discriminators
of the authors' `mnist/train_joint.py`: --config.game.discriminators[0].glorot=True, [1] likewise. The accuracy of the
encoder: python -m gan_jax.evaluate --workdir runs/stacked --metrics classifier.

differs: the encoder is trained here, by Adam at 1e-3; the authors' weights come with their code.
differs: the classes that generators are asked for are drawn; the authors take those of the batch.
differs: convolutions of stride 2 pad as much as they must, the authors' on every side, 5x5 two pixels and 3x3 one.
differs: MNIST has 100 epochs apart before 100 jointly; the code has 200 of either. `cifar10` has pixels in [0, 1]; the
  authors subtract the mean picture.
differs: `cifar10` has one move of the generators to one of the discriminators; the authors' code has 1, 3, 5 or 7, the
  more the lower the discriminator's loss is. Apart it has the dropout and noise that theirs has jointly; theirs has
  dropout of 0.1 apart, and noise on the features alone.
differs: apart, the generators move on pictures of their own, the authors' on the discriminators'; optimizers go on from
  apart to jointly, the authors' begin anew.
differs: samples are of running statistics; the authors' for MNIST of those of their batch.
differs: digits is ours: networks and lengths.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'cifar10', 'digits')
#: Steps of an epoch, epochs of each stage, features, entries of the images' noise and of the features'.
SIZES = {
  'mnist': (600, (10, 100, 100), 256, (50, 50)),
  'cifar10': (500, (30, 190, 200), 256, (16, 50)),
  'digits': (14, (30, 150, 150), 64, (16, 16)),
}


def get_config(variant):
  epoch, epochs, features, (low, high) = SIZES[variant]
  colour = variant == 'cifar10'
  uniform = lambda count: dict(name='Uniform', shape=(count,), low=0.0, high=1.0)
  # The authors' epsilon is inside the root, as in the code of Salimans et al. that theirs is made of.
  adam = dict(name='optax.adam', learning_rate=1e-4, b1=0.5, eps=0.0, eps_root=1e-8)
  phases = ('encoder', 'apart', 'joint')
  return config_lib.base(
    game=dict(
      name='stacked.StackedGAN',
      latents=dict(noise_0=uniform(low), z=uniform(high), label=dict(name='Label', classes=10)),
      **(_colour if colour else _grey)(variant == 'digits', features, low, high),
      phase='encoder',
      adversarial=1.0,
      conditional=1.0,
      entropy=10.0,
      label=1.0,
      coupling=0.01 if colour else 0.0,
      saturating=colour,
    ),
    optimizers=dict(
      encoder=dict(name='optax.adam', learning_rate=1e-3), generator=dict(adam), discriminator=dict(adam)
    ),
    data=config_lib.stream(
      name=variant,
      size=dict(mnist=28, cifar10=32, digits=8)[variant],
      channels=3 if colour else 1,
      range=(0.0, 1.0),
      classes=10,
    ),
    batch_size=100,
    stages=tuple(
      dict(steps=count * epoch, game=dict(phase=phase)) for count, phase in zip(epochs, phases, strict=True)
    ),
    log_every=100 if variant == 'digits' else epoch,
    sample_every=10 * epoch,
    checkpoint_every=10 * epoch,
  )


def _grey(digits, features, low, high):
  hidden = (128,) if digits else (512, 512)
  judged = (128,) if digits else (256, 256)
  return dict(
    encoders=(
      dict(name='stacked.Encoder', channels=(32,) if digits else (32, 32), kernel=5, hidden=features),
      dict(name='mlp.Softmax', classes=10),
    ),
    generators=(
      dict(
        name='stacked.ImageGenerator',
        channels=(64, 64) if digits else (128, 128, 64, 64),
        strides=(2, 1) if digits else (2, 1, 2, 1),
        base=2 if digits else 4,
        image_channels=1,
        widths=(128,),
      ),
      dict(name='stacked.FeatureGenerator', classes=10, hidden=hidden, units=features),
    ),
    discriminators=(
      dict(
        name='stacked.ImageDiscriminator',
        channels=(32,) if digits else (32, 64, 128),
        hidden=256,
        codes=low,
        glorot=False,
      ),
      dict(name='stacked.FeatureDiscriminator', hidden=judged, codes=high, glorot=False),
    ),
  )


def _colour(_, features, low, high):
  return dict(
    encoders=(
      dict(name='stacked.Encoder', channels=(64, 128), kernel=5, hidden=features),
      dict(name='mlp.Softmax', classes=10),
    ),
    generators=(
      dict(
        name='stacked.ImageGenerator',
        channels=(256, 256, 128, 128),
        strides=(2, 1, 2, 1),
        base=5,
        image_channels=3,
        widths=(128, 128),
      ),
      dict(name='stacked.FeatureGenerator', classes=10, hidden=(512, 512), units=features, widths=(256, 512)),
    ),
    discriminators=(
      dict(name='stacked.ClassDiscriminator', channels=(96, 192), classes=10, codes=low),
      dict(name='stacked.FeatureDiscriminator', hidden=(512, 512), codes=high, outputs=10, noise=0.2),
    ),
  )
