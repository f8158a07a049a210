"""SAGAN: self-attention, spectral norm in both players, unequal learning rates, one move each.

Paper: Zhang et al. 2018, https://arxiv.org/abs/1805.08318; settings of the authors' code.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/sagan.py --workdir runs/sagan

  imagenet128  the paper's: 64 channels, attention at 32x32, batch 256; the default. Unmeasured.
  cifar10      32 pixels, SNGAN's widths. Unmeasured but for a narrow, short run: docs/results.md.
  digits       8x8, scikit-learn's digits: needs no download. 15 minutes on 2 shared cores, seed 0: class asked for
               in 98.7 % of 5,000 samples, Fréchet distance 11.3.

Pictures of ImageNet are not mirrored, as in the authors' code; those of `cifar10`, which is not theirs, are.

differs: pictures of ImageNet keep their levels; the authors' way of reducing them stretches those of each to 0 to 255.
differs: no running average of the generator is published; none is kept.
differs: b2 is the paper's 0.9; the authors' code leaves TensorFlow's 0.999.
differs: weights begin orthogonal, those of attention at a variance of 1 / fan-in; the authors' by Glorot, uniform.
differs: running statistics decay by 0.9 in each move of the generator; the authors' by 0.999, and 0.9999 in the last,
  in each pass, up to eight in a step.
differs: spectral norms have no gradient of their vectors, which matters until they have settled; the authors' have.
differs: 1,000,000 steps, as the paper says; the authors' code stops after twice as many.
differs: batch statistics are of all 256 examples; the authors' of the 64 on each of 4 GPUs (--config.accumulate=4).
differs: the discriminator moves first and both of its passes iterate the spectral norms; the authors' generator moves
  first, and of the discriminator's passes only that of data iterates.
differs: the generator's spectral norms iterate once a step, in its own move, and in no evaluation; the authors' in
  every pass, up to eight in a step.
"""

from gan_jax import config as config_lib

VARIANTS = ('imagenet128', 'cifar10', 'digits')
#: (size, widths of the generator, of the discriminator, halvings, attention of the generator, of the discriminator).
NETWORKS = {
  'imagenet128': (128, (1024, 1024, 512, 256, 128, 64), (64, 128, 256, 512, 1024, 1024), 5, 32, 32),
  'cifar10': (32, (256,) * 4, (128,) * 4, 2, 16, 16),
  'digits': (8, (64, 64), (64, 64), 1, 8, 4),
}


def get_config(variant):
  size, widths, judged, halvings, attended, judged_attended = NETWORKS[variant]
  digits, classes = variant == 'digits', 1000 if variant == 'imagenet128' else 10
  adam = lambda rate: dict(name='optax.adam', learning_rate=rate, b1=0.0, b2=0.9)
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='hinge',
      discriminator_steps=1,
      latents=dict(z=dict(name='Normal', shape=(128,)), label=dict(name='Label', classes=classes)),
      generator=dict(
        name='sngan.Generator',
        channels=widths,
        classes=classes,
        attention=(attended,),
        weights='spectral',
        image_channels=1 if digits else 3,
      ),
      discriminator=dict(
        name='sngan.Discriminator',
        channels=judged,
        halvings=halvings,
        classes=classes,
        attention=(judged_attended,),
        wide=True,
      ),
    ),
    optimizers=dict(generator=adam(1e-4), discriminator=adam(4e-4)),
    data=config_lib.stream(
      name='imagenet2012' if classes == 1000 else variant,
      size=size,
      channels=1 if digits else 3,
      classes=classes,
      flip=variant == 'cifar10',
    ),
    batch_size=256 if classes == 1000 else 64,
    steps={'imagenet128': 1_000_000, 'cifar10': 100_000, 'digits': 4_000}[variant],
    log_every=50,
    sample_every=1000,
    checkpoint_every=1000,
  )
