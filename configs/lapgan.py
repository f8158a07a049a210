"""LAPGAN: a GAN for each level of a Laplacian pyramid; samples are made from coarse to fine.

Paper: Denton et al. 2015, https://arxiv.org/abs/1506.05751; settings of the authors' code (facebook/eyescream).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/lapgan.py --workdir runs/lapgan

  cifar10     levels of 8, 16 and 32 pixels, 45,000 training pictures, one level after the other; the default.
              Unmeasured.
  cifar10_x4  8 pixels and one step to 32, whose networks have as many parameters as the two of `cifar10`. Unmeasured;
              with Adam and narrower ahead of `cifar10` and of GAN 2014, far behind DCGAN (docs/results.md).
  mnist       levels of 7, 14 and 28 pixels, narrower. Unmeasured.
  digits      levels of 4 and 8 pixels, scikit-learn's digits: needs no download; 3 minutes. Fréchet distance 108,
              the rarest class 0.4 % of 5,000 samples.
  cifar10_classes, mnist_classes, digits_classes
              CC-LAPGAN: the same, all networks know the class. digits_classes in 2 minutes: Fréchet distance 103,
              90 % of the samples are of the class asked for. The others unmeasured.

All levels together, in one stage at the full size: --config.stages="()" --config.game.levels="(0, 1, 2)"
--config.data.size=32, with --config.steps. Then python -m gan_jax.evaluate --workdir runs/lapgan --metrics parzen,fid.

differs: pictures of 8 and 16 pixels where the paper has 8 and 14 of crops of 28; 16 and 32 are the code's.
differs: enlarged bilinearly with pixels in the middle of their squares, the authors' with corner pixels in the corners.
differs: the pictures that details are made for are those that the discriminator sees, the authors' are others; a move
  of the generator has as many as one of the discriminator, the authors' twice as many.
differs: pixels lie in (-2, 2), a deviation of about 1; the authors take each pixel's mean away and divide by its
  deviation.
differs: the authors name no end and keep the last networks, of the upper levels without classes those of the lowest
  distance to held-out pictures; lengths are ours.
differs: level 0 has the paper's 1,200 and 600 units; the defaults of the code are 8,000 and 1,600.
differs: the digits have Adam at all levels, no layer of sigmoids in the generator of level 0, and weights that begin
  at 0.1 in its discriminator, whose inputs are 16 small numbers: with the authors' 0.005 its logits stay near 0, and
  the generator collapses.
differs: momentum rises with every step, the authors' once an epoch.
differs: classes asked for at level 0 are uniform; the authors' are those of random training pictures.
differs: of 8 pixels the discriminator of the digits does not see the last row and column, which its stride leaves out;
  in the authors' code those of 16 and 32 pixels do not either.
differs: weights of the generator of level 0 begin uniform, with the deviation of the authors' normal ones; layers with
  weights of Torch's own distribution begin with biases of 0.
differs: metrics `parzen` and `parzen_validation` are of whole pictures; the paper's is a sum over levels.
differs: the authors have code for CIFAR-10 and for larger pictures; settings of `mnist` and `digits` are ours.
"""

from gan_jax import config as config_lib

VARIANTS = ('cifar10', 'cifar10_x4', 'mnist', 'digits', 'cifar10_classes', 'mnist_classes', 'digits_classes')
#: Heights of the levels; widths at level 0 of generator and discriminator; channels of the others; epochs of each.
SIZES = {
  'cifar10': ((8, 16, 32), 1200, 600, 64, (50, 25, 25)),
  'cifar10_x4': ((8, 32), 1200, 600, 92, (50, 50)),
  'mnist': ((7, 14, 28), 600, 300, 32, (50, 20, 20)),
  'digits': ((4, 8), 256, 256, 16, (300, 300)),
  'digits_classes': ((4, 8), 128, 128, 16, (150, 150)),
}
RATES = {'digits': 5e-4, 'digits_classes': 1e-3}
EXAMPLES = {'mnist': 50_000, 'digits': 1433}


