"""R3GAN: a plain loss with two gradient penalties and residual networks without norms: one recipe that converges.

Paper: Huang et al. 2024, https://arxiv.org/abs/2501.05441; settings of the authors' code (brownvc/R3GAN).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/r3gan.py --workdir runs/r3gan

  cifar10     32x32 with classes, batch 512, 200 million pictures; the default (the paper's Fréchet distance, 1.96 with
              Inception features). Unmeasured.
  ffhq64      64x64 faces, batch 256; pictures in ffhq/, or --config.data.path=FOLDER (paper: 1.95). Unmeasured.
  ffhq256     256x256 faces, batch 256 (paper: 2.75). Unmeasured.
  imagenet32  32x32 with classes, twice as wide, batch 4096 (paper: 1.27). Unmeasured.
  imagenet64  64x64 with classes, batch 4096 (paper: 2.09). Unmeasured.
  faces64     64x64, an eighth as wide, for one small machine; pictures in faces/, or --config.data.path=FOLDER.
              Unmeasured.
  digits      8x8, scikit-learn's digits: needs no download; 5 minutes on one core beside other work. Fréchet distance
              66.5, rarest class 2.3 %.

The penalty's weight is half of the authors' gamma. Rates, gamma, Adam's b2, the half-life of the average and the
probability of augmentation follow half a cosine over the first 20 million pictures (ImageNet: 200 million).
Another batch: --config.batch_size=64 --config.ema.generator.batch_size=64, or the half-life is another; the schedules
are counted in steps.

differs: the gradient of the penalty is taken in the augmented pictures, the authors' in those before.
differs: transformations of colours are as probable as the others; the authors' half as probable.
differs: pictures are not mirrored besides; the authors' commands say --mirror=1.
differs: everything is float32, the authors' commands are bfloat16; where it is asked for by --config.dtype, it is that
  of all layers; the authors' 4x4 layers are float32, at 256 pixels those up to 16x16. On NVIDIA GPUs products of
  float32 are TF32, which the authors forbid (JAX_DEFAULT_MATMUL_PRECISION=highest).
differs: pictures are reduced by a bilinear filter, of those that are no squares the middle; the authors' are reduced by
  Lanczos' filter and squeezed.
differs: the authors' runs end after 10 billion pictures, these after ten times their schedules.
differs: faces64 and digits are ours: widths, batches, lengths (their schedules once), one block at each size, gamma,
  half-lives; `digits` learns five times as fast, and is only mirrored, turned and shifted.
"""

from gan_jax import config as config_lib

VARIANTS = ('cifar10', 'ffhq64', 'ffhq256', 'imagenet32', 'imagenet64', 'faces64', 'digits')
#: {variant: (channels from 4x4 on, group, batch, gamma, highest probability, half-life, pictures of the schedules)}
SETTINGS = {
  'cifar10': ((768,) * 4, 16, 512, 0.05, 0.55, 5e6, 2e7),
  'ffhq64': ((768,) * 4 + (384,), 16, 256, 2.0, 0.3, 5e5, 2e7),
  'ffhq256': ((768,) * 4 + (384, 192, 96), 16, 256, 150.0, 0.3, 5e5, 2e7),
  'imagenet32': ((1536,) * 4, 32, 4096, 0.5, 0.5, 5e7, 2e8),
  'imagenet64': ((1536,) * 5, 32, 4096, 1.0, 0.4, 5e7, 2e8),
  'faces64': ((96, 96, 96, 96, 48), 16, 32, 2.0, 0.3, 1e5, 6.4e5),
  'digits': ((32, 32), 16, 64, 0.5, 0.1, 1e4, 1e5),
}
DATA = {
  'cifar10': dict(name='cifar10', classes=10),
  'ffhq64': dict(name='folder', path='ffhq'),
  'ffhq256': dict(name='folder', path='ffhq'),
  'imagenet32': dict(name='imagenet2012', classes=1000),
  'imagenet64': dict(name='imagenet2012', classes=1000),
  'faces64': dict(name='folder', path='faces'),
  'digits': dict(name='digits'),
}


def get_config(variant):
  channels, group, batch, gamma, probability, half_life, pictures = SETTINGS[variant]
  data = DATA[variant]
  classes = data.get('classes', 0)
  size, colours = 4 * 2 ** (len(channels) - 1), 1 if variant == 'digits' else 3
  decay = int(pictures) // batch
  last = 1 if variant in ('faces64', 'digits') else 10
  small = variant in ('faces64', 'digits')
  blocks = (1 if small else 2,) * len(channels)
  cosine = lambda start, end: dict(name='optim.schedules.cosine', start=start, end=end, steps=decay)
  rate = 5 if variant == 'digits' else 1
  adam = dict(name='adam', learning_rate=cosine(rate * 2e-4, rate * 5e-5), b1=0.0, b2=cosine(0.9, 0.99))
  groups = ('blit',) if variant == 'digits' else ('blit', 'geometry', 'colour', 'cutout')
  network = dict(blocks=blocks, group=group, classes=classes)
  normal = dict(name='Normal', shape=(64,))
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='relativistic',
      penalty=dict(name='GradientPenalty', weight=gamma / 2, at='both', target=0.0),
      penalty_schedule=cosine(1.0, 0.1),
      augment=dict(name='Scheduled', probability=cosine(0.0, probability), groups=groups),
      latents=dict(z=normal, label=dict(name='Label', classes=classes)) if classes else normal,
      generator=dict(name='r3gan.Generator', channels=channels, out_channels=colours, **network),
      discriminator=dict(name='r3gan.Discriminator', channels=channels[::-1], embedding=channels[0], **network),
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    ema=dict(generator=dict(name='averages.half_life', images=cosine(0.0, half_life), batch_size=batch, ramp_up=None)),
    data=config_lib.stream(size=size, channels=colours, **data),
    batch_size=batch,
    steps=last * decay,
    log_every=50,
    sample_every=1000,
    checkpoint_every=1000,
  )
