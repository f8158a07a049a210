"""DCGAN: strided and transposed convolutions, batch norm everywhere but the ends, Adam 2e-4 with beta1 0.5.

Paper: Radford et al. 2015, https://arxiv.org/abs/1511.06434.
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/dcgan.py:mnist --workdir runs/mnist

  paper            64x64, 1024 channels, LSUN bedrooms (the paper's main set); the default. Unmeasured.
  lsun             the same networks with the two-way softmax head. Unmeasured.
  celeb_a          64x64 faces. Unmeasured.
  cifar10          32x32, 256 channels. Unmeasured.
  mnist            32x32, 256 channels. 7 minutes on 2 cores: recognisable digits.
  digits           32x32, 256 channels, scikit-learn's digits: needs no download. Unmeasured.

differs: the paper's public code adds an l2 penalty of 1e-5 on weights; the paper itself names none.
differs: windows are 4x4 at 32x32 (a window divisible by the stride leaves no checkerboard); 5x5 at 64x64 as published.
"""

from gan_jax import config as config_lib

VARIANTS = ('paper', 'lsun', 'celeb_a', 'cifar10', 'mnist', 'digits')

DATA = {
  'paper': dict(name='lsun/bedroom', size=64, channels=3),
  'lsun': dict(name='lsun/bedroom', size=64, channels=3),
  'celeb_a': dict(name='celeb_a', size=64, channels=3),
  'cifar10': dict(name='cifar10', size=32, channels=3),
  'mnist': dict(name='mnist', size=32, channels=1),
  'digits': dict(name='digits', size=32, channels=1),
}
STEPS = {'paper': 600_000, 'lsun': 600_000, 'celeb_a': 40_000, 'cifar10': 50_000, 'mnist': 4_000, 'digits': 1_000}


def get_config(variant):
  data = config_lib.stream(**DATA[variant])
  widths, kernel = ((128, 256, 512, 1024), 5) if data['size'] == 64 else ((64, 128, 256), 4)
  small = variant in ('mnist', 'digits')
  adam = dict(name='optax.adam', learning_rate=2e-4, b1=0.5)
  two_way = variant == 'lsun'
  return config_lib.base(
    game=dict(
      name='standard.Standard',
      loss='two_way_softmax' if two_way else 'nonsaturating',
      discriminator_steps=1,
      latents=dict(name='Uniform', shape=(100,), low=-1.0, high=1.0),
      generator=dict(
        name='dcgan.Generator', channels=widths[::-1], kernel=kernel, base=4, image_channels=data['channels']
      ),
      discriminator=dict(name='dcgan.Discriminator', channels=widths, kernel=kernel, outputs=2 if two_way else 1),
    ),
    optimizers=dict(generator=dict(adam), discriminator=dict(adam)),
    data=data,
    batch_size=64 if small else 128,
    steps=STEPS[variant],
    log_every=50 if small else 100,
    sample_every=400 if small else 5000,
    checkpoint_every=800 if small else 5000,
  )
