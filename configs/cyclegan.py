"""CycleGAN: turns pictures of one domain into another and back, though no pair is ever seen: horses into zebras.

Paper: Zhu et al. 2017, https://arxiv.org/abs/1703.10593; settings of the authors' PyTorch code
(junyanz/pytorch-CycleGAN-and-pix2pix), for 128 pixels of their Lua code.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/cyclegan.py --workdir runs/h2z

  horse2zebra     256 pixels, cut from 286, 9 blocks, 200 epochs of 1,334 steps; the default. Unmeasured.
  horse2zebra128  128 pixels, cut from 143, 6 blocks, norms with gains, as long. Unmeasured.
  horse2zebra64   64 pixels, cut from 72, half as wide, 20 epochs. Measured after 4: docs/results.md.
  digits          scikit-learn's digits (16x16) and their outlines: needs no download; 2 minutes. Fréchet distance 47.1.

Your own two folders: --config.data.a.name=folder --config.data.a.path=summer --config.data.a.split=train and so for b.
Without the way back --config.game.cycle=0, without its third term --config.game.identity=0, without the pool
--config.game.pool=0. Your own pictures, translated:
python -m gan_jax.sample --workdir runs/h2z --inputs photos --out painted

differs: of a picture that is no square the middle is taken, the authors' is squeezed.
differs: a and b go through their pictures in random orders of their own; the authors draw b, in the Lua code both, each
  picture at random.
differs: pictures are resized by a bilinear filter, in the PyTorch code by a bicubic one; the rate falls from step to
  step, theirs once an epoch.
differs: `horse2zebra128` moves both generators, then both discriminators; the Lua code the pairs in turn, and it sets
  biases of convolutions to 0 again and again.
differs: `horse2zebra64` has 32 channels, 6 blocks and patches of 34 pixels, `digits` 16 channels, 1 block, batches,
  a rate five times as large and no identity term.
differs: the outlines of `digits` are of the same pictures, in an order of their own.
"""

from gan_jax import config as config_lib

VARIANTS = ('horse2zebra', 'horse2zebra128', 'horse2zebra64', 'digits')
EPOCH = 1_334
#: {variant: (pixels, resized to, channels, blocks, layers of a discriminator that halve, steps)}
SIZES = {
  'horse2zebra': (256, 286, 64, 9, 3, 200 * EPOCH),
  'horse2zebra128': (128, 143, 64, 6, 3, 200 * EPOCH),
  'horse2zebra64': (64, 72, 32, 6, 2, 20 * EPOCH),
  'digits': (16, 0, 16, 1, 1, 3_000),
}


def get_config(variant):
  digits, lua = variant == 'digits', variant == 'horse2zebra128'
  size, cut_from, channels, blocks, layers, steps = SIZES[variant]
  generator = dict(
    name='translation.ResnetGenerator',
    channels=channels,
    blocks=blocks,
    image_channels=1 if digits else 3,
    norm='instance',
    gain=lua,
    dropout=0.0,
  )
  discriminator = dict(name='translation.PatchGAN', channels=channels, layers=layers, norm='instance', gain=lua)
  # Constant for half of the steps, then linear to 0.
  rate = dict(
    name='optax.linear_schedule',
    init_value=1e-3 if digits else 2e-4,
    end_value=0.0,
    transition_steps=steps - steps // 2,
    transition_begin=steps // 2,
  )
  adam = dict(name='optax.adam', learning_rate=rate, b1=0.5)
  pixels = dict(size=size, random_crop=cut_from, channels=1 if digits else 3, flip=not digits)
  if digits:
    data = config_lib.streams(pixels, a=dict(name='digits'), b=dict(name='edges/digits'))
  else:
    pixels['name'] = 'cycle_gan/horse2zebra'
    data = config_lib.streams(pixels, a=dict(split='trainA'), b=dict(split='trainB'))
  return config_lib.base(
    game=dict(
      name='cyclegan.CycleGAN',
      loss='least_squares',
      adversarial=2.0,
      cycle=10.0,
      identity=0.0 if digits else 0.5,
      pool=50,
      one_pass=True,
      generator_ab=generator,
      generator_ba=generator,
      discriminator_a=discriminator,
      discriminator_b=discriminator,
    ),
    optimizers=dict(generator=adam, discriminator=adam),
    data=data,
    batch_size=16 if digits else 1,
    steps=steps,
    samples=16,
    log_every=100,
    sample_every=max(steps // 20, 500),
    checkpoint_every=max(steps // 20, 500),
  )
