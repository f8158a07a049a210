"""Progressive GAN: both networks grow from 4x4 in one run, a stage for each resolution; new layers fade in.

Paper: Karras et al. 2017, https://arxiv.org/abs/1710.10196; settings of the authors' code
(tkarras/progressive_growing_of_gans).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/progressive.py --workdir runs/progressive

  cifar10   32x32, 20 million pictures: the authors' settings for CIFAR-10; the default. Unmeasured.
  celebahq  1024x1024, 12 million pictures on one GPU: the authors' settings for CelebA-HQ; pictures in celebahq/, or
            --config.data.path=FOLDER. Unmeasured.
  celeba64  64x64, half as wide, 1.6 million pictures; pictures in celeba/, or --config.data.path=FOLDER. Unmeasured.
  mnist     32x32, a quarter as wide as for CIFAR-10, 480,000 pictures. Unmeasured.
  digits    4x4 and 8x8, scikit-learn's digits: needs no download; 2 minutes. Fréchet distance 34
            to 68 (three seeds).

The same network from the first step on, to compare: --config.stages="({'steps': 15000, 'game': {'generator':
{'resolution': 32}, 'discriminator': {'resolution': 32}}, 'data': {'size': 32}},)"

differs: optimizers begin anew with each resolution; the authors' do so once more where a fade ends.
differs: the running average of `celebahq` moves behind the generator; the authors' before it.
differs: the share of what is new grows with every step; the authors' of `celebahq` with every fourth.
differs: gradients that are not finite stop the run; the authors' of `celebahq` leave the step out.
differs: pictures that fade are mixed as they are; those of the authors' `cifar10` are cut down to 8 bits.
differs: `cifar10` moves the players in turn; the authors' code for it moves both at once.
differs: celeba64, mnist and digits are ours: widths, batches and lengths.
"""

from gan_jax import config as config_lib

VARIANTS = ('cifar10', 'celebahq', 'celeba64', 'mnist', 'digits')
THOUSAND = 1000
#: Widths at 4x4, 8x8, ...; latents; thousands of pictures of a fade, and as many of what follows; of the last stage.
SIZES = {
  'cifar10': ((128, 128, 128, 128), 128, 400, 18_000),
  'celebahq': ((512, 512, 512, 512, 256, 128, 64, 32, 16), 512, 600, 3_000),
  'celeba64': ((256, 256, 256, 256, 128), 256, 160, 480),
  'mnist': ((32, 32, 32, 32), 64, 60, 180),
  'digits': ((32, 32), 32, 32, 128),
}
#: Pictures a move at each resolution, where it is not 16.
BATCHES = {
  'celebahq': {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4, 1024: 4},
  'celeba64': {4: 64, 8: 64, 16: 32},
  'digits': {4: 32, 8: 32},
}


def get_config(variant):
  channels, latents, fade, last = SIZES[variant]
  sizes = tuple(4 << i for i in range(len(channels)))
  batches = {size: BATCHES.get(variant, {}).get(size, 16) for size in sizes}
  adam = dict(name='optax.adam', learning_rate=1e-3, b1=0.0, b2=0.99, eps=1e-8)
  colours = 1 if variant in ('mnist', 'digits') else 3
  steps = THOUSAND * last // batches[sizes[-1]]
  # The authors' settings for CIFAR-10 are of their Theano code.
  judged = dict(group=16, pool_last=True) if variant == 'cifar10' else dict(group=4)
  return config_lib.base(
    game=dict(
      name='progressive.ProgressiveGAN',
      latents=dict(name='Normal', shape=(latents,)),
      generator=dict(name='progressive.Generator', resolution=4, channels=channels, image_channels=colours),
      discriminator=dict(name='progressive.Discriminator', resolution=4, channels=channels, **judged),
      fade=0,
      penalty=10.0,
      target=750.0 if variant == 'cifar10' else 1.0,
      drift=0.001,
    ),
    optimizers=dict(generator=dict(adam), discriminator=dict(adam)),
    ema=dict(generator=0.999),
    data=_data(variant, colours),
    batch_size=batches[4],
    stages=tuple(_stage(size, batches[size], fade, last if size == sizes[-1] else 0) for size in sizes),
    log_every=max(steps // 200, 1),
    sample_every=max(steps // 10, 1),
    checkpoint_every=max(steps // 10, 1),
  )


def _stage(size, batch, fade, last):
  """A resolution: a fade, and as many pictures without one; at 4x4 only these. `last` is the length of the last."""
  if size == 4:
    return dict(steps=THOUSAND * fade // batch)
  faster = {player: dict(learning_rate=1.5e-3) for player in ('generator', 'discriminator')}
  return dict(
    **(dict(optimizers=faster) if size == 1024 else {}),  # the authors' rate of this size alone
    steps=THOUSAND * (last or 2 * fade) // batch,
    game=dict(fade=THOUSAND * fade // batch, generator=dict(resolution=size), discriminator=dict(resolution=size)),
    data=dict(size=size),
    batch_size=batch,
    reset=dict(optimizer=('generator', 'discriminator')),
  )


def _data(variant, colours):
  if variant.startswith('celeba'):
    path = 'celebahq/' if variant == 'celebahq' else 'celeba/'
    return config_lib.stream(name='folder', path=path, size=4, filter='box', channels=3, flip=True)
  return config_lib.stream(name=variant, size=4, filter='box', channels=colours)
