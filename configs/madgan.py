"""MAD-GAN: several generators on one trunk, and a discriminator that must tell which of them made an example.

Paper: Ghosh et al. 2017, https://arxiv.org/abs/1704.02906; settings of the authors' code (vivkul/MAD-GAN_synthetic).
Command: python -m gan_jax.main --config configs/madgan.py --workdir runs/madgan

  line      the paper's mixture of five Gaussians on the line, 4 generators: needs no download; the default.
            95 % of samples at a mode; against 50,000 points
            (docs/results.md) chi-square 0.28, KL 0.073.
  grid      8 generators on the grid of 25 Gaussians: needs no download. All 25 modes, 70 % of samples at a mode.
  mnist     the authors' small convolutional networks. Unmeasured.
  stacked   stacked MNIST, 1,000 modes, 8 generators. Half as wide, 3,000 steps of 32: 886 modes (docs/results.md).
  digits    4 generators on scikit-learn's digits (8x8): needs no download. 9 minutes of a core: Fréchet distance 13.6,
            3, 5, 5 and 7 classes of ten for a generator.

Four generators on the grid, of about as many parameters in all (a head has 130, the trunk 8,512):
  --config.game.latents.maker.classes=4 --config.game.generator_heads.count=4 --config.game.discriminator.outputs=5 \
  --config.batch_size=64 --config.optimizers.generator.learning_rate=1e-3
Two and one with the rate 2e-3 for the generator, and 5e-4 and 2e-4 for the discriminator (docs/results.md).

differs: the paper's loss of the discriminator is a sum over generators, the authors' code has the mean over all
  examples: k + 1 times as small, which Adam does not notice.
differs: biases of the convolutions of `mnist` begin at 0, the authors' at 0.1.
differs: `line` has the paper's four generators with the networks and the sharing of the authors' file for five, whose
  batch is 125. In their file for four the generators share the later layers, and the discriminator has one layer less.
differs: `mnist` has all 60,000 pictures, the authors' 55,000. Their file for it cannot run as it is; that all layers
  but the last are shared is read from its names.
differs: `line` has 50,000 points, each drawn many times; the authors draw new ones for every batch.
differs: lengths; the authors' loop goes on for 1,000,000 steps, whatever it is given (200,000 for the line).
differs: grid, stacked and digits are ours: networks, rates and lengths.
"""

from gan_jax import config as config_lib

VARIANTS = ('line', 'grid', 'mnist', 'stacked', 'digits')
GENERATORS = {'line': 4, 'grid': 8, 'mnist': 4, 'stacked': 8, 'digits': 4}


def get_config(variant):
  kind, k, points, grid = variant, GENERATORS[variant], variant in ('line', 'grid'), variant == 'grid'
  networks = (_grid if grid else _line)(k) if points else _pictures(kind, k)
  rate = dict(line=1e-4, grid=1e-3, mnist=1e-5, stacked=2e-4, digits=1e-3)[kind]
  adam = lambda rate: dict(name='optax.adam', learning_rate=rate, b1=0.0 if grid else 0.5)
  z = dict(name='Normal', shape=(2,)) if grid else dict(name='Uniform', shape=(64,), low=-1.0, high=1.0)
  steps = dict(line=200_000, grid=20_000, mnist=50_000, stacked=20_000, digits=6_000)[kind]
  return config_lib.base(
    game=dict(
      name='madgan.MADGAN',
      latents=dict(z=z, maker=dict(name='Label', classes=k)),
      **networks,
    ),
    optimizers=dict(generator=adam(2e-4 if grid else rate), discriminator=adam(rate)),
    data=_data(kind),
    batch_size=32 if grid else 128,
    steps=steps,
    log_every=steps // 100,
    sample_every=steps // 10,
    checkpoint_every=steps // 10,
    samples=4096 if points else 64,
  )


def _line(k):
  return dict(
    generator_trunk=dict(name='madgan.Trunk', hidden=(128, 128), bend='elu'),
    generator_heads=dict(name='copies.Copies', count=k, network=dict(name='madgan.Head', shape=(1,))),
    discriminator=dict(name='madgan.Discriminator', hidden=(128, 128, 128), outputs=k + 1, slope=0.1),
  )


def _grid(k):
  return dict(
    generator_trunk=dict(name='madgan.Trunk', hidden=(64, 64, 64), bend='relu'),
    generator_heads=dict(name='copies.Copies', count=k, network=dict(name='madgan.Head', shape=(2,))),
    discriminator=dict(name='mlp.Discriminator', hidden=(64, 64, 64), outputs=k + 1, slope=0.1, bias=1.0),
  )


def _pictures(kind, k):
  base, channels, colours = dict(mnist=(7, 64, 1), stacked=(7, 128, 3), digits=(2, 64, 1))[kind]
  if kind == 'mnist':
    judge = dict(name='madgan.ImageDiscriminator', channels=(32, 64), kernel=5, outputs=k + 1)
  else:
    judge = dict(
      name='dcgan.Discriminator', channels=(64, 128), kernel=5, slope=0.2, norm='none', initializer='he', outputs=k + 1
    )
  return dict(
    generator_trunk=dict(name='madgan.ImageTrunk', channels=(channels, channels // 2), base=base, norm=kind != 'mnist'),
    generator_heads=dict(
      name='copies.Copies', count=k, network=dict(name='madgan.ImageHead', image_channels=colours, output='sigmoid')
    ),
    discriminator=judge,
  )


def _data(kind):
  if kind in ('line', 'grid'):
    return config_lib.stream(name=kind)
  name, size, channels = dict(mnist=('mnist', 28, 1), stacked=('stacked/mnist', 28, 3), digits=('digits', 8, 1))[kind]
  classes = 1000 if kind == 'stacked' else 10
  return config_lib.stream(name=name, size=size, channels=channels, range=(0.0, 1.0), classes=classes)
