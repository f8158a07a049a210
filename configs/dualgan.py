"""DualGAN: CycleGAN's two translations, with Wasserstein critics, U-Nets and RMSProp.

Paper: Yi et al. 2017, https://arxiv.org/abs/1704.02510; settings of the authors' code (duxingren14/DualGAN).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/dualgan.py --workdir runs/dualgan

  horse2zebra     256 pixels, the code's gradient penalty, 50 epochs; the default. Unmeasured.
  clipped         256 pixels, the paper's clipped weights. Unmeasured.
  horse2zebra64   64 pixels, half as wide, 20 epochs. Measured after 5: docs/results.md.
  digits          scikit-learn's digits (16x16) and their outlines: needs no download; 1 minute. Fréchet distance 160.

A critic of patches: --config.game.discriminator_a.whole=False and so for b.

differs: of a picture that is no square the middle is taken, the authors' is squeezed.
differs: the generators have no dropout, as the code by default; the paper has it in several layers, in tests too.
differs: windows are 4x4 as pix2pix's; the authors' are 3x3, and 5x5 in the first and the last layer.
differs: pictures are flipped at random, the epsilon of norms is 1e-5 (1e-6), the penalty's root has none (1e-8),
  convolutions start at N(0, 0.02) (cut at 2 deviations), and the first layer of a generator has no bias.
differs: the innermost layer, of one pixel, has no norm; the authors' leaves nothing but its bias there.
differs: one move of the critic to one of the generator, as in the code; the paper has 2 to 4.
differs: the weight of the way back and the epochs are the code's defaults, 500 and 50; its commands have 1,000 and 100.
differs: a critic of patches ends in two layers of stride 1, pix2pix's; the authors' in a 3x3 window of stride 2.
differs: `horse2zebra64` and `digits` learn 4 and 20 times as fast, and `digits` has batches.
"""

from gan_jax import config as config_lib

VARIANTS = ('horse2zebra', 'clipped', 'horse2zebra64', 'digits')
EPOCH = 1_067
#: {variant: (pixels, channels, layers that halve, of a critic, steps, learning rate)}
SIZES = {
  'horse2zebra': (256, 64, 8, 5, 50 * EPOCH, 5e-5),
  'clipped': (256, 64, 8, 5, 50 * EPOCH, 5e-5),
  'horse2zebra64': (64, 32, 6, 4, 20 * EPOCH, 2e-4),
  'digits': (16, 16, 3, 2, 3_000, 1e-3),
}


def get_config(variant):
  digits, clipped = variant == 'digits', variant == 'clipped'
  size, channels, halvings, layers, steps, rate = SIZES[variant]
  generator = dict(
    name='translation.UNet',
    channels=tuple(channels * min(2**i, 8) for i in range(halvings)),
    image_channels=1 if digits else 3,
    norm='instance',
    gain=True,
    dropout=0,
  )
  discriminator = dict(
    name='translation.PatchGAN', channels=channels, layers=layers, norm='instance', gain=True, whole=True
  )
  # TensorFlow's RMSProp: the squares begin at 1, and its epsilon is under the root.
  rmsprop = dict(name='optax.rmsprop', learning_rate=rate, decay=0.9, eps=1e-10, initial_scale=1.0)
  bounded = dict(name='chain', links=(rmsprop, dict(name='clip_weights', limit=0.01)))
  pixels = dict(size=size, channels=1 if digits else 3, flip=not digits)
  if digits:
    data = config_lib.streams(pixels, a=dict(name='digits'), b=dict(name='edges/digits'))
  else:
    pixels['name'] = 'cycle_gan/horse2zebra'
    data = config_lib.streams(pixels, a=dict(split='trainA'), b=dict(split='trainB'))
  return config_lib.base(
    game=dict(
      name='cyclegan.CycleGAN',
      loss='wasserstein',
      adversarial=1.0,
      cycle=500.0,
      identity=0.0,
      penalty=None if clipped else dict(name='GradientPenalty', weight=10.0),
      pool=0,
      first='discriminator',
      discriminator_steps=1,
      one_pass=True,
      generator_ab=generator,
      generator_ba=generator,
      discriminator_a=discriminator,
      discriminator_b=discriminator,
    ),
    optimizers=dict(generator=rmsprop, discriminator=bounded if clipped else rmsprop),
    data=data,
    batch_size=16 if digits else 1,
    steps=steps,
    samples=16,
    log_every=100,
    sample_every=max(steps // 20, 500),
    checkpoint_every=max(steps // 20, 500),
  )