def get_config(variant):
  rate, known = RATES.get(variant), dict(classes=10) if variant.endswith('_classes') else {}
  name = variant.removesuffix('_classes')
  heights, wide, judge, channels, epochs = SIZES.get(variant, SIZES[name])
  # Half of each of the authors' batches is data: 50 of 100 at level 0 without classes, 64 of 128 elsewhere.
  first = 50 if name.startswith('cifar10') and not known else 64
  epoch, first_epoch = (EXAMPLES.get(name, 45_000) // count for count in (64, first))
  colours = 3 if name.startswith('cifar10') else 1
  small = name == 'digits'
  # With classes the authors have no layer of sigmoids, no momentum at the start and a faster decay above level 0.
  bend = not (known or small)
  irange = 0.05 if small else 'torch' if known else 0.05 * 3**0.5  # a deviation of 0.05
  base = dict(name='mlp.Generator', hidden=(wide, wide), sigmoid=bend, irange=irange, output='identity', **known)
  stddev = 0.1 if small else None if known else 0.005
  fine = dict(
    name='lapgan.Generator', channels=(channels, channels), windows=(5, 5, 3) if small else (7, 7, 5), **known
  )
  fine_judge = dict(
    name='lapgan.Discriminator', channels=(channels, channels), kernel=3 if small else 5, dropout=0.5, **known
  )
  above = heights[1:]
  levels = range(len(heights))
  return config_lib.base(
    game=dict(
      name='lapgan.LAPGAN',
      latents=dict(
        z=dict(name='Uniform', shape=(100,), low=-1.0, high=1.0),
        **{f'noise_{k}': dict(name='Uniform', shape=(heights[k], heights[k], 1)) for k in levels if k},
        **(dict(label=dict(name='Label', **known)) if known else {}),
      ),
      generators=({**base, 'shape': (heights[0], heights[0], colours)}, *(fine for _ in above)),
      discriminators=(
        dict(name='lapgan.CoarseDiscriminator', hidden=(judge, judge), dropout=0.5, stddev=stddev, **known),
        *(fine_judge for _ in above),
      ),
      halvings=tuple((heights[k] // heights[k - 1]).bit_length() - 1 for k in levels if k),
      levels=(0,),
    ),
    optimizers={
      f'{kind}_{k}': dict(name='optax.adam', learning_rate=rate, b1=0.5)
      if rate
      else _momentum(epoch if k else first_epoch, 0.5 if k and not known else 0.0, 1.00004 if k and known else 1.000004)
      for kind in ('generators', 'discriminators')
      for k in levels
    },
    data=_data(name, heights[0], colours, known),
    batch_size=64,
    stages=tuple(
      dict(
        steps=epochs[k] * (epoch if k else first_epoch),
        game=dict(levels=(k,)),
        data=dict(size=heights[k]),
        batch_size=64 if k else first,
      )
      for k in levels
    ),
    log_every=100 if small else epoch,
    sample_every=5 * epoch,
    checkpoint_every=5 * epoch,
  )


def _momentum(epoch, momentum, decay):
  return dict(
    name='momentum',
    learning_rate=dict(
      name='optax.exponential_decay',
      init_value=0.02,
      transition_steps=epoch,
      decay_rate=1 / decay,
      staircase=True,
      end_value=1e-6,
    ),
    momentum=dict(
      name='optax.linear_schedule',
      init_value=momentum,
      end_value=0.7,
      transition_steps=int((0.7 - momentum) / 0.0008) * epoch,
    ),
    dampened=True,
  )


def _data(name, size, colours, known):
  cifar = name.startswith('cifar10')
  count = EXAMPLES.get(name, 45_000)
  return config_lib.stream(
    name='cifar10' if cifar else name,
    split='train' if name == 'digits' else f'train[:{count}]',
    size=size,
    filter='box',  # a level's pictures are means of those of the level above
    channels=colours,
    range=(-2.0, 2.0) if cifar else (0.0, 1.0),
    **known,
  )
