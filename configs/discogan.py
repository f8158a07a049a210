"""DiscoGAN: CycleGAN's two translations, with features that must agree, and two moves of the generators to one.

Paper: Kim et al. 2017, https://arxiv.org/abs/1703.05192; settings of the authors' code (SKTBrain/DiscoGAN).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/discogan.py:horse2zebra64 \
  --workdir runs/discogan

  edges2shoes    64 pixels, outlines and photographs of shoes, pairs taken apart; the default. Unmeasured.
  horse2zebra64  64 pixels, half as wide, batch 16. Measured after 1,000 of 20,000 steps: docs/results.md.
  digits         scikit-learn's digits (16x16) and their outlines: no download; 3 minutes. Fréchet distance 23.4.

`edges2shoes` reads pairs side by side in one picture: --config.data.a.path=shoes --config.data.b.path=shoes.
A step is three iterations of the authors' code: one in which the discriminators move, two in which the generators do.

The terms of features and the turn to a larger weight of the way back are the code's; the paper has neither.

differs: of a picture that is no square the middle is taken, the authors' is squeezed.
differs: weights start at N(0, 0.02), gains of batch norm at N(1, 0.02); the authors' uniform within 1 / sqrt(inputs),
  and in (0, 1), as PyTorch's layers did then: the first logits are larger here.
differs: outlines are resized as they are; the authors thicken them by a pixel before, and do not widen the filter.
differs: both domains read all pairs, the authors' each one half of them.
differs: the first and the last layer of D and the last of G's way up have biases; the authors' have none.
differs: samples are of running statistics, half of which are of pictures on the way back; the authors' of their
  batch's.
differs: 300,000 iterations, theirs 1.9 million, in their script 245,000 of batches of 500.
differs: batches of a and b are drawn apart, so that no pair comes together but by chance.
differs: `horse2zebra64` and `digits` are narrower, and turn to the larger weight of the way back after a tenth;
  `digits` learns five times as fast.
"""

from gan_jax import config as config_lib

VARIANTS = ('edges2shoes', 'horse2zebra64', 'digits')
#: {variant: (pixels, channels, layers that halve, batch, steps, step of the change of weights)}
SIZES = {
  'edges2shoes': (64, 64, 4, 64, 100_000, 3_333),
  'horse2zebra64': (64, 32, 4, 16, 20_000, 2_000),
  'digits': (16, 16, 2, 32, 2_000, 200),
}


def get_config(variant):
  digits = variant == 'digits'
  size, channels, halvings, batch, steps, change = SIZES[variant]
  generator = dict(
    name='translation.UNet',
    channels=tuple(channels << i for i in range(halvings)),
    image_channels=1 if digits else 3,
    norm='batch',
    dropout=0,
    skips=False,
    inner_norm=True,
    output='sigmoid',
  )
  discriminator = dict(name='translation.PatchGAN', channels=channels, layers=halvings, norm='batch', whole=True)
  # The decay is part of the gradient, as in PyTorch's Adam. The authors halve the discriminators' loss, which Adam
  # sees in nothing but the decay's share.
  adam = dict(name='optax.adam', learning_rate=1e-3 if digits else 2e-4, b1=0.5)
  decayed = lambda w: dict(name='chain', links=(dict(name='optax.add_decayed_weights', weight_decay=w), adam))
  return config_lib.base(
    game=dict(
      name='cyclegan.CycleGAN',
      loss='nonsaturating',
      adversarial=0.1,
      features=0.9,
      cycle=1.0,
      distance='l2',
      identity=0.0,
      rates=((0, 0.01), (change, 0.5)),
      pool=0,
      first='discriminator',
      generator_steps=2,
      share=False,
      generator_ab=generator,
      generator_ba=generator,
      discriminator_a=discriminator,
      discriminator_b=discriminator,
    ),
    optimizers=dict(generator=decayed(1e-5), discriminator=decayed(2e-5)),
    data=_data(variant, dict(size=size, channels=1 if digits else 3, range=(0.0, 1.0))),
    batch_size=batch,
    steps=steps,
    samples=16,
    log_every=50,
    sample_every=max(steps // 20, 500),
    checkpoint_every=max(steps // 20, 500),
  )


def _data(variant, pixels):
  if variant == 'edges2shoes':
    half = lambda part: dict(columns=dict(image=dict(name='Picture', column='image', part=part)))
    return config_lib.streams(dict(name='folder', path='edges2shoes', **pixels), a=half('left'), b=half('right'))
  if variant == 'digits':
    return config_lib.streams(pixels, a=dict(name='digits'), b=dict(name='edges/digits'))
  pixels['name'] = 'cycle_gan/horse2zebra'
  return config_lib.streams(pixels, a=dict(split='trainA'), b=dict(split='trainB'))
